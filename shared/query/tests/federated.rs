//! Hot and cold as one, through the real sandbox, Postgres and object store.

#[path = "support/made_chain.rs"]
mod made_chain;
#[path = "support/platform.rs"]
mod platform;
#[path = "support/sandbox_program.rs"]
mod sandbox_program;

#[path = "federated/as_of.rs"]
mod as_of;
#[path = "federated/chains.rs"]
mod chains;
#[path = "federated/fetched.rs"]
mod fetched;
#[path = "federated/handed_on.rs"]
mod handed_on;
#[path = "federated/lent.rs"]
mod lent;
#[path = "federated/waiting.rs"]
mod waiting;

use std::time::{Duration, Instant};

use isotherm_cold_store::catalog::checks::{self, Recorded, Sighting};
use isotherm_cold_store::integrity::{Fault, Finding};
use isotherm_hot_store::cleanup::{self, Leaf, LeafState, Removal};
use isotherm_query::boundary::{self, Boundary, open_snapshot};
use isotherm_query::error::QueryError;
use isotherm_query::plan::{Bounds, Need, Needs};
use isotherm_query::render;
use isotherm_query::scope::Scope;
use isotherm_query::{QueryAnswer, QueryRequest};
use isotherm_types::{BlockNumber, Classified, Dataset, DatasetGrants, Disposition, TaskId};
use made_chain::{CHAIN, TRANSACTIONS, compact, follow, hash, range};
use platform::Platform;
use serde_json::{Value, json};
use sqlx::PgConnection;

async fn run(platform: &Platform, sql: &str) -> Result<QueryAnswer, QueryError> {
    platform.engine.run(request(sql)).await
}

fn request(sql: &str) -> QueryRequest {
    QueryRequest::new(sql, Duration::from_secs(20))
}

