//! Two chains: their relations, what is fetched of each, and who may read them.

use isotherm_hot_store::cursor;
use isotherm_query::{QueryAnswer, QueryError, QueryRequest};
use isotherm_types::{ChainId, Classified, Dataset, DatasetGrants};
use serde_json::{Value, json};

use super::made_chain::{CHAIN, OTHER, OTHER_NAME, TRANSACTIONS, compact_on, follow_on, hash, hash_on, range};
use super::platform::Platform;
use super::{fetched, half_cold, request, rows, rows_of, run};

const WITHOUT_TRACES: [Dataset; 3] = [Dataset::Blocks, Dataset::Transactions, Dataset::Logs];

/// Beside the half cold chain one without traces, of 25 blocks: 0..10 cold (and still hot too), 10..25 only hot.
pub(super) async fn two_chains() -> Platform {
    let platform = half_cold().await;
    let mut conn = platform.connect().await;
    cursor::ensure(&mut conn, OTHER, OTHER_NAME, 10).await.unwrap();
    follow_on(&mut conn, OTHER, &WITHOUT_TRACES, range(0, 25)).await;
    let scratch = platform.scratch.path();
    compact_on(&mut conn, OTHER, &WITHOUT_TRACES, &platform.objects, scratch, range(0, 10)).await;
    platform
}

