//! Every way to make a task, from its cause to its end: a schedule, a webhook, a threshold, and a person.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::process::eventually;
use isotherm_types::{Clock as _, SystemClock};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::stack::{Ended, Stack};

const PIPELINE: &str = "
version: 1
jobs:
  - { name: ticked, operator: noop, config: { steps: 2, step_ms: 10 } }
  - { name: called, operator: noop, config: { steps: 2, step_ms: 10 } }
  - { name: crossed, operator: noop, config: { steps: 2, step_ms: 10 } }
  - { name: by-hand, operator: noop, config: { steps: 2, step_ms: 10 } }
  - { name: hopeless, operator: noop, max_attempts: 1, config: { fail_with: noop.asked_to_fail } }
triggers:
  - { name: tick, job: ticked, cron: { schedule: rate(1 minute), timezone: Europe/Berlin } }
  - { name: call, job: called, webhook: { secret: isotherm/webhook/test, max_body_bytes: 1000, parameters: { who: /user/name } } }
  - { name: cross, job: crossed, threshold: { chain_id: CHAIN, measure: finalized_blocks, every: 10 } }
  - { name: hand, job: by-hand, cron: { schedule: at(2099-01-01T00:00:00) }, input: { from: file } }
";

/// The signing key of the test's webhook.
const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

#[tokio::test]
async fn end_to_end_every_cause_leads_to_a_task_and_every_step_is_in_the_trail() {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    chain.mine(25).await.unwrap();
    let url = chain.rpc_url();
    let mut stack = Stack::new();
    stack.start(&["up", "--rpc-url", &url, "--chain", "test", "--start", "0", "--partition-blocks", "20"]).await;
    eventually("the chain's head to be stored", async || stack.tip().await == 25).await.unwrap();

    apply(&stack, chain.chain_id()).await;
    let api = stack.running().unwrap()["api_url"].as_str().unwrap().to_owned();
    a_signed_call_is_taken_once_and_no_other_is(&stack, &api).await;
    a_person_fires_a_trigger_once(&stack).await;

    for (job, count) in [("called", 1), ("by-hand", 1), ("crossed", 2), ("ticked", 1)] {
        let done = async || tasks(&stack, job, "completed").await.len() >= count;
        // The schedule ticks once a minute.
        eventually(job, done).await.unwrap();
        let task = tasks(&stack, job, "completed").await.pop().unwrap();
        assert_eq!(trail(&stack, &task).await, ["created", "claimed", "completed"], "{job}");
    }
    assert_eq!(tasks(&stack, "called", "completed").await.len(), 1, "one delivery, one task");
    let called = &tasks(&stack, "called", "completed").await[0];
    assert_eq!(called["input"]["who"], "ann");
    assert_eq!(tasks(&stack, "by-hand", "completed").await[0]["input"], json!({ "from": "file", "x": 1 }));

    a_task_that_failed_is_a_dead_letter_until_it_is_retried(&stack).await;
    assert_eq!(stack.run(&["down", "--wipe"]).await.code, Some(0));
}

/// A fault in the file changes nothing; the file is applied, and applying it again changes nothing.
async fn apply(stack: &Stack, chain_id: u64) {
    let file = stack.folder().join("pipeline.yaml");
    let path = file.to_str().unwrap();
    let text = PIPELINE.replace("CHAIN", &chain_id.to_string());
    fs::write(&file, text.replace("name: called, operator", "name: ticked, operatr")).unwrap();
    let refused = stack.run(&["apply", path]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("pipeline.yaml:5:") && refused.stderr.contains("operatr"), "{}", refused.stderr);
    let before = stack.run(&["jobs", "list", "--output", "json"]).await.stdout;
    assert!(!before.contains("hopeless"), "{before}");

    fs::write(&file, text).unwrap();
    let plan = stack.run(&["plan", "--exit-code", path]).await;
    assert_eq!(plan.code, Some(2), "{plan:?}");
    let applied = stack.run(&["apply", path]).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let again = stack.run(&["plan", "--exit-code", path]).await;
    assert_eq!(again.code, Some(0), "{again:?}");

    let set = stack.run_with_input(&["secrets", "set", "webhook/test"], KEY).await;
    assert_eq!(set.code, Some(0), "{set:?}");
    assert!(!format!("{set:?}").contains(KEY));
}

