//! Answers that are pinned to a block.

use isotherm_query::{AsOf, QueryAnswer, QueryError, QueryRequest};
use isotherm_types::{Classified, Dataset, DatasetGrants};
use serde_json::{Value, json};

use super::chains::two_chains;
use super::made_chain::{OTHER, TRANSACTIONS, hash, hash_on};
use super::platform::Platform;
use super::{drop_leaves, fetched, half_cold, request, rows_of};

async fn run(platform: &Platform, sql: &str, as_of: &Value) -> Result<QueryAnswer, QueryError> {
    let as_of: AsOf = serde_json::from_value(as_of.clone()).unwrap();
    platform.engine.run(QueryRequest { as_of: Some(as_of), ..request(sql) }).await
}

#[tokio::test]
async fn nothing_above_the_block_is_seen_on_either_side_of_the_watermark() {
    let platform = half_cold().await;
    // Hot rows and cold files of `transactions` that are needed.
    let table = [(0, (0, 1)), (4, (0, 1)), (9, (0, 1)), (10, (0, 2)), (19, (0, 2)), (20, (3, 2)), (34, (45, 2))];
    for (block, expected) in table {
        for as_of in [json!(block), json!(hash(block).to_string()), json!({"chain": "made", "block": block})] {
            let sql = "select count(*), max(block_number), count(distinct block_number) from transactions";
            let answer = run(&platform, sql, &as_of).await.unwrap();
            let counted = [json!((block + 1) * TRANSACTIONS), json!(block), json!(block + 1)];
            assert_eq!(rows_of(&answer), [counted], "{as_of}");
            assert_eq!(fetched(&answer), expected, "{as_of}");
            let state = serde_json::to_value(&answer.summary.state).unwrap();
            assert_eq!(state[0]["as_of"], json!({"number": block, "hash": hash(block).to_string()}), "{as_of}");
            assert_eq!(state[0]["tip_number"], json!(34), "{as_of}");
        }
    }
    let answer = run(&platform, "select count(*) from blocks where block_number > 20", &json!(20)).await.unwrap();
    assert_eq!((rows_of(&answer), fetched(&answer)), (vec![vec![json!(0)]], (0, 0)));
    let sql = "select max(block_number) from blocks where block_number > 5";
    let answer = run(&platform, sql, &json!(7)).await.unwrap();
    assert_eq!(rows_of(&answer), [[json!(7)]], "the file reaches further than the block");
}

#[tokio::test]
async fn a_block_that_is_not_there_is_an_error() {
    let platform = half_cold().await;
    let table = [
        (json!(35), "query.as_of_ahead"),
        (json!(u64::MAX), "query.as_of_ahead"),
        (json!(hash(35).to_string()), "query.as_of_unknown"),
        (json!(hash_on(OTHER, 3).to_string()), "query.as_of_unknown"),
        (json!({"chain": "nowhere", "block": 3}), "query.as_of_chain"),
    ];
    for (as_of, code) in table {
        let error = run(&platform, "select 1 from blocks", &as_of).await.unwrap_err();
        assert_eq!(error.code(), code, "{as_of}: {error}");
    }
    let empty = Platform::start().await;
    let error = run(&empty, "select 1", &json!(0)).await.unwrap_err();
    assert_eq!(error.code(), "query.as_of_ahead", "{error}");
}

#[tokio::test]
async fn a_block_that_only_cold_storage_has_is_found_by_number_and_at_the_ends_of_files_by_hash() {
    let platform = half_cold().await;
    drop_leaves(&platform, 0).await;
    let sql = "select max(block_number) from blocks";
    for (as_of, number, found) in [
        (json!(5), 5, Value::Null),
        (json!(9), 9, json!(hash(9).to_string())),
        (json!(hash(9).to_string()), 9, json!(hash(9).to_string())),
        (json!(hash(0).to_string()), 0, json!(hash(0).to_string())),
    ] {
        let answer = run(&platform, sql, &as_of).await.unwrap();
        assert_eq!(rows_of(&answer), [[json!(number)]], "{as_of}");
        let state = serde_json::to_value(&answer.summary.state).unwrap();
        assert_eq!(state[0]["as_of"], json!({"number": number, "hash": found}), "{as_of}");
    }
    let error = run(&platform, sql, &json!(hash(5).to_string())).await.unwrap_err();
    assert_eq!(error.code(), "query.as_of_unknown", "{error}");
}

#[tokio::test]
async fn of_several_chains_the_named_one_is_pinned_and_no_other() {
    let platform = two_chains().await;
    let sql = "select chain_id, count(*) from blocks group by 1 order by 1";
    let answer = run(&platform, sql, &json!({"chain": "made", "block": 12})).await.unwrap();
    assert_eq!(json!(rows_of(&answer)), json!([[31_337, 13], [31_338, 25]]));
    let state = serde_json::to_value(&answer.summary.state).unwrap();
    assert_eq!((&state[0]["as_of"]["number"], state[1].get("as_of")), (&json!(12), None));

    for sql in [sql, "select 1"] {
        let error = run(&platform, sql, &json!(12)).await.unwrap_err();
        assert_eq!(error.code(), "query.as_of_chain", "{sql}: {error}");
    }
    // It is clear which one is meant.
    let answer = run(&platform, "select count(*) from \"made-too\".blocks", &json!(12)).await.unwrap();
    assert_eq!(rows_of(&answer), [[json!(13)]]);
}

#[tokio::test]
async fn a_chain_that_is_not_granted_cannot_be_named() {
    let platform = two_chains().await;
    let mut texts = Vec::new();
    for chain in ["made", "none"] {
        let grants = DatasetGrants::of([(Some(OTHER), Some(Dataset::Blocks))]);
        let as_of = serde_json::from_value(json!({"chain": chain, "block": 3})).unwrap();
        let request = QueryRequest { grants, as_of: Some(as_of), ..request("select 1 from blocks") };
        let error = platform.engine.run(request).await.unwrap_err();
        assert_eq!(error.code(), "query.as_of_chain", "{error}");
        texts.push(error.to_string().replace("none", "made"));
    }
    assert_eq!(texts[0], texts[1]);
}
