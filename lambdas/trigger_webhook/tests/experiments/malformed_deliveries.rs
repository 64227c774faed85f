//! Deliveries that are none: bodies of any shape that are rightly signed, headers that are not, calls that API Gateway would not make.
//! Each is refused with a stable code that blames its sender, and fires nothing.
//!
//! The door is [`lambda_trigger_webhook::WebhookTrigger::handle`], over a real Postgres and secrets of its own.

use isotherm_lab::experiment::Experiment;
use isotherm_lab::malformed::{Bytes, Json, Judge, Refusals, Verdict};
use isotherm_platform::lambda::http::HttpCall;
use serde_json::{Value, json};

use crate::stage::{Call, Stage};

/// What the trigger `orders` takes its parameters from.
const BODY: &str = r#"{"order":{"id":7,"lines":[{"sku":"a","count":2},{"sku":"b"}]},"note":"n"}"#;

const WORDS: [&str; 18] = [
    "\"order\":",
    "\"id\":",
    "\"lines\":[",
    "\"sku\":",
    "{\"order\":{\"id\":1}}",
    "9223372036854775808",
    "1e999",
    "-0",
    "{}",
    "[]",
    "null",
    "true",
    "\"\\ud800\"",
    "\\u0000",
    "\"~1\"",
    "{",
    "}",
    ",",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_malformed_deliveries() {
    let mut experiment = Experiment::begin("malformed_deliveries", &["size"]);
    let reads_first = experiment.lacks("size");
    let stage = Stage::new().await;
    let bodies = Bytes::new([BODY.as_bytes().to_vec()], &WORDS, 2_000);
    let shapes = Json::new([serde_json::from_str(BODY).unwrap()]);
    let calls = Json::new([
        Call::signed("orders", "msg_call", BODY).event(),
        Call { is_base64: true, ..Call::signed("whole", "msg_call", BODY) }.event(),
    ]);
    let mut random = experiment.random(1);
    let count = experiment.scaled(300, 10_000);
    let mut judge = Judge::new(Refusals::Final);
    let mut fired = 0;
    for place in 0..count {
        let trigger = if place % 16 == 0 { "whole" } else { "orders" };
        let id = format!("msg_{place}");
        let event = match place % 4 {
            0 => Call::signed(trigger, &id, &String::from_utf8_lossy(&bodies.draw(&mut random))).event(),
            1 => Call::signed(trigger, &id, &shapes.draw_text(&mut random)).event(),
            2 => {
                let mut event = Call::signed(trigger, &id, BODY).event();
                event["headers"] = Json::new([event["headers"].take()]).draw(&mut random);
                event
            }
            _ => calls.draw(&mut random),
        };
        fired += watch(&mut judge, &stage, event, reads_first).await;
    }
    let huge = huge();
    let inputs = count + huge.len();
    for event in huge {
        fired += watch(&mut judge, &stage, event, reads_first).await;
    }
    experiment.equal("fired", stage.events().await, fired);
    judge.report(&mut experiment, i64::try_from(inputs).unwrap());
    experiment.finish();
}

/// Bodies of megabytes that would become hundreds of them, rightly signed.
fn huge() -> Vec<Value> {
    let of_numbers = format!(r#"{{"order":[{}1]}}"#, "1,".repeat(9 << 20));
    let deep = "[".repeat(1 << 20);
    let encoded = Call { is_base64: true, ..Call::signed("whole", "msg_encoded", &of_numbers) };
    let calls = [Call::signed("orders", "msg_long", &of_numbers), Call::signed("whole", "msg_deep", &deep), encoded];
    calls.iter().map(Call::event).collect()
}

/// Hands the event to the function; returns how many firings it was told of: none or one.
async fn watch(judge: &mut Judge, stage: &Stage, event: Value, reads_first: bool) -> i64 {
    let text = event.to_string();
    let shown = &text.as_bytes()[..text.len().min(2_000)];
    let mut fired = 0;
    let door = async {
        if reads_first && let Ok(call) = HttpCall::of(event.clone()) {
            let body = call.body().unwrap_or_default();
            let _ = std::hint::black_box(serde_json::from_slice::<Value>(&body));
        }
        let verdict = hand(stage, event).await;
        fired = i64::from(verdict == Verdict::Taken);
        verdict
    };
    judge.watch_async(shown, door).await;
    fired
}

/// What the sender is told.
async fn hand(stage: &Stage, event: Value) -> Verdict {
    let answer = match stage.function.handle(event).await {
        Ok(answer) => answer,
        // An event that is none of API Gateway's.
        Err(fault) => return Verdict::refused(fault.code()),
    };
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default()).unwrap_or(Value::Null);
    match (answer["statusCode"].as_u64(), body["code"].as_str()) {
        (Some(202), None) if body["event_id"].is_i64() => Verdict::Taken,
        (Some(400..=499), Some(code)) if body["message"] != json!("") => Verdict::refused(code),
        (status, code) => Verdict::Broken(format!("it is answered with {status:?} and {code:?}")),
    }
}
