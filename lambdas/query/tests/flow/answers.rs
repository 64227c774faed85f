//! Answers that come with the call, by both doors.

use isotherm_access::Role;
use isotherm_platform::metrics::recorded;
use isotherm_query::platform_tables;
use isotherm_types::Dataset;
use lambda_query::Route;
use serde_json::{Value, json};

use crate::made_chain::{CHAIN, TRANSACTIONS};
use crate::stage::{BLOCKS, Stage};

const ID: &str = "0199c0de-0000-7000-8000-000000000001";
const COUNT: &str = "select count(*) as n from transactions";

#[tokio::test]
async fn both_doors_give_the_same_rows_and_say_what_belongs_to_them() {
    let stage = Stage::new().await;
    let ann = stage.logged_in(stage.org, "ann", Role::Reader).await;
    let direct = stage.ask(json!({ "sql": COUNT })).await;
    assert_eq!(direct["rows"], json!([[BLOCKS * TRANSACTIONS]]));
    assert_eq!(direct["columns"], json!([{ "name": "n", "type": "BIGINT" }]));
    assert_eq!((&direct["row_count"], &direct["as_of"]), (&json!(1), &Value::Null));
    assert_eq!(direct["state"][0]["tip_number"], json!(BLOCKS - 1));
    for field in ["bytes", "duration_ms", "cold_files"] {
        assert!(direct[field].is_u64(), "{field}: {direct}");
    }
    let (status, http) = stage.http(Route::Ask, &[], &json!({ "sql": COUNT }), Some(&ann)).await;
    assert_eq!((status, &http["rows"]), (200, &direct["rows"]));
    assert_ne!(http["query_id"], direct["query_id"]);
    let csv = stage.ask(json!({ "sql": COUNT, "format": "csv" })).await;
    assert_eq!(csv["csv"], json!(format!("n\n{}\n", BLOCKS * TRANSACTIONS)));
    let response = stage.response(Route::Ask, &[], &json!({ "sql": COUNT, "format": "csv" }), Some(&ann)).await;
    assert_eq!(response["body"], csv["csv"]);
    assert!(response["headers"]["x-isotherm-query-id"].is_string(), "{response}");
}

#[tokio::test]
async fn a_query_leaves_a_record_and_its_text_is_nowhere() {
    let stage = Stage::new().await;
    let ann = stage.logged_in(stage.org, "ann", Role::Reader).await;
    let secret = "select 'hunter2' as word, count(*) from blocks";
    let (_, answer) = stage.http(Route::Ask, &[], &json!({ "sql": secret }), Some(&ann)).await;
    let id = answer["query_id"].as_str().unwrap();
    let (status, record) = stage.http(Route::ShowQuery, &[id], &Value::Null, Some(&ann)).await;
    assert_eq!((status, &record["state"], &record["mode"]), (200, &json!("completed"), &json!("interactive")));
    assert_eq!((&record["asked_by"], &record["row_count"]), (&json!("user:ann"), &json!(1)));
    let sha256 = isotherm_cold_store::Sha256Digest::of(secret.as_bytes()).to_string();
    assert_eq!(record["sql_sha256"], json!(sha256));
    let failed = "select hunter2 from blocks";
    let refused = stage.direct(json!({ "sql": failed, "query_id": ID })).await;
    assert_eq!(refused["error"]["code"], json!("query.invalid"));
    assert!(refused["error"]["message"].as_str().unwrap().contains("hunter2"), "the caller is told: {refused}");
    for table in ["query.queries", "control.audit_log", "control.events"] {
        let sql = format!("SELECT count(*) FROM {table} q WHERE q::text ILIKE '%hunter2%'");
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&stage.pool).await.unwrap();
        assert_eq!(found, 0, "{table}");
    }
    let record = stage.ask_status(ID).await;
    assert_eq!((&record["state"], &record["error"]["code"]), (&json!("failed"), &json!("query.invalid")));
}

