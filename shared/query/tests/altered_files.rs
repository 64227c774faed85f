//! Cold files that are not what was committed: what a query says of each, and what of none is known before a check has
//! looked.

#[path = "support/made_chain.rs"]
#[allow(dead_code, reason = "the tests of federated queries use all of it")]
mod made_chain;
#[path = "support/platform.rs"]
#[allow(dead_code, reason = "the tests of federated queries use all of it")]
mod platform;
#[path = "support/sandbox_program.rs"]
mod sandbox_program;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, FixedSizeBinaryArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use isotherm_cold_store::catalog;
use isotherm_cold_store::catalog::checks::{self, Sighting};
use isotherm_cold_store::integrity::{Fault, Level, ManifestHead, Plan, Report, Sampling, check};
use isotherm_cold_store::{ChainName, Partition, PartitionBlocks, PartitionWriter, RootVerdict, RootVerdicts};
use isotherm_query::error::QueryError;
use isotherm_query::{QueryAnswer, QueryRequest};
use isotherm_types::{B256, BlockRange, Classified, Dataset, TaskId};
use made_chain::{CHAIN, CHAIN_NAME, TRANSACTIONS, compact, follow, hash, range};
use platform::Platform;
use serde_json::json;

/// The file that is altered.
const KEY: &str = "cold/made/logs/logs_0000000000_0000000009.parquet";
const MOST_BYTES: u64 = 1 << 20;
const COUNT: &str = "select count(*) from logs";

fn cold() -> BlockRange {
    range(0, 10)
}

/// 20 blocks, of which ten are cold.
async fn half_cold() -> Platform {
    let platform = Platform::start().await;
    let mut conn = platform.connect().await;
    follow(&mut conn, range(0, 20)).await;
    compact(&mut conn, &platform.objects, platform.scratch.path(), cold()).await;
    platform
}

async fn run(platform: &Platform, sql: &str) -> Result<QueryAnswer, QueryError> {
    platform.engine.run(QueryRequest::new(sql, Duration::from_secs(20))).await
}

