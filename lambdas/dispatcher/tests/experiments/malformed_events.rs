//! Events and messages that are none: each is refused, or named as failed, under a stable code, and nothing comes of it.
//!
//! The doors are what the functions do with what Lambda hands them: [`lambda::event_of`] for every kind of event, and for
//! messages each function that is woken by a queue, whole. Calls through API Gateway are tried where they are answered
//! (`lambdas/api`, `lambdas/query`, `lambdas/trigger_webhook`).

use isotherm_control::events;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::malformed::{Bytes, Json, Judge, Refusals, Verdict};
use isotherm_platform::Fault;
use isotherm_platform::lambda::batch_or_sweep::BatchOrSweep;
use isotherm_platform::lambda::http::HttpCall;
use isotherm_platform::lambda::{self, MalformedEvent};
use isotherm_types::{Classified as _, Disposition};
use lambda_reaper::ReaperEvent;
use lambda_trigger_cron::CronEvent;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::woken::{ByQueue, Woken};

const WORDS: [&str; 14] = [
    "\"version\":1",
    "\"version\":2",
    "\"event_id\":",
    "\"event_id\":-1",
    "\"event_id\":\"1\"",
    "\"Records\":[]",
    "\"body\":",
    "{}",
    "[]",
    "null",
    "\"kind\":\"sweep\"",
    "\\ud800",
    "1e400",
    ",",
];

/// Everything that events and messages could have left behind.
const STORED: &str = "
    SELECT (SELECT count(*) FROM control.events) + (SELECT count(*) FROM control.tasks)
         + (SELECT count(*) FROM control.outbox) + (SELECT count(*) FROM control.trigger_fires)
         + (SELECT count(*) FROM alerts.alert_events) + (SELECT count(*) FROM alerts.deliveries)";

/// Who is handed the event.
#[derive(Clone, Copy, Debug)]
enum Function {
    Woken(ByQueue),
    Cron,
    Reaper,
    Http,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_malformed_events() {
    let mut experiment = Experiment::begin("malformed_events", &["types"]);
    let reads_trees = experiment.lacks("types");
    let mut stage = Stage::new().await;
    let woken = Woken::new(&stage).await;
    let stored = stage.count(STORED).await;

    let batch = fixture("dispatcher/sqs_batch");
    let batches =
        ["dispatcher/sqs_batch", "trigger_threshold/sqs_batch", "alert_evaluate/sqs_batch", "alert_deliver/sqs_batch"];
    let sources = [
        Json::new(batches.into_iter().chain(["dispatcher/sweep"]).map(fixture)),
        Json::new(["tick", "tick_without_time", "sweep"].map(|name| fixture(&format!("trigger_cron/{name}")))),
        Json::new([fixture("reaper/reap")]),
        Json::new(
            ["query/api_gateway", "query/http_full", "trigger_webhook/delivery", "api/http_run_job"].map(fixture),
        ),
    ];
    let wakes = Bytes::new([br#"{"version":1,"event_id":41}"#.to_vec()], &WORDS, 8_000);
    let events = Bytes::new([batch.to_string().into_bytes()], &WORDS, 64 << 10);
    let mut random = experiment.random(1);
    let count = experiment.scaled(600, 10_000);
    let mut judge = Judge::new(Refusals::Final);
    for place in 0..count {
        let by_queue = Function::Woken(ByQueue::ALL[place / 8 % 4]);
        let (function, text) = match place % 8 {
            0..=2 => {
                let body = String::from_utf8_lossy(&wakes.draw(&mut random)).into_owned();
                (by_queue, with_body(&batch, &body).to_string())
            }
            3 => (by_queue, String::from_utf8_lossy(&events.draw(&mut random)).into_owned()),
            4 => (by_queue, sources[0].draw_text(&mut random)),
            5 => (Function::Cron, sources[1].draw_text(&mut random)),
            6 => (Function::Reaper, sources[2].draw_text(&mut random)),
            _ => (Function::Http, sources[3].draw_text(&mut random)),
        };
        judge.watch_async(text.as_bytes(), hand(&woken, function, &text, reads_trees)).await;
    }
    let huge = [
        with_body(&batch, &format!("[{}1]", "1,".repeat(9 << 20))).to_string(),
        format!("{{\"Records\":{}", "[".repeat(1 << 20)),
    ];
    for text in &huge {
        for by_queue in ByQueue::ALL {
            let handed = hand(&woken, Function::Woken(by_queue), text, reads_trees);
            judge.watch_async(&text.as_bytes()[..300], handed).await;
        }
    }
    experiment.equal("stored", stage.count(STORED).await, stored);
    judge.report(&mut experiment, i64::try_from(count + huge.len() * ByQueue::ALL.len()).unwrap());
    experiment.finish();
}

fn fixture(name: &str) -> Value {
    let path = format!("{}/../../events-fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The batch with one message, which has this body.
fn with_body(batch: &Value, body: &str) -> Value {
    let mut message = batch["Records"][0].clone();
    message["body"] = json!(body);
    json!({ "Records": [message] })
}

/// What becomes of an invocation with this payload.
async fn hand(woken: &Woken, function: Function, text: &str, reads_trees: bool) -> Verdict {
    // What is no JSON Lambda does not hand on.
    let Ok(payload) = serde_json::from_str::<Value>(text) else { return Verdict::Outside };
    match function {
        Function::Cron => read(lambda::event_of::<CronEvent>(payload)),
        Function::Reaper => read(lambda::event_of::<ReaperEvent>(payload)),
        Function::Http => read(HttpCall::of(payload)),
        Function::Woken(by_queue) => match lambda::event_of(payload) {
            Ok(event) => {
                let code = mistake(&event, reads_trees);
                answered(woken.handle(by_queue, event).await, code)
            }
            Err(error) => read::<()>(Err(error)),
        },
    }
}

fn read<T>(event: Result<T, MalformedEvent>) -> Verdict {
    match event {
        Ok(_) => Verdict::Taken,
        Err(error) => {
            let is_passing = error.disposition() != Disposition::GiveUp;
            Verdict::Refused { code: error.code().to_owned(), is_passing }
        }
    }
}

/// Why the first bad message of the event is one; there are no events at all, so a good one is about an unknown event.
fn mistake(event: &BatchOrSweep, reads_trees: bool) -> &'static str {
    let mut code = None;
    if let BatchOrSweep::Batch(batch) = event {
        for body in batch.records.iter().filter_map(|message| message.body.as_deref()) {
            if reads_trees {
                let _ = std::hint::black_box(serde_json::from_str::<Value>(body));
            }
            code = code.or_else(|| events::parse_wake(body).err().map(|error| error.code()));
        }
    }
    code.unwrap_or("control.unknown_event")
}

/// What a function's answer to a batch or a sweep says: that some message failed, or nothing.
fn answered(outcome: Result<Value, Fault>, mistake: &'static str) -> Verdict {
    match outcome {
        Ok(answer) => match answer["batchItemFailures"].as_array() {
            Some(failures) if !failures.is_empty() => Verdict::refused(mistake),
            _ => Verdict::Taken,
        },
        Err(fault) => Verdict::Broken(format!("{}: {}", fault.code(), fault.message())),
    }
}
