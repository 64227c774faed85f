//! What the platform is accepted by: over a known chain, hot rows alone give Postgres' own answers, and hot and cold
//! together what both give apart.

#[path = "../support/made_chain.rs"]
#[allow(dead_code, reason = "the tests of federated queries use all of it")]
mod made_chain;
#[path = "../support/platform.rs"]
#[allow(dead_code, reason = "the tests of federated queries use all of it")]
mod platform;
#[path = "../support/sandbox_program.rs"]
mod sandbox_program;

mod recorded;

use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt64Type};
use isotherm_cold_store::catalog::{self, CommitOutcome};
use isotherm_cold_store::{
    ChainName, CurrentManifest, Listing, Partition, PartitionBlocks, PartitionWriter, RootVerdict, RootVerdicts,
};
use isotherm_hot_store::{append, cursor};
use isotherm_query::{QueryAnswer, QueryRequest};
use isotherm_types::{BlockRange, Dataset};
use made_chain::range;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use platform::Platform;
use recorded::{BLOCKS, CHAIN, Recorded};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, ValueRef as _};

const CHAIN_NAME: &str = "recorded";
const PARTITION_BLOCKS: u64 = 20;
/// First block that does not become cold.
const HOT_FROM: u64 = 40;
const MOST_BYTES: u64 = 64 << 20;

/// Rows of texts, `None` where nothing is.
type Rows = Vec<Vec<Option<String>>>;

/// Queries in the words of either database, which differ in how bytes are written.
fn queries(hex: impl Fn(&str) -> String) -> Vec<String> {
    let (author, sender, emitter) = (hex("author"), hex("from_address"), hex("address"));
    let (caller, topic, hash) = (hex("action_from"), hex("topic0"), hex("t.transaction_hash"));
    vec![
        "select count(*), min(block_number), max(block_number), sum(gas_used), count(distinct author) from blocks"
            .into(),
        format!("select {author}, count(*), sum(transaction_count) from blocks group by 1"),
        "select count(*), sum(value), max(value), sum(gas_used), count(to_address), min(nonce) from transactions"
            .into(),
        "select transaction_type, case when success then 1 else 0 end, count(*), sum(log_count) from transactions
          group by 1, 2"
            .into(),
        format!("select {sender}, count(*), sum(gas_used), max(gas_price) from transactions group by 1"),
        "select block_number, transaction_index, value_string from transactions where to_address is null".into(),
        "select count(*), count(topic0), count(topic3), count(distinct address) from logs".into(),
        format!("select {emitter}, {topic}, count(*), min(block_number) from logs group by 1, 2"),
        "select action_type, action_call_type, error, count(*), sum(result_gas_used) from traces group by 1, 2, 3"
            .into(),
        format!("select {caller}, count(*), max(subtraces) from traces where trace_address <> '' group by 1"),
        format!(
            "select {hash}, t.block_number, count(*), max(l.log_index) from transactions t
               join logs l on l.block_number = t.block_number and l.transaction_index = t.transaction_index
              where t.block_number between 15 and 45 group by 1, 2"
        ),
        "select b.block_number, b.transaction_count, count(r.trace_index) from blocks b
           left join traces r on r.block_hash = b.block_hash and r.trace_address = '' group by 1, 2"
            .into(),
    ]
}

async fn run(platform: &Platform, sql: &str) -> QueryAnswer {
    let request = QueryRequest::new(sql, Duration::from_secs(20));
    platform.engine.run(request).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

/// The rows of an answer, each cell as text.
fn texts(batches: &[RecordBatch]) -> Rows {
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| cast(column, &DataType::Utf8).unwrap());
        let columns: Vec<_> = columns.collect();
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|column| column.is_valid(row).then(|| column.as_string::<i32>().value(row)));
            rows.push(cells.map(|cell| cell.map(str::to_owned)).collect());
        }
    }
    rows.sort_unstable();
    rows
}

/// What the platform answers to each query.
async fn answers(platform: &Platform) -> Vec<Rows> {
    let mut answers = Vec::new();
    for sql in queries(|column| format!("lower(hex({column}))")) {
        answers.push(texts(&run(platform, &sql).await.batches));
    }
    answers
}

/// What Postgres itself answers, from the rows of hot storage.
async fn answers_of_postgres(platform: &Platform) -> Vec<Rows> {
    let mut conn = platform.connect().await;
    sqlx::raw_sql("SET search_path TO hot").execute(&mut conn).await.unwrap();
    let mut answers = Vec::new();
    for sql in queries(|column| format!("encode({column}, 'hex')")) {
        // Without a prepared statement values come as text.
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut conn).await.unwrap();
        let cell = |row: &PgRow, i: usize| {
            let value = row.try_get_raw(i).unwrap();
            (!value.is_null()).then(|| value.as_str().unwrap().to_owned())
        };
        let mut rows: Rows = rows.iter().map(|row| (0..row.len()).map(|i| cell(row, i)).collect()).collect();
        rows.sort_unstable();
        answers.push(rows);
    }
    answers
}

/// A platform that has followed the recorded chain; `None` where that is not there.
async fn followed() -> Option<(Platform, Recorded)> {
    let recorded = Recorded::read()?;
    let platform = Platform::start().await;
    let mut conn = platform.connect().await;
    cursor::ensure(&mut conn, CHAIN, CHAIN_NAME, PARTITION_BLOCKS).await.unwrap();
    append(&mut conn, CHAIN, &recorded.batch).await.unwrap();
    Some((platform, recorded))
}

