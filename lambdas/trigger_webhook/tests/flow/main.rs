//! The webhook trigger against a real Postgres and an AWS emulator: one genuine delivery, one firing; nothing else fires.

mod stage;

use std::collections::BTreeMap;
use std::time::Duration;

use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::postgres::shared;
use isotherm_lab::process::eventually;
use isotherm_platform::database::PATIENCE;
use isotherm_platform::telemetry::logged;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stage::{Answer, Call, NOW, Stage};

const BODY: &str = r#"{"order":{"id":7,"lines":[{"sku":"a"}]},"note":"n\u0000"}"#;

#[tokio::test]
async fn a_signed_delivery_fires_once_and_its_repetition_is_told_the_event() {
    let stage = Stage::new().await;
    let call = Call::signed("orders", "msg_1", BODY);
    let (first, lines) = logged(stage.call(&call)).await;
    assert_eq!(first.status, 202, "{first:?}");
    let event_id = first.body["event_id"].as_i64().unwrap();
    assert_eq!(first.body, json!({ "event_id": event_id }));
    let trace: String = sqlx::query_scalar("SELECT trace_id FROM control.events").fetch_one(&stage.pool).await.unwrap();
    let told: Vec<_> = lines.iter().filter(|line| line["message"] == "a webhook fired").collect();
    assert_eq!((told.len(), &told[0]["trace.id"]), (1, &json!(trace)), "{lines:?}");
    let (kind, body): (String, Value) = sqlx::query_as("SELECT kind, body FROM control.events WHERE id = $1")
        .bind(event_id)
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!((kind.as_str(), &body["fire_key"]), ("trigger_fired", &json!("delivery-msg_1")));
    assert_eq!(body["input"], json!({ "from": "file", "order": 7, "sku": "a" }));
    assert_eq!(stage.outbox_rows().await, 0, "it is published");

    for again in [call.clone(), Call::signed("orders", "msg_1", "no JSON any more")] {
        let replayed = stage.call(&again).await;
        assert_eq!((replayed.status, replayed.code()), (409, "webhook.replayed"));
        assert_eq!(replayed.body["event_id"], event_id);
    }
    assert_eq!(stage.events().await, 1);
    let whole = stage.call(&Call::signed("whole", "msg_1", BODY)).await;
    assert_eq!(whole.status, 202, "another trigger has deliveries of its own");
    let input: Value = sqlx::query_scalar("SELECT body -> 'input' FROM control.events ORDER BY id DESC LIMIT 1")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!(input["payload"]["note"], "n\u{fffd}");
}

#[tokio::test]
async fn one_delivery_that_comes_twice_at_one_moment_fires_once() {
    let stage = Stage::new().await;
    for round in 0..20 {
        let call = Call::signed("orders", &format!("msg_{round}"), BODY);
        let (one, other) = tokio::join!(stage.call(&call), stage.call(&call));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 409], "{one:?} {other:?}");
        assert_eq!(one.body["event_id"], other.body["event_id"]);
    }
    assert_eq!(stage.events().await, 20);
}