async fn rows(platform: &Platform, sql: &str) -> Vec<Vec<Value>> {
    let answer = run(platform, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows_of(&answer)
}

fn rows_of(answer: &QueryAnswer) -> Vec<Vec<Value>> {
    render::json_rows(&answer.summary.columns, &answer.batches, 1 << 24).unwrap()
}

/// Hot rows and cold files that the query could read.
fn fetched(answer: &QueryAnswer) -> (u64, usize) {
    (answer.summary.hot_rows_fetched, answer.summary.cold_files)
}

/// 35 blocks: 0..20 cold (and still hot too), 20..35 only hot.
async fn half_cold() -> Platform {
    let platform = Platform::start().await;
    let mut conn = platform.connect().await;
    follow(&mut conn, range(0, 35)).await;
    compact(&mut conn, &platform.objects, platform.scratch.path(), range(0, 10)).await;
    compact(&mut conn, &platform.objects, platform.scratch.path(), range(10, 20)).await;
    platform
}

#[tokio::test]
async fn a_federated_answer_is_hot_plus_cold_and_says_its_state() {
    let platform = half_cold().await;
    assert_eq!(rows(&platform, "select count(*) from transactions").await, [[json!(35 * TRANSACTIONS)]]);
    assert_eq!(rows(&platform, "select count(*) from blocks").await, [[json!(35)]]);
    let by_clock = "select count(*) from blocks where block_number <= epoch(now())::bigint and now() >= '2020-01-01'";
    assert_eq!(rows(&platform, by_clock).await, [[json!(35)]]);
    let sql = "select block_number, count(*) n from transactions group by 1 order by 1 desc limit 2";
    assert_eq!(rows(&platform, sql).await, [[json!(34), json!(3)], [json!(33), json!(3)]]);
    let sql = "select b.block_hash, count(*) from blocks b join logs l using (block_number) \
               where b.block_number between 19 and 20 group by all order by 1";
    let expected = [hash(19), hash(20)].map(|hash| vec![json!(hash.to_string()), json!(2 * TRANSACTIONS)]);
    assert_eq!(rows(&platform, sql).await, expected);
    // Postgres holds all rows, also the cold ones: its own sum is the oracle.
    let sum: String = sqlx::query_scalar("SELECT sum(value)::text FROM hot.transactions")
        .fetch_one(&platform.engine.pool)
        .await
        .unwrap();
    assert_eq!(rows(&platform, "select sum(value) from transactions").await, [[json!(sum)]]);

    let answer = run(&platform, "select 1 from blocks where block_number = 3").await.unwrap();
    let state = serde_json::to_value(&answer.summary.state).unwrap();
    let expected = json!([{
        "chain_id": CHAIN.0, "chain": "made", "tip_number": 34, "tip_hash": hash(34).to_string(), "watermark": 19,
        "watermarks": {"blocks": 19, "logs": 19, "traces": 19, "transactions": 19},
        "manifest_versions": {"blocks": 2, "logs": 2, "traces": 2, "transactions": 2},
    }]);
    assert_eq!(state, expected);
    assert_eq!(fetched(&answer), (0, 1), "only the one file is needed");
    let first_file = "SELECT size_bytes FROM cold.data_partitions WHERE dataset = 'blocks' AND start_block = 0";
    let size: i64 = sqlx::query_scalar(first_file).fetch_one(&platform.engine.pool).await.unwrap();
    assert_eq!(answer.summary.cold_bytes, size.cast_unsigned());
    assert!(answer.summary.row_count == 1 && answer.summary.bytes > 0, "{:?}", answer.summary);
    let answer = run(&platform, "select block_hash from blocks where block_number > 30").await.unwrap();
    assert_eq!(fetched(&answer), (4, 0), "only four hot rows are needed");
}

/// Red switch: a file is read that lies between the blocks of two scans, or a scan misses rows of its own.
#[tokio::test]
async fn only_files_that_some_scan_reads_are_read() {
    let platform = half_cold().await;
    let below = "select count(*) n from blocks where block_number < 10";
    let above = "select count(*) n from blocks where block_number > 30";
    let all = "select count(*) n from blocks where block_number >= 5";
    for (sql, expected, files) in [
        (format!("select sum(n) from ({below} union all {above})"), 10 + 4, 1),
        (format!("select sum(n) from ({below} union all {above} union all {all})"), 10 + 4 + 30, 2),
        ("select count(*) from blocks where block_number in (3, 4, 7)".to_owned(), 3, 1),
        ("select count(*) from blocks where block_number = 3 or block_number = 12".to_owned(), 2, 2),
        ("select count(*) from blocks where block_number in (13, 25)".to_owned(), 2, 1),
        // Plain to DuckDB, not to whoever reads its plan.
        ("select count(*) from blocks where block_number % 10 = 3".to_owned(), 4, 2),
    ] {
        let answer = run(&platform, &sql).await.unwrap();
        assert_eq!(rows_of(&answer)[0][0].to_string().trim_matches('"'), expected.to_string(), "{sql}");
        assert_eq!(answer.summary.cold_files, files, "{sql}");
    }
}

/// DuckDB 1.5.5 misses values in Bloom filters that are written as the Parquet specification says (ADR 8).
#[tokio::test]
async fn every_transaction_is_found_by_its_hash_wherever_it_is() {
    let platform = half_cold().await;
    let hashes: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT encode(transaction_hash, 'hex') FROM hot.transactions ORDER BY 1")
            .fetch_all(&platform.engine.pool)
            .await
            .unwrap();
    assert!(hashes.len() > 20, "{}", hashes.len());
    let looked_up: Vec<String> = hashes
        .iter()
        .map(|hash| format!("(select count(*) from transactions where transaction_hash = unhex('{hash}'))"))
        .collect();
    for (hashes, looked_up) in hashes.chunks(10).zip(looked_up.chunks(10)) {
        let found = rows(&platform, &format!("select {}", looked_up.join(", "))).await;
        for (hash, found) in hashes.iter().zip(&found[0]) {
            let stored: i64 =
                sqlx::query_scalar("SELECT count(*) FROM hot.transactions WHERE transaction_hash = decode($1, 'hex')")
                    .bind(hash)
                    .fetch_one(&platform.engine.pool)
                    .await
                    .unwrap();
            assert_eq!(found, &json!(stored), "{hash}");
        }
    }
}

#[tokio::test]
async fn every_column_of_hot_and_cold_is_what_was_written() {
    let platform = half_cold().await;
    for dataset in Dataset::ALL {
        let sql = format!("select * from {dataset} order by {}", dataset.sort_columns().join(", "));
        let answer = run(&platform, &sql).await.unwrap();
        let columns = &answer.summary.columns;
        let written = made_chain::rows(dataset, range(0, 35));
        let timestamp = written.schema().index_of("timestamp").unwrap();
        let mut expected = render::json_rows(columns, &[written], 1 << 24).unwrap();
        for row in &mut expected {
            let time = chrono::DateTime::from_timestamp(row[timestamp].as_i64().unwrap(), 0).unwrap();
            row.push(json!(time.format("%Y-%m-%dT%H:%M:%SZ").to_string()));
        }
        let read = rows_of(&answer);
        assert_eq!(read.len(), expected.len(), "{dataset}");
        for (read, expected) in read.iter().zip(&expected) {
            assert_eq!(read, expected, "{dataset}");
        }
        let types: Vec<_> = columns.iter().map(|column| (column.name.as_str(), column.sql_type.as_str())).collect();
        let stored = dataset.columns().iter().map(|column| (column.name, column.column_type.sql()));
        let schema: Vec<_> = stored.chain([("block_time", "TIMESTAMP")]).collect();
        assert_eq!(types, schema, "{dataset}");
    }
}

/// Red switch: the same reads in two snapshots give another count.
#[tokio::test]
async fn a_watermark_that_moves_meanwhile_changes_nothing() {
    let platform = half_cold().await;
    let mut snapshot = open_snapshot(&platform.engine.pool).await.unwrap();
    let before = transactions(&mut snapshot).await;

    // Compaction goes on and cleanup follows at once, both committed.
    let mut conn = platform.connect().await;
    compact(&mut conn, &platform.objects, platform.scratch.path(), range(20, 30)).await;
    sqlx::query("DELETE FROM hot.transactions WHERE block_number < 30").execute(&mut conn).await.unwrap();

    let hot = before.hot[0].blocks;
    assert_eq!(hot, range(20, 35));
    let count = |blocks| blocks * TRANSACTIONS;
    let in_snapshot = isotherm_hot_store::rows::count(&mut snapshot, CHAIN, Dataset::Transactions, hot).await.unwrap();
    assert_eq!(in_snapshot, count(15), "every row above the old watermark is still there");
    let after = isotherm_hot_store::rows::count(&mut conn, CHAIN, Dataset::Transactions, hot).await.unwrap();
    assert_eq!(after, count(5), "a second snapshot would lose the rows that moved");
    assert_eq!(transactions(&mut snapshot).await, before);
    drop(snapshot);
    assert_eq!(rows(&platform, "select count(*) from transactions").await, [[json!(count(35))]]);
}

/// A batch query may read one dataset for longer than the grace period, and another one only then.
#[tokio::test]
async fn hot_rows_that_a_query_will_read_last_stay_until_it_ends() {
    let platform = half_cold().await;
    let mut snapshot = open_snapshot(&platform.engine.pool).await.unwrap();
    let hot = transactions(&mut snapshot).await.hot[0].blocks;
    assert_eq!(hot, range(20, 35));

    let mut conn = platform.connect().await;
    compact(&mut conn, &platform.objects, platform.scratch.path(), range(20, 30)).await;
    let leaves = cleanup::leaves(&mut conn, CHAIN, 10).await.unwrap();
    let is_next = |leaf: &&Leaf| leaf.dataset == Dataset::Transactions && leaf.blocks == range(20, 30);
    let leaf = *leaves.iter().find(is_next).unwrap();
    assert_eq!(cleanup::remove(&mut conn, CHAIN, &leaf).await.unwrap(), Removal::Busy);
    let found = isotherm_hot_store::rows::count(&mut snapshot, CHAIN, Dataset::Transactions, hot).await.unwrap();
    assert_eq!(found, 15 * TRANSACTIONS);

    drop(snapshot);
    let detaching = Leaf { state: LeafState::Detaching, ..leaf };
    let mut conn = platform.connect().await;
    assert_eq!(cleanup::remove(&mut conn, CHAIN, &detaching).await.unwrap(), Removal::Detached);
    assert_eq!(rows(&platform, "select count(*) from transactions").await, [[json!(35 * TRANSACTIONS)]]);
}

/// Where all rows of `transactions` are.
async fn transactions(snapshot: &mut PgConnection) -> Boundary {
    let need = Need { columns: vec!["block_number"], bounds: Bounds::ALL, runs: vec![Bounds::ALL], wanted: vec![] };
    let needs = Needs::from([((CHAIN, Dataset::Transactions), need)]);
    let scope = Scope::read(snapshot, &DatasetGrants::everything()).await.unwrap();
    boundary::read(snapshot, &scope, &needs).await.unwrap()
}

/// Red switch: a leaf that is not cold takes rows with it.
#[tokio::test]
async fn hot_rows_that_are_cold_may_go_and_every_answer_stays_the_same() {
    let platform = half_cold().await;
    let sql = "select count(*), sum(value) from transactions";
    let before = rows(&platform, sql).await;
    drop_leaves(&platform, 0).await;
    drop_leaves(&platform, 10).await;
    let hot: i64 =
        sqlx::query_scalar("SELECT count(*) FROM hot.transactions").fetch_one(&platform.engine.pool).await.unwrap();
    assert_eq!(hot.cast_unsigned(), 15 * TRANSACTIONS);
    assert_eq!(rows(&platform, sql).await, before);
    for dataset in Dataset::ALL {
        let sql = format!("select count(*) from {dataset}");
        let expected = made_chain::rows(dataset, range(0, 35)).num_rows();
        assert_eq!(rows(&platform, &sql).await, [[json!(expected)]], "{dataset}");
    }

    drop_leaves(&platform, 20).await;
    assert_eq!(rows(&platform, "select count(*) from transactions").await, [[json!(25 * TRANSACTIONS)]]);
}

/// Removes the hot rows of the partition that begins with block `start`, whatever may still need them.
async fn drop_leaves(platform: &Platform, start: u64) {
    let mut conn = platform.connect().await;
    let leaves = cleanup::leaves(&mut conn, CHAIN, 10).await.unwrap();
    for leaf in leaves.into_iter().filter(|leaf| leaf.blocks.start().0 == start) {
        assert_eq!(cleanup::remove(&mut conn, CHAIN, &leaf).await.unwrap(), Removal::Detached);
        let detached = Leaf { state: LeafState::Detached, ..leaf };
        assert_eq!(cleanup::remove(&mut conn, CHAIN, &detached).await.unwrap(), Removal::Gone);
    }
}

#[tokio::test]
async fn a_missing_or_altered_cold_file_fails_the_query_by_name() {
    let platform = half_cold().await;
    let key = "cold/made/logs/logs_0000000010_0000000019.parquet";
    let delete = platform.client.delete_object().bucket(platform.objects.bucket()).key(key);
    delete.send().await.unwrap();
    let error = run(&platform, "select count(*) from logs").await.unwrap_err();
    assert_eq!(error.code(), "query.cold_file_missing");
    assert!(error.to_string().contains(key), "{error}");
    // Where the file is not needed the query goes on.
    assert_eq!(
        rows(&platform, "select count(*) from logs where block_number < 10").await,
        [[json!(10 * 2 * TRANSACTIONS)]]
    );

    let put = platform.client.put_object().bucket(platform.objects.bucket()).key(key);
    put.body(b"not the file".to_vec().into()).send().await.unwrap();
    let error = run(&platform, "select count(*) from logs").await.unwrap_err();
    assert_eq!(error.code(), "query.cold_file_altered");
    assert!(error.to_string().contains(key), "{error}");
}

/// As a check records what it finds wrong with the rows of blocks 10..20.
async fn record(conn: &mut PgConnection, object: &str, fault: Fault) -> Recorded {
    let finding = Finding {
        dataset: Dataset::Logs,
        object: object.to_owned(),
        blocks: Some(range(10, 20)),
        fault,
        message: "as a check says it".to_owned(),
    };
    let sighting = Sighting { chain_id: CHAIN, finding: &finding, evidence: &json!({}), task_id: TaskId(1) };
    checks::record(conn, &sighting).await.unwrap()
}

#[tokio::test]
async fn a_file_with_an_open_finding_of_level_file_is_not_read_until_it_is_resolved() {
    let platform = half_cold().await;
    let mut conn = platform.connect().await;
    let (all, key) = ("select count(*) from logs", "cold/made/logs/logs_0000000010_0000000019.parquet");
    // What the rows say of each other is no reason to refuse the file that was committed.
    record(&mut conn, key, Fault::ReceiptsRoot).await;
    // Nobody lists this one any more.
    record(&mut conn, "cold/made/logs/logs_0000000010_0000000014.parquet", Fault::ObjectMissing).await;
    assert_eq!(rows(&platform, all).await, [[json!(35 * 2 * TRANSACTIONS)]]);

    let recorded = record(&mut conn, key, Fault::DigestDiffers).await;
    let error = run(&platform, all).await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("query.cold_file_unsound", Disposition::GiveUp));
    assert!(error.to_string().contains(key) && error.to_string().contains("digest_differs"), "{error}");
    let elsewhere = "select count(*) from logs where block_number < 10";
    assert_eq!(rows(&platform, elsewhere).await, [[json!(10 * 2 * TRANSACTIONS)]]);

    let now = checks::now(&mut conn).await.unwrap();
    assert_eq!(checks::resolve(&mut conn, &[recorded.id], now).await.unwrap(), 1);
    assert_eq!(rows(&platform, all).await, [[json!(35 * 2 * TRANSACTIONS)]]);
}

