//! Calls that are none, of somebody who may do everything: bodies of any shape, other types, parameters and paths. Each is
//! refused with a stable code that blames the caller, and nothing is stored.
//!
//! The door is [`lambda_api::Api::handle`], for API Gateway's events and direct invocations, over a real Postgres.

use isotherm_access::Role;
use isotherm_access::issuer::AWS_IAM;
use isotherm_control::jobs;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::malformed::{Bytes, Calls, Json, Judge, Refusals, Verdict};
use serde_json::{Value, json};

use crate::alert_scene;
use crate::stage::Stage;

/// An AWS principal that is an admin of the default organisation.
const ROOT: &str = "arn:aws:iam::123456789012:user/root";

/// Documented calls, but for those that have the API look where an address leads.
const CALLS: [&str; 16] = [
    "direct_fire_trigger",
    "direct_run_job",
    "http_fire_trigger",
    "http_run_job",
    "http_whoami",
    "http_list_users",
    "http_add_user",
    "http_change_user",
    "http_list_tasks",
    "http_save_rule",
    "http_test_rule",
    "http_mute_rule",
    "http_list_alert_events",
    "http_confirm_channel",
    "http_list_deliveries",
    "http_replay_delivery",
];

const WORDS: [&str; 22] = [
    "\"input\":",
    "\"subject\":",
    "\"role\":\"admin\"",
    "\"active\":false",
    "\"from\":",
    "\"to\":",
    "\"definition\":",
    "\"seconds\":",
    "\"code\":",
    "\"source\":{\"dataset\":\"blocks\"}",
    "\"condition\":",
    "\"channels\":[",
    "9223372036854775808",
    "{}",
    "[]",
    "null",
    "\"\\ud800\"",
    "\\u0000",
    "1e999",
    "{",
    "}",
    ",",
];

/// Rows that calls make. Who was not let in is written down as well, and is not counted.
const STORED: &str = "
    SELECT (SELECT count(*) FROM control.events) + (SELECT count(*) FROM access.users) + (SELECT count(*) FROM alerts.rules)
         + (SELECT count(*) FROM alerts.channels) + (SELECT count(*) FROM alerts.deliveries)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_malformed_calls() {
    let mut experiment = Experiment::begin("malformed_calls", &["size"]);
    let stage = Stage::new().await;
    let mut conn = stage.pool.acquire().await.unwrap();
    let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    drop(conn);
    stage.add_user(org, AWS_IAM, ROOT, Role::Admin).await;
    alert_scene::chain(&stage).await;
    alert_scene::put_back(&stage, org, None).await;

    let calls = CALLS.map(call);
    let with_bodies: Vec<&Value> =
        calls.iter().filter(|call| call["body"].as_str().is_some_and(|body| body.starts_with('{'))).collect();
    let bodies: Vec<&str> = with_bodies.iter().filter_map(|call| call["body"].as_str()).collect();
    let texts = Bytes::new(bodies.iter().map(|body| body.as_bytes().to_vec()), &WORDS, 64 << 10);
    let shapes: Vec<Json> = bodies.iter().map(|body| Json::new([serde_json::from_str(body).unwrap()])).collect();
    let events = Json::new(calls.iter().cloned());
    let mut random = experiment.random(1);
    let count = experiment.scaled(300, 10_000);
    let around = Calls { pool: &stage.pool, stored: STORED, reads_first: experiment.lacks("size") };
    let door = async |event: Value| Verdict::of_answer(&stage.direct(event).await);
    let mut judge = Judge::new(Refusals::Final);
    for place in 0..count {
        let turn = place % with_bodies.len();
        let mut event = with_bodies[turn].clone();
        match place % 3 {
            0 => event["body"] = json!(shapes[turn].draw_text(&mut random)),
            1 => event["body"] = json!(String::from_utf8_lossy(&texts.draw(&mut random))),
            _ => event = events.draw(&mut random),
        }
        around.watch(&mut judge, event, door).await;
    }
    let huge = huge(&calls);
    let inputs = count + huge.len();
    for event in huge {
        around.watch(&mut judge, event, door).await;
    }
    judge.report(&mut experiment, i64::try_from(inputs).unwrap());
    experiment.finish();
}

/// A documented call, of somebody whom API Gateway knows, about what the stage has.
fn call(name: &str) -> Value {
    let path = format!("{}/../../events-fixtures/api/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut event: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    if event.get("requestContext").is_some() {
        event["requestContext"]["authorizer"] = json!({ "iam": { "userArn": ROOT } });
    }
    for (parameter, there) in [("job", "work"), ("trigger", "minute"), ("name", "full")] {
        if let Some(value) = event.get_mut("pathParameters").and_then(|parameters| parameters.get_mut(parameter)) {
            *value = json!(there);
        }
    }
    event
}

/// Bodies of megabytes that would become hundreds of them.
fn huge(calls: &[Value]) -> Vec<Value> {
    let run_job = calls.iter().find(|call| call["routeKey"] == "POST /v1/jobs/{job}/run").expect("a job is run");
    let with = |body: String| {
        let mut event = run_job.clone();
        event["body"] = json!(body);
        event
    };
    let mut encoded = with("A".repeat(8 << 20));
    encoded["isBase64Encoded"] = json!(true);
    vec![with(format!(r#"{{"input":{{"a":[{}1]}}}}"#, "1,".repeat(9 << 20))), with("[".repeat(1 << 20)), encoded]
}