async fn count(platform: &Platform) -> i64 {
    let answer = run(platform, COUNT).await.unwrap();
    answer.batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

async fn stored(platform: &Platform) -> Vec<u8> {
    platform.objects.read(KEY, MOST_BYTES).await.unwrap().unwrap().to_vec()
}

async fn overwrite(platform: &Platform, bytes: &[u8]) {
    let put = platform.client.put_object().bucket(platform.objects.bucket()).key(KEY);
    put.body(bytes.to_vec().into()).send().await.unwrap();
}

#[tokio::test]
async fn a_missing_or_truncated_cold_file_fails_the_query_by_name() {
    let platform = half_cold().await;
    let rows = i64::try_from(20 * 2 * TRANSACTIONS).unwrap();
    assert_eq!(count(&platform).await, rows);
    let whole = stored(&platform).await;

    for length in [whole.len() - 1, whole.len() / 2, 1] {
        overwrite(&platform, &whole[..length]).await;
        let error = run(&platform, COUNT).await.unwrap_err();
        assert_eq!(error.code(), "query.cold_file_altered", "{length}");
        assert_eq!(error.to_string(), format!("the cold file {KEY} has {length} bytes, not {}", whole.len()));
    }

    let delete = platform.client.delete_object().bucket(platform.objects.bucket()).key(KEY);
    delete.send().await.unwrap();
    let error = run(&platform, COUNT).await.unwrap_err();
    assert_eq!(error.code(), "query.cold_file_missing");
    assert_eq!(error.to_string(), format!("the cold file {KEY} is missing"));

    overwrite(&platform, &whole).await;
    assert_eq!(count(&platform).await, rows);
}

/// The file of the same blocks and the same length whose first log names another transaction, and which.
fn forged(length: usize) -> (Vec<u8>, B256) {
    let rows = made_chain::rows(Dataset::Logs, cold());
    let blocks = made_chain::rows(Dataset::Blocks, cold());
    let scratch = tempfile::tempdir().unwrap();
    for attempt in 1_000..3_000 {
        let mut linked = PartitionBlocks::builder(cold());
        linked.push(&blocks).unwrap();
        let chain = ChainName::new(CHAIN_NAME).unwrap();
        let partition = Partition { chain_id: CHAIN, chain, dataset: Dataset::Logs, blocks: cold() };
        let mut writer = PartitionWriter::create(partition, linked.finish().unwrap(), None, scratch.path()).unwrap();
        // Of the form that the others have, or it would be packed otherwise.
        let transaction = hash(attempt);
        writer.write(&with_first_transaction(&rows, transaction)).unwrap();
        let unproven = RootVerdict::NotVerifiable { reason: "made up".to_owned() };
        let staged = writer.finish(RootVerdicts::all(&unproven)).unwrap();
        let bytes = std::fs::read(staged.path()).unwrap();
        if bytes.len() == length {
            return (bytes, transaction);
        }
    }
    panic!("of all forgeries none has {length} bytes");
}

/// The same logs, but for the transaction of the first.
fn with_first_transaction(rows: &RecordBatch, transaction: B256) -> RecordBatch {
    let place = rows.schema().index_of("transaction_hash").unwrap();
    let mut columns = rows.columns().to_vec();
    let known = rows.column(place).as_fixed_size_binary();
    let hashes = (0..rows.num_rows()).map(|row| if row == 0 { transaction.as_slice() } else { known.value(row) });
    columns[place] = Arc::new(FixedSizeBinaryArray::try_from_iter(hashes).unwrap());
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

/// The transaction that the first log names.
fn transaction(answer: &QueryAnswer) -> B256 {
    let column = cast(answer.batches[0].column(0), &DataType::LargeBinary).unwrap();
    B256::from_slice(column.as_binary::<i64>().value(0))
}

/// What `integrity_check` does at level file.
async fn look(platform: &Platform) -> Report {
    let mut conn = platform.connect().await;
    let head = catalog::head(&mut conn, CHAIN, Dataset::Logs).await.unwrap().unwrap();
    let plan = Plan {
        objects: &platform.objects,
        chain: &ChainName::new(CHAIN_NAME).unwrap(),
        datasets: vec![Dataset::Logs],
        heads: HashMap::from([(Dataset::Logs, ManifestHead::from(&head))]),
        blocks: None,
        level: Level::File,
        anchor: None,
        sampling: Sampling::None,
        scratch: platform.scratch.path(),
        at_most_bytes: 1 << 20,
    };
    check(&plan, &mut |_| ()).await.unwrap()
}

/// A query looks at the length of each file and at what checks have found. It reads no file whole, and Parquet's pages
/// carry no checksums, so that other bytes of the same length are for a check to find.
#[tokio::test]
async fn a_forged_file_of_the_same_length_is_read_until_a_check_has_found_it_and_by_no_query_after() {
    let platform = half_cold().await;
    let whole = stored(&platform).await;
    let (forgery, other) = forged(whole.len());
    assert_ne!(forgery, whole);
    overwrite(&platform, &forgery).await;

    let first_log = "select transaction_hash from logs where block_number = 0 and log_index = 0";
    let answer = run(&platform, first_log).await.unwrap();
    assert_eq!(transaction(&answer), other, "nobody has looked yet");

    let report = look(&platform).await;
    let found: Vec<_> = report.findings.iter().map(|finding| (finding.object.as_str(), finding.fault)).collect();
    assert_eq!(found, [(KEY, Fault::DigestDiffers)]);
    let mut conn = platform.connect().await;
    let (finding, evidence) = (&report.findings[0], json!({}));
    let sighting = Sighting { chain_id: CHAIN, finding, evidence: &evidence, task_id: TaskId(1) };
    let recorded = checks::record(&mut conn, &sighting).await.unwrap();
    for sql in [first_log, COUNT] {
        let error = run(&platform, sql).await.unwrap_err();
        assert_eq!(error.code(), "query.cold_file_unsound");
        let expected = format!("a check found the cold file {KEY} not to be what was committed (digest_differs)");
        assert_eq!(error.to_string(), expected);
    }

    overwrite(&platform, &whole).await;
    let now = checks::now(&mut conn).await.unwrap();
    assert!(look(&platform).await.is_sound());
    assert_eq!(checks::resolve(&mut conn, &[recorded.id], now).await.unwrap(), 1);
    let answer = run(&platform, first_log).await.unwrap();
    assert_ne!(transaction(&answer), other);
}