#[tokio::test]
async fn nothing_stored_is_an_empty_answer() {
    let platform = Platform::start().await;
    assert_eq!(rows(&platform, "select count(*), max(block_number) from blocks").await, [[json!(0), Value::Null]]);
    let answer = run(&platform, "select 1").await.unwrap();
    assert_eq!(answer.summary.state[0].tip_number, None::<BlockNumber>);
}

#[tokio::test]
async fn errors_have_a_code_and_the_place() {
    let platform = Platform::start().await;
    let table = [
        ("selec 1", "query.syntax", Some(0)),
        ("select * from blocks where", "query.syntax", Some(26)),
        ("select foo from blocks", "query.invalid", Some(7)),
        ("select 1, suum(1)", "query.refused", Some(10)),
        ("select * from nowhere.blocks", "query.unknown_relation", Some(14)),
        ("select foo from made.blocks", "query.invalid", Some(7)),
        ("select * from 'x.csv'", "query.refused", Some(14)),
        ("insert into blocks values (1)", "query.refused", None),
        ("select 1; select 2", "query.refused", None),
        ("select cast('x' as integer)", "query.failed", None),
        ("from range(200000)", "query.too_large", None),
    ];
    for (sql, code, position) in table {
        let error = run(&platform, sql).await.expect_err(sql);
        let answer = error.answer();
        assert_eq!((answer.code, answer.position), (code, position), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn a_long_query_is_stopped_in_time() {
    let platform = Platform::start().await;
    for sql in ["select count(*) from range(1000000000000)", "select list_sort(range(100000000))"] {
        let started = Instant::now();
        let error = platform.engine.run(QueryRequest::new(sql, Duration::from_secs(2))).await.unwrap_err();
        // The list is made while the statement is planned: a fast machine reaches the limit of memory first.
        assert!(["query.timeout", "query.out_of_memory"].contains(&error.code()), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    }
}