/// Mode and outcome of the queries whose duration was told.
fn told(lines: &[Value]) -> Vec<(&str, &str)> {
    let of_queries =
        lines.iter().filter(|line| line["query_duration_ms"].as_f64().is_some_and(|duration| duration > 0.0));
    of_queries.map(|line| (line["mode"].as_str().unwrap(), line["outcome"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn how_long_a_query_took_is_told_with_how_it_ended() {
    let stage = Stage::new().await;
    let (_, lines) = recorded(stage.ask(json!({ "sql": COUNT }))).await;
    assert_eq!(told(&lines), [("interactive", "completed")], "{lines:?}");
    let (refused, lines) = recorded(stage.direct(json!({ "sql": "select hunter2 from blocks" }))).await;
    assert_eq!((refused["error"].is_null(), told(&lines)), (false, vec![("interactive", "failed")]), "{lines:?}");

    let (_, lines) = recorded(stage.ask(json!({ "sql": COUNT, "mode": "batch" }))).await;
    assert!(told(&lines).is_empty(), "it did not run yet: {lines:?}");
    let requests =
        lines.iter().filter_map(|line| Some((line["operation"].as_str()?, line["s3_requests_total"].as_f64()?)));
    assert_eq!(requests.collect::<Vec<_>>(), [("PutObject", 1.0)], "its request: {lines:?}");
}

#[tokio::test]
async fn parameters_and_the_block_of_the_answer_are_the_callers() {
    let stage = Stage::new().await;
    let below = "select count(*) from blocks where block_number < $1";
    assert_eq!(stage.ask(json!({ "sql": below, "parameters": [5] })).await["rows"], json!([[5]]));
    let named = "select count(*) from blocks where block_number between $low and $high";
    let answer = stage.ask(json!({ "sql": named, "parameters": { "low": 3, "high": 4 } })).await;
    assert_eq!(answer["rows"], json!([[2]]));
    let pinned = json!({ "sql": "select count(*) from blocks", "as_of_block": { "chain": "made", "block": 9 } });
    let answer = stage.ask(pinned).await;
    assert_eq!((&answer["rows"], &answer["as_of"]), (&json!([[10]]), &json!({ "chain": "made", "block": 9 })));
    let ahead = stage.direct(json!({ "sql": "select 1 from blocks", "as_of_block": BLOCKS })).await;
    assert!(ahead["error"]["code"].as_str().unwrap().starts_with("query.as_of"), "{ahead}");
}

#[tokio::test]
async fn nobody_without_a_token_gets_anywhere_by_http() {
    let stage = Stage::new().await;
    let ann = stage.logged_in(stage.org, "ann", Role::Reader).await;
    let forged = format!("{ann}x");
    for route in Route::ALL {
        let path = [ID];
        for bearer in [None, Some("Bearer x"), Some(forged.as_str())] {
            let response = stage.response(route, &path, &json!({ "nonsense": 1 }), bearer).await;
            assert_eq!(response["statusCode"], json!(401), "{route:?} {bearer:?}");
            assert!(response["headers"]["www-authenticate"].is_string(), "{response}");
        }
    }
    let asked: i64 = sqlx::query_scalar("SELECT count(*) FROM query.queries").fetch_one(&stage.pool).await.unwrap();
    assert_eq!(asked, 0);
}

#[tokio::test]
async fn an_id_is_good_for_one_query() {
    let stage = Stage::new().await;
    let request = json!({ "sql": COUNT, "query_id": ID });
    assert_eq!(stage.ask(request.clone()).await["query_id"], json!(ID));
    assert_eq!(stage.direct(request).await["error"]["code"], json!("query.id_taken"));
    let batch = json!({ "sql": COUNT, "query_id": ID, "mode": "batch" });
    assert_eq!(stage.direct(batch).await["error"]["code"], json!("query.id_taken"));
}

#[tokio::test]
async fn datasets_are_told_with_their_blocks_and_every_example_runs() {
    let stage = Stage::new().await;
    let told = stage.ask(json!({ "action": "list_datasets" })).await;
    let datasets = told["datasets"].as_array().unwrap();
    let names: Vec<&str> = datasets.iter().map(|dataset| dataset["name"].as_str().unwrap()).collect();
    assert_eq!(names, Dataset::ALL.map(Dataset::as_str));
    let tables = told["platform_tables"].as_array().unwrap();
    assert_eq!((tables.len(), &tables[0]["name"]), (platform_tables::ALL.len(), &json!("isotherm.tasks")));
    for table in tables {
        assert!(table["columns"].as_array().unwrap().iter().all(|column| column["description"].is_string()), "{table}");
        stage.ask(json!({ "sql": table["example"] })).await;
    }
    for dataset in datasets {
        assert!(dataset["columns"].as_array().unwrap().iter().any(|column| column["name"] == "block_number"));
        if dataset["name"] == "traces" {
            continue; // Nobody collects them on this chain.
        }
        let expected = json!([{
            "chain_id": CHAIN.0, "chain": "made",
            "cold": { "first_block": 0, "last_block": 19 }, "hot": { "first_block": 20, "last_block": BLOCKS - 1 },
        }]);
        assert_eq!(dataset["chains"], expected, "{dataset}");
        let rows = stage.ask(json!({ "sql": dataset["example"] })).await;
        assert!(rows["row_count"].as_u64().unwrap() > 0, "{dataset}");
    }
}