/// What is sent, the status and the code of the answer.
fn refusals() -> Vec<(&'static str, Call, u16, &'static str)> {
    let good = || Call::signed("orders", "msg_1", BODY);
    let without = |name: &str| {
        let mut call = good();
        call.headers.remove(name);
        call
    };
    let stale = |sent| Call::signed_at("orders", "msg_1", BODY, sent);
    vec![
        ("another body", Call { body: BODY.replace('7', "8"), ..good() }, 401, "webhook.bad_signature"),
        ("another key", Call::signed_with("d3Jvbmcga2V5", "orders", "msg_1", BODY), 401, "webhook.bad_signature"),
        ("another trigger's signature", Call { trigger: "whole".to_owned(), ..good() }, 401, "webhook.bad_signature"),
        ("no signature", without("webhook-signature"), 401, "webhook.missing_header"),
        ("no timestamp", without("webhook-timestamp"), 401, "webhook.missing_header"),
        ("no id", without("webhook-id"), 401, "webhook.missing_header"),
        ("too old", stale(NOW - 61), 401, "webhook.stale_timestamp"),
        ("from the future", stale(NOW + 61), 401, "webhook.stale_timestamp"),
        ("an id with a full stop", Call::signed("orders", "msg.1", BODY), 400, "webhook.bad_delivery_id"),
        ("too long for the trigger", Call::signed("orders", "msg_1", &" ".repeat(1001)), 413, "webhook.too_large"),
        ("too long unsigned", Call { body: " ".repeat(5 << 20), ..good() }, 413, "webhook.too_large"),
        ("an unknown trigger", Call::signed("ordres", "msg_1", BODY), 404, "webhook.not_found"),
        ("another kind of trigger", Call::signed("minute", "msg_1", BODY), 404, "webhook.not_found"),
        ("an unknown organisation", Call { org: "nobody".to_owned(), ..good() }, 404, "webhook.not_found"),
        ("a name with a NUL", Call { org: "a\0".to_owned(), ..good() }, 404, "webhook.not_found"),
        ("no JSON", Call::signed("orders", "msg_1", "{"), 400, "webhook.not_json"),
        ("no value", Call::signed("orders", "msg_1", r#"{"order":{"id":7}}"#), 422, "webhook.missing_parameter"),
        ("a missing secret", Call::signed("lost", "msg_1", BODY), 503, "secret.not_found"),
    ]
}

#[tokio::test]
async fn nothing_else_fires_and_each_refusal_has_its_status_and_code() {
    let stage = Stage::new().await;
    for (what, call, status, code) in refusals() {
        let answer = stage.call(&call).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{what}: {answer:?}");
        let mut fields: Vec<&str> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["code", "message"], "{what}");
        assert!(!answer.body.to_string().contains("sku\":"), "{what}: nothing of the body is repeated");
    }
    assert_eq!(stage.events().await, 0);
    let missing = stage.call(&Call::signed("orders", "msg_1", r#"{"order":{"id":7}}"#)).await;
    assert!(missing.body["message"].as_str().unwrap().contains("the parameter sku"), "{missing:?}");
    // None of them used the delivery's id up.
    assert_eq!(stage.call(&Call::signed("orders", "msg_1", BODY)).await.status, 202);
}

#[tokio::test]
async fn unknown_organisation_trigger_and_kind_are_told_apart_by_nothing() {
    let stage = Stage::new().await;
    let mut answers: Vec<Answer> = Vec::new();
    for (what, call, status, _) in refusals() {
        if status == 404 {
            answers.push(stage.call(&call).await);
            assert_eq!(answers[0], answers[answers.len() - 1], "{what}");
        }
    }
    assert_eq!(answers.len(), 4);
}

#[tokio::test]
async fn a_body_in_base64_is_verified_as_the_bytes_that_were_sent() {
    let stage = Stage::new().await;
    let answer = stage.call(&Call { is_base64: true, ..Call::signed("orders", "msg_1", BODY) }).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test]
async fn an_inactive_trigger_is_not_there() {
    let stage = Stage::new().await;
    sqlx::query("UPDATE control.triggers SET active = false").execute(&stage.pool).await.unwrap();
    assert_eq!(stage.call(&Call::signed("orders", "msg_1", BODY)).await.code(), "webhook.not_found");
}

#[tokio::test]
async fn a_new_key_counts_when_the_old_one_has_been_kept_long_enough() {
    let stage = Stage::new().await;
    assert_eq!(stage.call(&Call::signed("orders", "msg_1", BODY)).await.status, 202);
    stage.set_secret("orders", "whsec_bmV3IGtleQ==").await;
    let new_key = || Call::signed_with("bmV3IGtleQ==", "orders", "msg_2", BODY);
    assert_eq!(stage.call(&new_key()).await.status, 401, "the old key is kept");
    let forgetful = stage.with_key_lifetime(Duration::ZERO);
    assert_eq!(forgetful.call(&new_key()).await.status, 202);
}

#[tokio::test]
async fn a_database_that_is_down_is_a_503_that_says_when_to_come_back() {
    let stage = Stage::new().await;
    let lost = stage.with_database("postgres://u:hunter2@127.0.0.1:1/d").await;
    let answer = lost.call(&Call::signed("orders", "msg_1", BODY)).await;
    assert_eq!((answer.status, answer.code()), (503, "database.unreachable"));
    assert_eq!(answer.headers.get("retry-after").map(String::as_str), Some("5"));
    assert!(!answer.body.to_string().contains("127.0.0.1"), "{answer:?}");
    // It came up: the same function goes on.
    let url = stage.database_url();
    lost.set_database_secret(&url).await;
    assert_eq!(lost.call(&Call::signed("orders", "msg_1", BODY)).await.status, 202);
}

#[tokio::test]
async fn a_database_that_falls_silent_in_the_middle_is_a_503_too() {
    const WAITING: &str = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
          WHERE NOT l.granted AND a.datname = current_database()";
    let stage = Stage::new().await;
    // While the trigger is looked for, and while it fires.
    for table in ["control.triggers", "control.events"] {
        let proxy = FaultProxy::start(format!("127.0.0.1:{}", shared().await.unwrap().port())).await.unwrap();
        let behind = stage.with_database(&proxy.through(&stage.database_url())).await;
        let mut holder = PgConnection::connect(&stage.database_url()).await.unwrap();
        let lock = AssertSqlSafe(format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
        sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
        // From then on the call does not even hear that Postgres ends its statement.
        let silence = async {
            let waiting = async || sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&stage.pool).await.unwrap();
            eventually("a call that waits", async || waiting().await == 1).await.unwrap();
            proxy.switch(Mode::Blackhole);
        };
        let call = Call::signed("orders", "msg_1", BODY);
        let answered = async { tokio::join!(behind.call(&call), silence).0 };
        let answer = tokio::time::timeout(2 * PATIENCE, answered).await.expect("the function's time is not over");
        assert_eq!((answer.status, answer.code()), (503, "control.database"), "{table}");
        sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    }
}

#[tokio::test]
async fn a_queue_that_is_down_does_not_undo_what_is_recorded() {
    let stage = Stage::new().await;
    let answer = stage.without_queues().call(&Call::signed("orders", "msg_1", BODY)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(stage.outbox_rows().await, 1, "for the sweep");
}

#[tokio::test]
async fn an_event_of_another_shape_fails_the_invocation() {
    let stage = Stage::new().await;
    let error = stage.function.handle(json!({ "version": 1 })).await.unwrap_err();
    assert_eq!(error.code(), "event.malformed");
    let headers = BTreeMap::new();
    let elsewhere = Call { route_key: "POST /v1/query".to_owned(), headers, ..Call::signed("orders", "msg_1", BODY) };
    assert_eq!(stage.call(&elsewhere).await.status, 404);
}
