//! The API against a real Postgres and an AWS emulator: both doors fire once for a key and name the caller, and every route
//! lets in whom it should. Rules and channels are another's only as far as they should be; what is wrong with one is told field by
//! field.

use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::postgres::shared;
use isotherm_lab::process::eventually;
use isotherm_platform::database::PATIENCE;
use isotherm_platform::telemetry::logged;
use serde_json::{Value, json};

mod access;
mod alert_scene;
mod alerts;
mod channels;
mod look_again;
mod stage;

use stage::{ANN, Stage};

fn http(route: &str, name: &str, key: Option<&str>, body: &str, caller: Option<&str>) -> Value {
    let (kind, verb) = if route == "fire" { ("trigger", "triggers") } else { ("job", "jobs") };
    let route_key = format!("POST /v1/{verb}/{{{kind}}}/{route}");
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "headers": {},
        "pathParameters": { kind: name },
        "requestContext": { "routeKey": route_key, "http": { "method": "POST", "path": "/" }, "timeEpoch": 0 },
        "body": body,
        "isBase64Encoded": false,
    });
    if let Some(key) = key {
        event["headers"]["idempotency-key"] = json!(key);
    }
    if let Some(arn) = caller {
        event["requestContext"]["authorizer"] = json!({ "iam": { "userArn": arn } });
    }
    event
}

fn direct(action: &str, name: &str, key: &str, input: &Value) -> Value {
    let kind = if action == "fire_trigger" { "trigger" } else { "job" };
    json!({ "version": 1, "action": action, "org": "default", kind: name, "input": input, "idempotency_key": key })
}

#[tokio::test]
async fn both_doors_fire_once_for_a_key_publish_and_name_the_caller() {
    let stage = Stage::new().await;
    for (action, route, name, subject) in
        [("fire_trigger", "fire", "minute", "trigger"), ("run_job", "run", "work", "job")]
    {
        let (first, lines) = logged(stage.direct(direct(action, name, "k1", &json!({ "block": 7 })))).await;
        let event_id = first["event_id"].as_i64().unwrap_or_else(|| panic!("{first}"));
        let trace: String = sqlx::query_scalar("SELECT trace_id FROM control.events WHERE id = $1")
            .bind(event_id)
            .fetch_one(&stage.pool)
            .await
            .unwrap();
        let told: Vec<_> = lines.iter().filter(|line| line["message"] == "fired by hand").collect();
        assert_eq!((told.len(), &told[0]["trace.id"]), (1, &json!(trace)), "{lines:?}");
        assert_eq!(first, json!({ "event_id": event_id, "new": true }));
        assert_eq!(stage.last_actor(subject).await, "direct invoke r-1");
        let body = r#"{"input":{"block":7}}"#;
        let again = stage.http(http(route, name, Some("k1"), body, Some(ANN))).await;
        assert_eq!(again, (200, json!({ "event_id": event_id, "new": false })), "the same key by the other door");
        let (status, other) = stage.http(http(route, name, Some("k2"), body, Some(ANN))).await;
        assert_eq!((status, &other["new"]), (202, &json!(true)));
        assert_eq!(stage.last_actor(subject).await, ANN);
        let conflict = stage.http(http(route, name, Some("k1"), "{}", Some(ANN))).await;
        assert_eq!((conflict.0, &conflict.1["code"]), (409, &json!("control.idempotency_conflict")));
        let keyless = [
            stage.http(http(route, name, None, "", Some(ANN))).await,
            stage.http(http(route, name, None, "", Some(ANN))).await,
        ];
        assert_ne!(keyless[0].1["event_id"], keyless[1].1["event_id"]);
    }
    assert_eq!(stage.counts().await, (8, 0), "recorded and published");
}

#[tokio::test]
async fn what_cannot_be_done_is_answered_and_leaves_no_event() {
    let stage = Stage::new().await;
    let unknown = stage.direct(direct("fire_trigger", "minite", "k", &json!({}))).await;
    let message = "there is no active trigger called \"minite\"; near it: minute";
    assert_eq!(unknown, json!({ "error": { "code": "control.unknown_trigger", "message": message } }));
    let table = [
        (http("run", "work", None, "{}", None), 401, "access.unauthenticated"),
        (http("fire", "minute", None, "{}", None), 401, "access.unauthenticated"),
        (http("run", "wrok", None, "{}", Some(ANN)), 404, "control.unknown_job"),
        (http("run", "source", None, "{}", Some(ANN)), 422, "control.always_on"),
        (http("run", "work", Some("a b"), "{}", Some(ANN)), 400, "control.bad_idempotency_key"),
        (http("run", "work", None, "nothing", Some(ANN)), 400, "api.malformed_request"),
    ];
    for (event, status, code) in table {
        let (answered, body) = stage.http(event).await;
        assert_eq!((answered, body["code"].as_str()), (status, Some(code)), "{body}");
    }
    let mut elsewhere = direct("run_job", "work", "k", &json!({}));
    elsewhere["org"] = json!("nobody");
    assert_eq!(stage.direct(elsewhere).await["error"]["code"], "access.unknown_org");
    assert_eq!(stage.counts().await, (0, 0));
}

#[tokio::test]
async fn a_database_that_is_down_is_a_503_that_says_when_to_come_back() {
    let stage = Stage::new().await;
    stage.set_database("postgres://u:hunter2@127.0.0.1:1/d").await;
    let response = stage.direct(http("run", "work", None, "{}", Some(ANN))).await;
    assert_eq!((&response["statusCode"], &response["headers"]["retry-after"]), (&json!(503), &json!("5")));
    assert!(!response.to_string().contains("127.0.0.1"), "{response}");
    stage.set_database(&stage.database.url).await;
    assert_eq!(stage.http(http("run", "work", None, "{}", Some(ANN))).await.0, 202);
}

#[tokio::test]
async fn a_database_that_falls_silent_in_the_middle_is_a_503_too() {
    const WAITING: &str = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
          WHERE NOT l.granted AND a.datname = current_database()";
    let stage = Stage::new().await;
    let proxy = FaultProxy::start(format!("127.0.0.1:{}", shared().await.unwrap().port())).await.unwrap();
    stage.set_database(&proxy.through(&stage.database.url)).await;
    let mut holder = stage.database.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE control.events IN ACCESS EXCLUSIVE MODE").execute(&mut holder).await.unwrap();
    // From then on the call does not even hear that Postgres ends its statement.
    let silence = async {
        let waiting = async || sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&stage.pool).await.unwrap();
        eventually("a call that waits", async || waiting().await == 1).await.unwrap();
        proxy.switch(Mode::Blackhole);
    };
    let call = stage.http(http("run", "work", None, "{}", Some(ANN)));
    let answered = tokio::time::timeout(2 * PATIENCE, async { tokio::join!(call, silence).0 }).await;
    let (status, body) = answered.expect("it is answered before the function's time is over");
    assert_eq!((status, &body["code"]), (503, &json!("control.database")));
}
