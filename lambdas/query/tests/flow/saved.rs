//! Queries under a name.

use isotherm_access::Role;
use lambda_query::Route;
use serde_json::{Value, json};

use crate::stage::Stage;

const NAME: &[&str] = &["first_blocks"];

#[tokio::test]
async fn a_query_is_saved_changed_run_and_deleted() {
    let stage = Stage::new().await;
    let writer = stage.logged_in(stage.org, "wanda", Role::Writer).await;
    let reader = stage.logged_in(stage.org, "ann", Role::Reader).await;
    let body = |sql: &str| json!({ "sql": sql, "description": "d", "parameters": { "below": 3, "unused": 1 } });
    let sql = "select count(*) as n from blocks where block_number < $below and $unused = 1";
    let (status, refused) = stage.http(Route::SaveQuery, NAME, &body(sql), Some(&reader)).await;
    assert_eq!((status, &refused["code"]), (403, &json!("access.forbidden")));
    let (status, saved) = stage.http(Route::SaveQuery, NAME, &body("select 1"), Some(&writer)).await;
    assert_eq!((status, &saved["created_by"]), (201, &json!("user:wanda")));
    assert_eq!(stage.http(Route::SaveQuery, NAME, &body(sql), Some(&writer)).await.0, 200);
    let (_, shown) = stage.http(Route::ShowSaved, NAME, &Value::Null, Some(&reader)).await;
    assert_eq!((&shown["sql"], &shown["parameters"]["below"]), (&json!(sql), &json!(3)));
    let (_, list) = stage.http(Route::ListSaved, &[], &Value::Null, Some(&reader)).await;
    assert_eq!(list, json!({ "saved_queries": [shown] }));

    let (status, answer) = stage.http(Route::RunSaved, NAME, &Value::Null, Some(&reader)).await;
    assert_eq!((status, &answer["rows"]), (200, &json!([[3]])));
    let run = json!({ "parameters": { "below": 5 }, "format": "csv" });
    let (_, text) = stage.http(Route::RunSaved, NAME, &run, Some(&reader)).await;
    assert_eq!(text, json!("n\n5\n"));

    assert_eq!(stage.http(Route::DeleteSaved, NAME, &Value::Null, Some(&reader)).await.0, 403);
    assert_eq!(stage.http(Route::DeleteSaved, NAME, &Value::Null, Some(&writer)).await.0, 200);
    for route in [Route::ShowSaved, Route::DeleteSaved, Route::RunSaved] {
        let (status, gone) = stage.http(route, NAME, &Value::Null, Some(&writer)).await;
        assert_eq!((status, &gone["code"]), (404, &json!("query.unknown_saved_query")), "{route:?}");
    }
}

#[tokio::test]
async fn there_are_so_many_and_no_more() {
    let stage = Stage::new().await;
    sqlx::query(
        "INSERT INTO query.saved_queries (org_id, name, description, sql, created_by, updated_by)
         SELECT $1, 'n' || i, '', 'select 1', 'test', 'test' FROM generate_series(1, 200) i",
    )
    .bind(stage.org.0)
    .execute(&stage.pool)
    .await
    .unwrap();
    let save = |name: &str| json!({ "action": "save_query", "name": name, "sql": "select 2" });
    let refused = stage.direct(save("one_more")).await;
    assert_eq!(refused["error"]["code"], json!("query.too_many_saved"));
    assert_eq!(stage.ask(save("n7")).await["sql"], json!("select 2"), "one that is there can be changed");
}

/// Red switch: all of it is saved, until a list is more than Lambda carries and nobody can see it.
#[tokio::test]
async fn what_is_saved_can_always_be_listed() {
    let stage = Stage::new().await;
    let reader = stage.logged_in(stage.org, "ann", Role::Reader).await;
    // A line break takes three bytes in a list as it is sent: 87 of these leave less than 18,000.
    sqlx::query(
        "INSERT INTO query.saved_queries (org_id, name, description, sql, created_by, updated_by)
         SELECT $1, 'n' || i, '', repeat(E'\\n', 16000), 'test', 'test' FROM generate_series(1, 87) i",
    )
    .bind(stage.org.0)
    .execute(&stage.pool)
    .await
    .unwrap();
    let save = |name: &str, breaks: usize| {
        let sql = format!("select 2{}", "\n".repeat(breaks));
        json!({ "action": "save_query", "name": name, "sql": sql, "parameters": ["\n".repeat(breaks)] })
    };
    let refused = stage.direct(save("long", 3000)).await;
    assert_eq!(refused["error"]["code"], json!("query.too_many_saved"));
    assert!(refused["error"]["message"].as_str().unwrap().contains("more than 4 MiB"), "{refused}");
    stage.ask(save("short", 2000)).await;
    let response = stage.response(Route::ListSaved, &[], &Value::Null, Some(&reader)).await;
    assert!(response.to_string().len() < 6_000_000, "{}", response.to_string().len());
    let body: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    let names: Vec<&Value> = body["saved_queries"].as_array().unwrap().iter().map(|query| &query["name"]).collect();
    assert!(names.contains(&&json!("short")) && !names.contains(&&json!("long")), "{names:?}");
    stage.ask(save("n7", 1000)).await;
    stage.ask(save("long", 3000)).await;
}