/// Makes a partition of every dataset cold. Its hot rows stay.
async fn compact(platform: &Platform, recorded: &Recorded, blocks: BlockRange) {
    let mut conn = platform.connect().await;
    let scratch = platform.scratch.path();
    for dataset in Dataset::ALL {
        let mut linked = PartitionBlocks::builder(blocks);
        linked.push(&recorded.rows(Dataset::Blocks, blocks)).unwrap();
        let partition = Partition { chain_id: CHAIN, chain: ChainName::new(CHAIN_NAME).unwrap(), dataset, blocks };
        let mut writer = PartitionWriter::create(partition, linked.finish().unwrap(), None, scratch).unwrap();
        writer.write(&recorded.rows(dataset, blocks)).unwrap();
        let staged = writer.finish(RootVerdicts::all(&RootVerdict::Ok)).unwrap();
        let stored = staged.store(&platform.objects).await.unwrap();
        let head = catalog::head(&mut conn, CHAIN, dataset).await.unwrap();
        let current = CurrentManifest::load(&platform.objects, head.as_ref()).await.unwrap();
        let listing = stored.list(&platform.objects, &current).await.unwrap();
        let Listing::Ours(manifest) = listing else { panic!("nobody else writes here") };
        let mut db_tx = conn.begin().await.unwrap();
        assert_eq!(catalog::commit(&mut db_tx, &manifest).await.unwrap(), CommitOutcome::Committed);
        db_tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn over_a_recorded_chain_the_answers_are_those_of_postgres_whether_it_is_hot_or_half_cold() {
    let Some((platform, recorded)) = followed().await else { return };
    let expected = answers_of_postgres(&platform).await;
    assert!(expected.iter().all(|rows| !rows.is_empty()), "{expected:?}");
    let queries = queries(str::to_owned);
    let compare = |found: Vec<Rows>| {
        assert_eq!(found.len(), expected.len());
        for ((found, expected), sql) in found.iter().zip(&expected).zip(&queries) {
            assert_eq!(found, expected, "{sql}");
        }
    };
    compare(answers(&platform).await);
    compact(&platform, &recorded, range(0, PARTITION_BLOCKS)).await;
    compare(answers(&platform).await);
    compact(&platform, &recorded, range(PARTITION_BLOCKS, HOT_FROM)).await;
    compare(answers(&platform).await);
}

/// Rows, and the sum over them of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Total {
    rows: u64,
    sum: u64,
}

/// A column to sum up.
fn summed(dataset: Dataset) -> &'static str {
    match dataset {
        Dataset::Blocks | Dataset::Transactions => "gas_used",
        Dataset::Logs => "log_index",
        Dataset::Traces => "trace_index",
    }
}

async fn total(platform: &Platform, dataset: Dataset, of: &str) -> (Total, QueryAnswer) {
    let answer = run(platform, &format!("select count(*), sum({}) from {dataset} {of}", summed(dataset))).await;
    let rows = texts(&answer.batches);
    let number = |i: usize| rows[0][i].as_ref().unwrap().parse().unwrap();
    (Total { rows: number(0), sum: number(1) }, answer)
}

/// By Postgres, of the rows that are not cold.
async fn hot_apart(platform: &Platform, dataset: Dataset) -> Total {
    let column = summed(dataset);
    let sql = format!("SELECT count(*), sum({column})::bigint FROM hot.{dataset} WHERE block_number >= {HOT_FROM}");
    let (rows, sum): (i64, i64) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&platform.engine.pool).await.unwrap();
    Total { rows: rows.cast_unsigned(), sum: sum.cast_unsigned() }
}

/// From the files alone.
async fn cold_apart(platform: &Platform, dataset: Dataset) -> Total {
    let files = catalog::partitions(&mut platform.connect().await, CHAIN, dataset).await.unwrap();
    let mut total = Total { rows: 0, sum: 0 };
    for file in files {
        let bytes = platform.objects.read(&file.object_key, MOST_BYTES).await.unwrap().unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let column = cast(batch.column_by_name(summed(dataset)).unwrap(), &DataType::UInt64).unwrap();
            total.rows += batch.num_rows() as u64;
            total.sum += column.as_primitive::<UInt64Type>().values().iter().sum::<u64>();
        }
    }
    total
}

#[tokio::test]
async fn a_federated_total_is_the_hot_part_and_the_cold_part() {
    let Some((platform, recorded)) = followed().await else { return };
    for start in [0, PARTITION_BLOCKS] {
        compact(&platform, &recorded, range(start, start + PARTITION_BLOCKS)).await;
    }
    for dataset in Dataset::ALL {
        let (hot, cold) = (hot_apart(&platform, dataset).await, cold_apart(&platform, dataset).await);
        let both = recorded.rows(dataset, range(0, BLOCKS)).num_rows() as u64;
        assert!(hot.rows > 0 && cold.rows > 0 && hot.rows + cold.rows == both, "{dataset}: {hot:?} {cold:?}");

        let (whole, _) = total(&platform, dataset, "").await;
        assert_eq!(whole, Total { rows: hot.rows + cold.rows, sum: hot.sum + cold.sum }, "{dataset}");
        let (found, answer) = total(&platform, dataset, &format!("where block_number >= {HOT_FROM}")).await;
        assert_eq!((found, answer.summary.cold_files), (hot, 0), "{dataset}");
        let (found, answer) = total(&platform, dataset, &format!("where block_number < {HOT_FROM}")).await;
        assert_eq!((found, answer.summary.hot_rows_fetched), (cold, 0), "{dataset}");
    }
}
