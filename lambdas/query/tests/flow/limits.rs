//! Ending queries, and how many run at one time.

use std::time::{Duration, Instant};

use isotherm_access::Role;
use isotherm_cold_store::Sha256Digest;
use isotherm_lab::process::eventually;
use isotherm_query::records::{self, Asked, NewQuery, Place, QueryKey};
use isotherm_query::results::ResultFormat;
use lambda_query::Route;
use serde_json::{Value, json};

use crate::stage::{ENDLESS, Stage};

const ID: &str = "0199c0de-0000-7000-8000-000000000001";
const OTHER: &str = "0199c0de-0000-7000-8000-000000000002";

async fn state(stage: &Stage, id: &str) -> String {
    let found: Option<String> = sqlx::query_scalar("SELECT state FROM query.queries WHERE id = $1::uuid")
        .bind(id)
        .fetch_optional(&stage.pool)
        .await
        .unwrap();
    found.unwrap_or_default()
}

/// Holds one place for `lease`, as a query does that runs elsewhere.
async fn hold_a_place(stage: &Stage, id: &str, lease: Duration) {
    let mut conn = stage.pool.acquire().await.unwrap();
    let key = QueryKey { org: stage.org, id: id.parse().unwrap() };
    let query = NewQuery {
        key,
        user: None,
        actor: "test",
        sql_sha256: Sha256Digest::of(b""),
        format: ResultFormat::Json,
        timeout: Duration::from_secs(5),
    };
    assert_eq!(records::ask(&mut conn, &query, Duration::from_secs(60)).await.unwrap(), Asked::Now);
    assert_eq!(records::take_place(&mut conn, key, u32::MAX).await.unwrap(), Place::Taken);
    sqlx::query("UPDATE query.queries SET lease_expires_at = now() + make_interval(secs => $2) WHERE id = $1")
        .bind(key.id)
        .bind(lease.as_secs_f64())
        .execute(&mut *conn)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_query_that_runs_ends_by_its_callers_wish() {
    let stage = Stage::new().await;
    let ann = stage.logged_in(stage.org, "ann", Role::Reader).await;
    let began = Instant::now();
    let request = json!({ "sql": ENDLESS, "query_id": ID, "timeout_seconds": 40 });
    let wish = async {
        eventually("a query that runs", async || state(&stage, ID).await == "running").await.unwrap();
        stage.http(Route::CancelQuery, &[ID], &Value::Null, Some(&ann)).await
    };
    let (asked, wished) = tokio::join!(stage.http(Route::Ask, &[], &request, Some(&ann)), wish);
    assert_eq!((asked.0, &asked.1["code"]), (409, &json!("query.cancelled")));
    assert_eq!((wished.0, &wished.1["cancel_asked_by"]), (202, &json!("user:ann")), "{}", wished.1);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let (_, record) = stage.http(Route::ShowQuery, &[ID], &Value::Null, Some(&ann)).await;
    assert_eq!((&record["state"], &record["error"]["code"]), (&json!("cancelled"), &json!("query.cancelled")));
    let (status, again) = stage.http(Route::CancelQuery, &[ID], &Value::Null, Some(&ann)).await;
    assert_eq!((status, &again["state"]), (200, &json!("cancelled")));
}

#[tokio::test]
async fn nobody_but_an_admin_ends_another_ones_query() {
    let stage = Stage::new().await;
    let ann = stage.logged_in(stage.org, "ann", Role::Reader).await;
    let bob = stage.logged_in(stage.org, "bob", Role::Writer).await;
    let eve = stage.logged_in(stage.org, "eve", Role::Admin).await;
    stage.http(Route::Ask, &[], &json!({ "sql": "select 1", "query_id": ID }), Some(&ann)).await;
    let (status, refused) = stage.http(Route::CancelQuery, &[ID], &Value::Null, Some(&bob)).await;
    assert_eq!((status, &refused["code"]), (403, &json!("access.forbidden")));
    for admin in [&ann, &eve] {
        assert_eq!(stage.http(Route::CancelQuery, &[ID], &Value::Null, Some(admin)).await.0, 200);
    }
}

#[tokio::test]
async fn without_a_free_place_a_query_is_busy_or_becomes_a_batch() {
    let mut stage = Stage::new().await;
    stage.function.places = 1;
    hold_a_place(&stage, ID, Duration::from_secs(60)).await;
    let ann = stage.logged_in(stage.org, "ann", Role::Reader).await;
    let interactive = json!({ "sql": "select 1", "mode": "interactive" });
    let response = stage.response(Route::Ask, &[], &interactive, Some(&ann)).await;
    assert_eq!((&response["statusCode"], &response["headers"]["retry-after"]), (&json!(429), &json!("5")));
    let auto = json!({ "sql": "select 1", "query_id": OTHER });
    let (status, queued) = stage.http(Route::Ask, &[], &auto, Some(&ann)).await;
    let expected = json!({ "query_id": OTHER, "state": "queued", "status_url": format!("/v1/queries/{OTHER}") });
    assert_eq!((status, queued), (202, expected));
    let record = stage.ask_status(OTHER).await;
    assert_eq!((&record["state"], &record["mode"]), (&json!("queued"), &json!("batch")));
    // Other organisations have places of their own.
    let other = stage.other_org("other").await;
    let oscar = stage.logged_in(other, "oscar", Role::Reader).await;
    assert_eq!(stage.http(Route::Ask, &[], &interactive, Some(&oscar)).await.0, 200);
}

#[tokio::test]
async fn the_wait_for_a_place_is_part_of_the_time_that_was_asked_for() {
    let mut stage = Stage::new().await;
    (stage.function.places, stage.function.place_wait) = (1, Duration::from_secs(30));
    // Half of the time is over when there is a place.
    hold_a_place(&stage, ID, Duration::from_secs(2)).await;
    let request = json!({ "sql": ENDLESS, "mode": "interactive", "timeout_seconds": 4 });
    let error = stage.direct(request).await["error"].clone();
    assert_eq!(error["code"], json!("query.timeout"));
    assert_eq!(error["message"], json!("the query was stopped after 4 s"));

    hold_a_place(&stage, OTHER, Duration::from_secs(60)).await;
    let began = Instant::now();
    let busy = stage.direct(json!({ "sql": "select 1", "mode": "interactive", "timeout_seconds": 1 })).await;
    assert_eq!(busy["error"]["code"], json!("query.busy"));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_query_whose_runner_is_lost_gives_its_place_back() {
    let mut stage = Stage::new().await;
    stage.function.places = 1;
    hold_a_place(&stage, ID, Duration::ZERO).await;
    let answer = stage.ask(json!({ "sql": "select 1 as n", "mode": "interactive" })).await;
    assert_eq!(answer["rows"], json!([[1]]));
    let lost = stage.ask_status(ID).await;
    assert_eq!((&lost["state"], &lost["error"]["code"]), (&json!("failed"), &json!("query.lost")));
}

#[tokio::test]
async fn a_query_that_waits_for_a_place_ends_by_its_callers_wish() {
    let mut stage = Stage::new().await;
    (stage.function.places, stage.function.place_wait) = (1, Duration::from_secs(30));
    hold_a_place(&stage, ID, Duration::from_secs(60)).await;
    let wish = async {
        eventually("a query that waits", async || state(&stage, OTHER).await == "queued").await.unwrap();
        stage.direct(json!({ "action": "cancel_query", "query_id": OTHER })).await
    };
    let (asked, _) = tokio::join!(stage.direct(json!({ "sql": "select 1", "query_id": OTHER })), wish);
    assert_eq!(asked["error"]["code"], json!("query.cancelled"));
    assert_eq!(state(&stage, OTHER).await, "cancelled");
}
