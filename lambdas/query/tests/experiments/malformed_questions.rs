//! Questions that are none, of somebody who may ask everything: bodies of any shape, SQL that is no SQL, other types, parameters, paths
//! and actions. Each is refused with a stable code that blames the caller, and nothing is saved.
//!
//! The door is [`lambda_query::QueryFunction::handle`], for API Gateway's events and direct invocations, over a real Postgres, cold files and
//! sandboxes. What SQL alone may come to is tried where it is read (`malformed_sql`, `hostile_queries`).

use isotherm_access::Role;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::malformed::{Bytes, Calls, Json, Judge, Refusals, Verdict};
use serde_json::{Value, json};

use crate::stage::Stage;

/// Documented requests by either door.
const EVENTS: [&str; 20] = [
    "direct_json",
    "direct_csv",
    "direct_parameters",
    "direct_batch",
    "direct_query_status",
    "direct_cancel_query",
    "direct_list_queries",
    "direct_list_datasets",
    "direct_save_query",
    "direct_show_saved_query",
    "direct_run_saved_query",
    "direct_delete_saved_query",
    "http_full",
    "http_datasets",
    "http_list_queries",
    "http_show_query",
    "http_cancel_query",
    "http_save_query",
    "http_run_saved",
    "http_delete_saved",
];

const WORDS: [&str; 26] = [
    "\"sql\":\"select 1\"",
    "\"sql\":\"\"",
    "\"parameters\":[",
    "\"parameters\":{\"a\":",
    "\"format\":\"parquet\"",
    "\"format\":\"xml\"",
    "\"mode\":\"batch\"",
    "\"timeout_seconds\":0",
    "\"timeout_seconds\":1e9",
    "\"as_of_block\":",
    "{\"chain\":\"made\",\"block\":7}",
    "\"query_id\":\"\"",
    "\"description\":",
    "select ",
    " from logs",
    "$1",
    "0x",
    "9223372036854775808",
    "null",
    "{}",
    "[]",
    "\"\\ud800\"",
    "\\u0000",
    "{",
    "}",
    ",",
];

/// Rows that requests make, but for the record that something was asked, which refused ones leave too.
const STORED: &str = "SELECT (SELECT count(*) FROM query.saved_queries) + (SELECT count(*) FROM control.tasks)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_malformed_questions() {
    let mut experiment = Experiment::begin("malformed_questions", &["size"]);
    let stage = Stage::new().await;
    let bearer = stage.logged_in(stage.org, "asker", Role::Admin).await;

    let events = EVENTS.map(|name| event(name, &bearer));
    let all = Json::new(events.iter().cloned());
    let with_bodies: Vec<&Value> = events.iter().filter(|event| event["body"].is_string()).collect();
    let bodies: Vec<&str> = with_bodies.iter().filter_map(|event| event["body"].as_str()).collect();
    let texts = Bytes::new(bodies.iter().map(|body| body.as_bytes().to_vec()), &WORDS, 64 << 10);
    let shapes: Vec<Json> = bodies.iter().map(|body| Json::new([serde_json::from_str(body).unwrap()])).collect();
    let mut random = experiment.random(1);
    let count = experiment.scaled(200, 10_000);
    let around = Calls { pool: &stage.pool, stored: STORED, reads_first: experiment.lacks("size") };
    let door = async |event: Value| verdict(&stage.direct(event).await);
    let mut judge = Judge::new(Refusals::Final);
    for place in 0..count {
        let turn = place % with_bodies.len();
        let mut event = with_bodies[turn].clone();
        match place % 4 {
            0 => event["body"] = json!(shapes[turn].draw_text(&mut random)),
            1 => event["body"] = json!(String::from_utf8_lossy(&texts.draw(&mut random))),
            _ => event = all.draw(&mut random),
        }
        around.watch(&mut judge, event, door).await;
    }
    let huge = huge(&events);
    let inputs = count + huge.len();
    for event in huge {
        around.watch(&mut judge, event, door).await;
    }
    judge.report(&mut experiment, i64::try_from(inputs).unwrap());
    experiment.finish();
}

/// A documented request, of somebody who is let in, about the chain that is there.
fn event(name: &str, bearer: &str) -> Value {
    let path = format!("{}/../../events-fixtures/query/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap().replace("monad", "made");
    let mut event: Value = serde_json::from_str(&text).unwrap();
    if event["headers"]["authorization"].is_string() {
        event["headers"]["authorization"] = json!(bearer);
    }
    event
}

/// Requests of megabytes that would become hundreds of them.
fn huge(events: &[Value]) -> Vec<Value> {
    let ask = events.iter().find(|event| event["routeKey"] == "POST /v1/query").expect("SQL is run");
    let with = |body: String, is_base64: bool| {
        let mut event = ask.clone();
        event["body"] = json!(body);
        event["isBase64Encoded"] = json!(is_base64);
        event
    };
    let of_numbers = format!(r#"{{"sql":"select 1","parameters":[{}1]}}"#, "1,".repeat(9 << 20));
    vec![with(of_numbers, false), with("[".repeat(1 << 20), false), with("A".repeat(8 << 20), true)]
}

/// What is answered, by either door.
fn verdict(answer: &Value) -> Verdict {
    let body = answer["body"].as_str().unwrap_or_default();
    // Good enough SQL, and its time was over.
    if answer["statusCode"] == 504 && body.contains("\"query.timeout\"") {
        Verdict::Taken
    } else {
        Verdict::of_answer(answer)
    }
}
