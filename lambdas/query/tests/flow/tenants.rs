//! Organisations see nothing of each other, and read what is granted to them.

use chrono::{DateTime, Utc};
use isotherm_access::{Role, grants, orgs, row_security};
use isotherm_types::Dataset;
use lambda_query::Route;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::made_chain::CHAIN;
use crate::stage::Stage;

const ID: &str = "0199c0de-0000-7000-8000-000000000001";

#[tokio::test]
async fn two_organisations_do_not_see_each_others_queries() {
    let stage = Stage::new().await;
    let ann = stage.logged_in(stage.org, "ann", Role::Admin).await;
    let other = stage.other_org("other").await;
    let oscar = stage.logged_in(other, "oscar", Role::Admin).await;
    let ask = |sql: &str| json!({ "sql": sql, "query_id": ID });
    assert_eq!(stage.http(Route::Ask, &[], &ask("select 1 as n"), Some(&ann)).await.0, 200);
    let body = json!({ "sql": "select 'of ann'" });
    assert_eq!(stage.http(Route::SaveQuery, &["mine"], &body, Some(&ann)).await.0, 201);

    let (_, list) = stage.http(Route::ListQueries, &[], &Value::Null, Some(&oscar)).await;
    assert_eq!(list, json!({ "queries": [], "next": null }));
    for route in [Route::ShowQuery, Route::CancelQuery] {
        let (status, gone) = stage.http(route, &[ID], &Value::Null, Some(&oscar)).await;
        assert_eq!((status, &gone["code"]), (404, &json!("query.unknown_query")), "{route:?}");
    }
    assert_eq!(stage.http(Route::ListSaved, &[], &Value::Null, Some(&oscar)).await.1, json!({ "saved_queries": [] }));
    for route in [Route::ShowSaved, Route::DeleteSaved, Route::RunSaved] {
        assert_eq!(stage.http(route, &["mine"], &Value::Null, Some(&oscar)).await.0, 404, "{route:?}");
    }
    // Their ids are their own: that somebody else has one is not told by trying it.
    assert_eq!(stage.http(Route::Ask, &[], &ask("select 2 as n"), Some(&oscar)).await.0, 200);
    let (_, mine) = stage.http(Route::ShowQuery, &[ID], &Value::Null, Some(&ann)).await;
    assert_eq!(mine["asked_by"], json!("user:ann"));
    let elsewhere = json!({ "action": "query_status", "query_id": ID, "org": "other" });
    assert_eq!(stage.ask(elsewhere).await["asked_by"], json!("user:oscar"));
}

#[tokio::test]
async fn the_platforms_own_tables_show_each_organisation_its_own_rows_by_both_doors() {
    let stage = Stage::new().await;
    let ann = stage.logged_in(stage.org, "ann", Role::Reader).await;
    let other = stage.other_org("other").await;
    let oscar = stage.logged_in(other, "oscar", Role::Reader).await;
    let asked = |sql: &str| json!({ "sql": sql });
    for bearer in [&ann, &oscar] {
        assert_eq!(stage.http(Route::Ask, &[], &asked("select 1"), Some(bearer)).await.0, 200);
    }
    // Each has asked once, and is asking now.
    let sql = "select min(asked_by), max(asked_by), count(*) from isotherm.queries";
    for (bearer, name) in [(&ann, "user:ann"), (&oscar, "user:oscar")] {
        let (status, answer) = stage.http(Route::Ask, &[], &asked(sql), Some(bearer)).await;
        assert_eq!(
            (status, &answer["rows"], &answer["state"]),
            (200, &json!([[name, name, 2]]), &json!([])),
            "{answer}"
        );
    }
    let mine = "select count(*) from isotherm.queries where asked_by like 'user:%'";
    let of_other = "select count(*) from isotherm.queries where asked_by = 'user:oscar'";
    for (org, expected) in [("default", [2, 0]), ("other", [2, 2])] {
        for (sql, expected) in [mine, of_other].into_iter().zip(expected) {
            let answer = stage.ask(json!({ "sql": sql, "org": org })).await;
            assert_eq!(answer["rows"], json!([[expected]]), "{org}: {sql}");
        }
    }
}

/// The second guard, without the condition of our own statements.
#[tokio::test]
async fn postgres_itself_shows_an_organisation_its_own_rows_only() {
    let stage = Stage::new().await;
    let other = stage.other_org("other").await;
    stage.ask(json!({ "sql": "select 1" })).await;
    stage.ask(json!({ "action": "save_query", "name": "mine", "sql": "select 1" })).await;
    let mut conn = stage.pool.acquire().await.unwrap();
    for (org, seen) in [(stage.org, 1), (other, 0)] {
        let mut db_tx = conn.begin().await.unwrap();
        row_security::as_tenant(&mut db_tx, org).await.unwrap();
        let both = "SELECT (SELECT count(*) FROM query.queries), (SELECT count(*) FROM query.saved_queries)";
        let counts: (i64, i64) = sqlx::query_as(both).fetch_one(&mut *db_tx).await.unwrap();
        assert_eq!(counts, (seen, seen), "{org}");
        assert!(sqlx::query("DELETE FROM query.saved_queries").execute(&mut *db_tx).await.is_err());
    }
}

#[tokio::test]
async fn an_organisation_reads_and_is_told_of_what_is_granted_to_it() {
    let stage = Stage::new().await;
    let mut conn = stage.pool.acquire().await.unwrap();
    let org = orgs::create(&mut conn, "few", "test").await.unwrap();
    grants::grant(&mut conn, org, (Some(CHAIN), Some(Dataset::Logs)), "test").await.unwrap();
    drop(conn);
    let fay = stage.logged_in(org, "fay", Role::Reader).await;
    let (_, told) = stage.http(Route::ListDatasets, &[], &Value::Null, Some(&fay)).await;
    let names: Vec<&Value> = told["datasets"].as_array().unwrap().iter().map(|dataset| &dataset["name"]).collect();
    assert_eq!(names, [&json!("logs")]);
    let count = |dataset: &str| json!({ "sql": format!("select count(*) from {dataset}") });
    assert_eq!(stage.http(Route::Ask, &[], &count("logs"), Some(&fay)).await.0, 200);
    assert_eq!(stage.http(Route::Ask, &[], &count("blocks"), Some(&fay)).await.0, 400);
}

#[tokio::test]
async fn queries_are_listed_page_by_page_the_newest_first() {
    let stage = Stage::new().await;
    for number in 0..5 {
        stage.ask(json!({ "sql": format!("select {number}") })).await;
    }
    let mut seen: Vec<DateTime<Utc>> = Vec::new();
    let mut before = Value::Null;
    loop {
        let page = stage.ask(json!({ "action": "list_queries", "limit": 2, "before": before })).await;
        let queries = page["queries"].as_array().unwrap().iter();
        seen.extend(queries.map(|query| query["asked_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap()));
        before = page["next"].clone();
        if before.is_null() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
}