async fn answered(platform: &Platform, sql: &str) -> (Vec<Vec<Value>>, (u64, usize)) {
    let answer = run(platform, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    (rows_of(&answer), fetched(&answer))
}

#[tokio::test]
async fn traces_are_one_relation_over_the_boundary() {
    let platform = half_cold().await;
    let (found, fetched) = answered(&platform, "select count(*), count(distinct block_number) from traces").await;
    assert_eq!((found, fetched), (vec![vec![json!(35 * TRANSACTIONS), json!(35)]], (15 * TRANSACTIONS, 2)));
    let sql = "select block_number, count(*), max(trace_index) from traces where block_number between 19 and 20 \
               group by 1 order by 1";
    let expected = [19, 20].map(|block| vec![json!(block), json!(TRANSACTIONS), json!(TRANSACTIONS - 1)]);
    assert_eq!(answered(&platform, sql).await, (expected.to_vec(), (TRANSACTIONS, 1)));
}

#[tokio::test]
async fn a_relation_of_one_chain_reads_that_chain_only() {
    let platform = two_chains().await;
    let table = [
        ("select count(*) from blocks", json!([60]), (15 + 15, 2 + 1)),
        ("select count(*) from made.blocks", json!([35]), (15, 2)),
        ("select count(*) from Made.BLOCKS", json!([35]), (15, 2)),
        ("select count(*) from \"made-too\".blocks", json!([25]), (15, 1)),
        ("select count(*) from \"made-too\".blocks b where b.block_number < 5", json!([5]), (0, 1)),
        // Both show the same hot rows, which are fetched once.
        ("select (select count(*) from made.blocks), (select count(*) from blocks)", json!([35, 60]), (30, 3)),
        ("with made as (select 1 as n) select count(*) from made, made.blocks", json!([35]), (15, 2)),
    ];
    for (sql, expected, fetched) in table {
        let (found, read) = answered(&platform, sql).await;
        assert_eq!((json!(found), read), (json!([expected]), fetched), "{sql}");
    }
    let sql = "select a.block_hash, b.block_hash from made.blocks a join \"made-too\".blocks b using (block_number) \
               where block_number in (3, 22) order by block_number";
    let expected = [3, 22].map(|block| vec![json!(hash(block).to_string()), json!(hash_on(OTHER, block).to_string())]);
    assert_eq!(rows(&platform, sql).await, expected);
}

#[tokio::test]
async fn a_filter_of_chains_bounds_what_is_fetched() {
    let platform = two_chains().await;
    let table = [
        (format!("chain_id = {OTHER}"), json!([[31_338, 25]]), (15, 1)),
        (format!("chain_id = {CHAIN} and block_number < 5"), json!([[31_337, 5]]), (0, 1)),
        (format!("chain_id > {CHAIN}"), json!([[31_338, 25]]), (15, 1)),
        ("chain_id = 7".to_owned(), json!([]), (0, 0)),
        (format!("chain_id in ({CHAIN}, {OTHER})"), json!([[31_337, 35], [31_338, 25]]), (30, 3)),
        ("chain_id % 2 = 0".to_owned(), json!([[31_338, 25]]), (30, 3)),
    ];
    for (filter, expected, fetched) in table {
        let sql = format!("select chain_id, count(*) from blocks where {filter} group by 1 order by 1");
        let (found, read) = answered(&platform, &sql).await;
        assert_eq!((json!(found), read), (expected, fetched), "{filter}");
    }
    let contradiction = format!("select count(*) from made.blocks where chain_id = {OTHER}");
    let (found, read) = answered(&platform, &contradiction).await;
    assert_eq!((json!(found), read), (json!([[0]]), (0, 0)));
}

#[tokio::test]
async fn a_chain_without_traces_has_a_watermark_and_no_relation_of_traces() {
    let platform = two_chains().await;
    let answer = run(&platform, "select count(*) from traces").await.unwrap();
    assert_eq!(rows_of(&answer), [[json!(35 * TRANSACTIONS)]]);
    let state = serde_json::to_value(&answer.summary.state).unwrap();
    assert_eq!(state[1]["chain"], json!(OTHER_NAME));
    assert_eq!(state[1]["watermark"], json!(9));
    assert_eq!(state[1]["watermarks"], json!({"blocks": 9, "logs": 9, "transactions": 9}));
    let error = run(&platform, "select count(*) from \"made-too\".traces").await.unwrap_err();
    let answer = error.answer();
    assert_eq!((answer.code, answer.position), ("query.not_collected", Some(21)), "{error}");
}

#[tokio::test]
async fn block_time_is_the_timestamp_as_a_time() {
    let platform = half_cold().await;
    let sql = "select b.block_time, b.timestamp from blocks b where block_number in (3, 30) order by 1";
    let expected =
        [[json!("1970-01-01T00:05:00Z"), json!(300)], [json!("1970-01-01T00:50:00Z"), json!(3000)]].map(Vec::from);
    assert_eq!(rows(&platform, sql).await, expected);
    // Neither query names the column that it is made of.
    let sql = "select count(*) from blocks where block_time >= timestamp '1970-01-01 00:50:00'";
    assert_eq!(rows(&platform, sql).await, [[json!(5)]]);
    let sql = "select min(block_time), max(block_time) from made.logs where block_number >= 19";
    assert_eq!(rows(&platform, sql).await, [[json!("1970-01-01T00:31:40Z"), json!("1970-01-01T00:56:45Z")]]);
}

async fn granted(
    platform: &Platform,
    grants: &[(Option<ChainId>, Option<Dataset>)],
    sql: &str,
) -> Result<QueryAnswer, QueryError> {
    let grants = DatasetGrants::of(grants.iter().copied());
    platform.engine.run(QueryRequest { grants, ..request(sql) }).await
}

#[tokio::test]
async fn what_is_not_granted_is_not_there() {
    let platform = two_chains().await;
    let logs_of_other = [(Some(OTHER), Some(Dataset::Logs))];
    for sql in ["select count(*) from logs", "select count(*) from \"made-too\".logs"] {
        let answer = granted(&platform, &logs_of_other, sql).await.unwrap();
        assert_eq!(rows_of(&answer), [[json!(25 * 2 * TRANSACTIONS)]], "{sql}");
        assert_eq!(fetched(&answer), (15 * 2 * TRANSACTIONS, 1), "{sql}");
        let expected = json!([{
            "chain_id": OTHER.0, "chain": OTHER_NAME, "tip_number": 24, "tip_hash": hash_on(OTHER, 24).to_string(),
            "watermark": 9, "watermarks": {"logs": 9}, "manifest_versions": {"logs": 1},
        }]);
        assert_eq!(serde_json::to_value(&answer.summary.state).unwrap(), expected, "{sql}");
    }
    let mut texts = Vec::new();
    for name in ["made.logs", "none.logs", "\"made-too\".blocks", "\"none-too\".blocks", "blocks", "traces"] {
        let error = granted(&platform, &logs_of_other, &format!("select 1 from {name}")).await.unwrap_err();
        assert_eq!((error.code(), error.answer().position), ("query.unknown_relation", Some(14)), "{name}: {error}");
        texts.push(error.to_string().replace("none", "made"));
    }
    assert_eq!((&texts[0], &texts[2]), (&texts[1], &texts[3]), "one that is there is told from one that is not");

    let answer = granted(&platform, &[(None, Some(Dataset::Blocks))], "select count(*) from blocks").await.unwrap();
    assert_eq!(rows_of(&answer), [[json!(60)]]);
    let nothing = granted(&platform, &[], "select 1").await.unwrap();
    assert_eq!((rows_of(&nothing), nothing.summary.state), (vec![vec![json!(1)]], vec![]));
}