async fn a_signed_call_is_taken_once_and_no_other_is(stack: &Stack, api: &str) {
    let url = format!("{api}/v1/webhooks/default/call");
    let webhook = Webhook::new(KEY).unwrap();
    let now = SystemClock.now().timestamp();
    let body = r#"{"user":{"name":"ann"}}"#;
    let call = async |id: &str, timestamp: i64, body: &str, signature: Option<String>| {
        let signature = signature.unwrap_or_else(|| webhook.sign(id, timestamp, body.as_bytes()).unwrap());
        let request = reqwest::Client::new().post(&url).body(body.to_owned());
        let request = request.header("webhook-id", id).header("webhook-timestamp", timestamp.to_string());
        let answer = request.header("webhook-signature", signature).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap())
    };
    let forged = format!("v1,{}", STANDARD.encode([7; 32]));
    let large = format!(r#"{{"user":{{"name":"{}"}}}}"#, "x".repeat(2_000));
    for (id, timestamp, body, signature, status) in [
        ("msg_forged", now, body, Some(forged), 401),
        ("msg_stale", now - 3_600, body, None, 401),
        ("msg_large", now, large.as_str(), None, 413),
    ] {
        let (got, answer) = call(id, timestamp, body, signature).await;
        assert_eq!(got, status, "{id}: {answer}");
        assert!(answer["code"].is_string() && answer["message"].is_string(), "{id}: {answer}");
    }
    let (status, answer) = call("msg_1", now, body, None).await;
    assert_eq!(status, 202, "{answer}");
    assert!(answer["event_id"].is_i64(), "{answer}");
    assert_eq!(call("msg_1", now, body, None).await.0, 409, "a replay");
    eventually("the call's task", async || !tasks(stack, "called", "completed").await.is_empty()).await.unwrap();
}

async fn a_person_fires_a_trigger_once(stack: &Stack) {
    let fire = ["triggers", "fire", "hand", "--input", r#"{"x":1}"#, "--key", "once"];
    for _ in 0..2 {
        let fired = stack.run(&fire).await;
        assert_eq!(fired.code, Some(0), "{fired:?}");
    }
    let history = stack.run(&["triggers", "history", "hand", "--output", "json"]).await;
    let history: Vec<Value> = serde_json::from_str(&history.stdout).unwrap();
    assert_eq!(history.len(), 1, "{history:?}");
}

async fn a_task_that_failed_is_a_dead_letter_until_it_is_retried(stack: &Stack) {
    let run = stack.run(&["jobs", "run", "hopeless"]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    eventually("the task to fail", async || !tasks(stack, "hopeless", "failed").await.is_empty()).await.unwrap();
    let listed = async || stack.run(&["dlq", "list", "--output", "json"]).await.stdout;
    eventually("the dead letter", async || listed().await.contains("noop.asked_to_fail")).await.unwrap();
    let task = tasks(stack, "hopeless", "failed").await[0]["task_id"].to_string();
    let retried: Ended = stack.run(&["tasks", "retry", &task, "--reason", "test"]).await;
    assert_eq!(retried.code, Some(0), "{retried:?}");
    eventually("the second failure", async || {
        tasks(stack, "hopeless", "failed").await.first().is_some_and(|task| task["fence"] == 2)
    })
    .await
    .unwrap();
}

/// The tasks of a job in a state, newest first.
async fn tasks(stack: &Stack, job: &str, state: &str) -> Vec<Value> {
    let ended = stack.run(&["tasks", "list", "--job", job, "--state", state, "--output", "json"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

/// What was done to a task, oldest first.
async fn trail(stack: &Stack, task: &Value) -> Vec<String> {
    let ended = stack.run(&["tasks", "show", &task["task_id"].to_string(), "--output", "json"]).await;
    let details: Value = serde_json::from_str(&ended.stdout).unwrap();
    details["trail"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}
