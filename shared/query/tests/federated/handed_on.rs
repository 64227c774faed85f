//! Rows that are handed on as they come.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use isotherm_query::error::Blame;
use isotherm_query::{AnswerLimits, QueryError, QueryRequest, RowSink};
use isotherm_types::Classified;
use isotherm_types::sandbox::RelationColumn;

use super::platform::Platform;
use super::request;

const NO_LIMITS: AnswerLimits = AnswerLimits { max_rows: u64::MAX, max_bytes: u64::MAX };

/// Counts what it is given, and has enough after a number of batches.
#[derive(Default)]
struct Counting {
    begun: Vec<(Vec<String>, usize)>,
    row_counts: Vec<usize>,
    patience: Option<usize>,
}

impl RowSink for Counting {
    fn begin(&mut self, columns: &[RelationColumn], schema: &SchemaRef) -> Result<(), QueryError> {
        let names = columns.iter().map(|column| column.name.clone()).collect();
        self.begun.push((names, schema.fields().len()));
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        assert_eq!(self.begun.len(), 1, "rows come after the beginning");
        self.row_counts.push(batch.num_rows());
        match self.patience {
            Some(batches) if self.row_counts.len() >= batches => {
                Err(QueryError::TooLarge { limit: format!("{batches} batches") })
            }
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn more_rows_than_memory_may_hold_are_handed_on_in_small_batches() {
    let platform = Platform::start().await;
    let sql = "select range as n, range as n from range(200000)";
    assert_eq!(platform.engine.run(request(sql)).await.unwrap_err().code(), "query.too_large");
    let mut sink = Counting::default();
    let summary = platform.engine.run_into(request(sql), NO_LIMITS, &mut sink).await.unwrap();
    assert_eq!((summary.row_count, sink.row_counts.iter().sum::<usize>()), (200_000, 200_000));
    assert!(summary.bytes > 200_000 * 16, "{}", summary.bytes);
    assert!(sink.row_counts.iter().all(|row_count| *row_count <= 4096), "{:?}", sink.row_counts);
    assert_eq!(sink.begun, [(vec!["n".to_owned(), "n".to_owned()], 2)]);

    let limits = AnswerLimits { max_rows: 1000, ..NO_LIMITS };
    let error = platform.engine.run_into(request(sql), limits, &mut Counting::default()).await.unwrap_err();
    assert!(error.to_string().starts_with("the answer is larger than 1000 rows"), "{error}");
}

#[tokio::test]
async fn long_rows_are_handed_on_in_small_batches_and_one_that_is_too_long_is_told() {
    let platform = Platform::start().await;
    let mut sink = Counting::default();
    let long = request("select repeat('x', 20000) as n from range(2000)");
    let summary = platform.engine.run_into(long, NO_LIMITS, &mut sink).await.unwrap();
    assert_eq!((summary.row_count, sink.row_counts.iter().sum::<usize>()), (2000, 2000));
    assert!(sink.row_counts.iter().all(|rows| *rows * 20_000 < 16 << 20), "{:?}", sink.row_counts);

    let too_long = request("select repeat('x', 17000000) as n");
    let error = platform.engine.run_into(too_long, NO_LIMITS, &mut Counting::default()).await.unwrap_err();
    assert_eq!((error.code(), error.blame()), ("query.too_large", Blame::Size));
    assert!(error.to_string().starts_with("a row of the answer is larger than 16 MiB; "), "{error}");
}

#[tokio::test]
async fn an_answer_without_rows_begins_all_the_same() {
    let platform = Platform::start().await;
    let mut sink = Counting::default();
    let summary = platform.engine.run_into(request("select 1 as n where false"), NO_LIMITS, &mut sink).await.unwrap();
    assert_eq!((summary.row_count, sink.row_counts.len()), (0, 0));
    assert_eq!(sink.begun, [(vec!["n".to_owned()], 1)]);
}

/// Red switch: rows that are gathered before they are handed on never come to an end here.
#[tokio::test]
async fn a_sink_that_has_enough_ends_a_query_that_would_not_end() {
    let platform = Platform::start().await;
    let mut sink = Counting { patience: Some(3), ..Counting::default() };
    let endless = QueryRequest::new("from range(1000000000000)", Duration::from_secs(20));
    let started = Instant::now();
    let error = platform.engine.run_into(endless, NO_LIMITS, &mut sink).await.unwrap_err();
    assert_eq!(error.to_string(), "the answer is larger than 3 batches; add a LIMIT or aggregate");
    assert_eq!(sink.row_counts.len(), 3);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}
