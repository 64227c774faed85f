//! Cold files that are not what was committed: what a query says of each, before a check has looked and after.

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
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_cold_store::catalog;
use isotherm_cold_store::catalog::checks::{self, Sighting};
use isotherm_cold_store::integrity::{Fault, Level, ManifestHead, Plan, Report, Sampling, check};
use isotherm_cold_store::{
    ChainName, Partition, PartitionBlocks, PartitionWriter, RootVerdict, RootVerdicts, Sha256Digest,
};
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

/// As anybody overwrites who may, without a word of what it is.
async fn overwrite(platform: &Platform, bytes: &[u8]) {
    let put = platform.client.put_object().bucket(platform.objects.bucket()).key(KEY);
    put.body(bytes.to_vec().into()).send().await.unwrap();
}

/// As this platform writes: S3 is told the SHA-256, compares it with what comes, and keeps it.
async fn put(platform: &Platform, bytes: &[u8]) {
    let put = platform.client.put_object().bucket(platform.objects.bucket()).key(KEY);
    let checksum = STANDARD.encode(Sha256Digest::of(bytes).as_bytes());
    put.checksum_sha256(checksum).body(bytes.to_vec().into()).send().await.unwrap();
}

async fn refused(platform: &Platform, sql: &str) -> String {
    let error = run(platform, sql).await.unwrap_err();
    assert_eq!(error.code(), "query.cold_file_altered");
    error.to_string()
}

#[tokio::test]
async fn a_missing_or_truncated_cold_file_fails_the_query_by_name() {
    let platform = half_cold().await;
    let rows = i64::try_from(20 * 2 * TRANSACTIONS).unwrap();
    assert_eq!(count(&platform).await, rows);
    let whole = stored(&platform).await;

    for length in [whole.len() - 1, whole.len() / 2, 1] {
        put(&platform, &whole[..length]).await;
        let expected = format!("the cold file {KEY} has {length} bytes, not {}", whole.len());
        assert_eq!(refused(&platform, COUNT).await, expected);
    }

    let delete = platform.client.delete_object().bucket(platform.objects.bucket()).key(KEY);
    delete.send().await.unwrap();
    let error = run(&platform, COUNT).await.unwrap_err();
    assert_eq!(error.code(), "query.cold_file_missing");
    assert_eq!(error.to_string(), format!("the cold file {KEY} is missing"));

    put(&platform, &whole).await;
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

/// A query reads no file whole, and Parquet's pages carry no checksums: what tells it other bytes of the same length is the digest
/// that S3 has for them.
#[tokio::test]
async fn a_forged_file_of_the_same_length_is_read_by_no_query() {
    let platform = half_cold().await;
    let whole = stored(&platform).await;
    let (forgery, other) = forged(whole.len());
    assert_ne!(forgery, whole);
    let first_log = "select transaction_hash from logs where block_number = 0 and log_index = 0";

    put(&platform, &forgery).await;
    let (found, expected) = (Sha256Digest::of(&forgery), Sha256Digest::of(&whole));
    let message = format!("the cold file {KEY} has the SHA-256 {found}, not {expected}");
    assert_eq!(refused(&platform, first_log).await, message);
    overwrite(&platform, &forgery).await;
    let message = format!(
        "S3 has no SHA-256 of the cold file {KEY}, so something else was put in its place: what is written here has one"
    );
    assert_eq!(refused(&platform, first_log).await, message);

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

    put(&platform, &whole).await;
    let now = checks::now(&mut conn).await.unwrap();
    assert!(look(&platform).await.is_sound());
    assert_eq!(checks::resolve(&mut conn, &[recorded.id], now).await.unwrap(), 1);
    let answer = run(&platform, first_log).await.unwrap();
    assert_ne!(transaction(&answer), other);
}
