//! The demo, once with its comparison and once alive.

use std::fs;
use std::path::Path;

use isotherm_lab::process::eventually;
use isotherm_local_stack::{LocalAws, names};
use serde_json::{Value, json};

use crate::stack::Stack;

#[tokio::test]
async fn end_to_end_demo_equals_the_chain_though_its_follower_is_killed() {
    let mut stack = Stack::new();
    stack.start(&["demo", "--once", "--blocks", "150", "--block-time-ms", "250"]).await;
    eventually("blocks to be stored", async || stack.tip().await > 20).await.unwrap();
    let before = stack.running_task("follow-demo").await.unwrap();
    stack.kill_process("operator-block_follower");
    let reclaimed = async || match stack.running_task("follow-demo").await {
        Some(task) => task["task_id"] == before["task_id"] && task["fence"].as_u64() > before["fence"].as_u64(),
        None => false,
    };
    eventually("the follower to be claimed again", reclaimed).await.unwrap();

    assert_eq!(stack.ended().await, Some(0), "{}", stack.log());
    let log = stack.log();
    assert!(log.contains("the answers equal the chain"), "{log}");
    assert!(!log.contains("reorgs passed: 0"), "{log}");
}

#[tokio::test]
async fn end_to_end_a_running_demo_answers_every_way_of_asking() {
    let mut stack = Stack::new();
    stack.start(&["demo", "--block-time-ms", "250"]).await;
    eventually("a partition to be compacted", async || cold_files(&stack.status().await) >= 1).await.unwrap();
    let running = stack.running().unwrap();

    the_command_line_prints_answers_and_faults(&stack).await;
    lambda_and_api_give_the_same_answer(&stack, &running).await;
    every_event_shape_is_taken(&running).await;
    the_work_can_be_looked_at_held_back_and_retried(&stack).await;
    let doctor = stack.run(&["doctor"]).await;
    assert_eq!(doctor.code, Some(0), "{doctor:?}");

    let refused = stack.run(&["demo", "--once"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("a stack already runs"), "{refused:?}");
    let down = stack.run(&["down", "--wipe"]).await;
    assert_eq!(down.code, Some(0), "{down:?}");
    assert_eq!(stack.ended().await, Some(0));
    // What is not the stack's stays: here the output that this test has kept there.
    let entries = fs::read_dir(stack.folder()).unwrap();
    let mut left: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["stderr", "stdout"], "{down:?}");
}

fn cold_files(status: &Value) -> u64 {
    let datasets = status["chains"][0]["datasets"].as_array();
    datasets.into_iter().flatten().filter_map(|dataset| dataset["cold_files"].as_u64()).min().unwrap_or(0)
}

async fn the_command_line_prints_answers_and_faults(stack: &Stack) {
    let sql = "select block_number, count(*) from transactions group by 1 order by 1 desc limit 5";
    let table = stack.run(&["query", sql]).await;
    assert_eq!(table.code, Some(0), "{table:?}");
    assert!(table.stdout.contains("block_number") && table.stdout.contains("5 rows in"), "{}", table.stdout);
    let csv = stack.run(&["query", "--format", "csv", sql]).await.stdout;
    assert_eq!(csv.lines().count(), 6, "{csv}");
    assert!(csv.starts_with("block_number,"), "{csv}");

    let fault = stack.run(&["query", "select *\nform blocks"]).await;
    assert_eq!(fault.code, Some(1));
    assert!(fault.stderr.contains("query.syntax") && fault.stderr.contains("line 2: form blocks"), "{}", fault.stderr);
    for refused in ["drop table blocks", "select * from read_csv('/etc/passwd')", "select * from '/etc/passwd'"] {
        let ended = stack.run(&["query", refused]).await;
        assert_eq!(ended.code, Some(1), "{refused}: {ended:?}");
        assert!(!ended.stdout.contains("root"), "{refused}");
    }
}

async fn lambda_and_api_give_the_same_answer(stack: &Stack, running: &Value) {
    // Blocks below the watermark and above it: both sides of the boundary, and final, so that the answer stands still.
    let status = stack.status().await;
    let finalized = status["chains"][0]["finalized"]["number"].as_u64().unwrap();
    let sql =
        format!("select count(*), sum(block_number), max(block_hash) from blocks where block_number <= {finalized}");
    let by_command = stack.rows(&sql).await;
    let request = json!({ "sql": sql });

    let aws = LocalAws::new(running["endpoint_url"].as_str().unwrap(), "us-east-1", "000000000000").await;
    let by_lambda = invoke(&aws, "query", &request).await.unwrap();
    assert_eq!(by_lambda["rows"], json!(by_command));

    let url = format!("{}/v1/query", running["api_url"].as_str().unwrap());
    let nobody = reqwest::Client::new().post(&url).body(request.to_string()).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
    let login = stack.run(&["login"]).await;
    assert!(login.code == Some(0) && login.stdout.contains("logged in as"), "{login:?}");
    let token = fs::read_to_string(stack.folder().join("identity/token")).unwrap();
    let asked = |body: String| reqwest::Client::new().post(&url).bearer_auth(token.trim()).body(body).send();
    let answer = asked(request.to_string()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let by_api: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(by_api["rows"], json!(by_command));

    let refused = asked(r#"{"sql": 1}"#.to_owned()).await.unwrap();
    assert_eq!(refused.status(), 400);
    let whoami = stack.run(&["whoami"]).await;
    assert!(whoami.code == Some(0) && whoami.stdout.contains("admin"), "{whoami:?}");
}

async fn the_work_can_be_looked_at_held_back_and_retried(stack: &Stack) {
    let jobs = stack.json(&["jobs", "list"]).await;
    let follower = jobs.as_array().unwrap().iter().find(|job| job["job"] == "follow-demo").unwrap();
    assert_eq!((&follower["state"], &follower["tasks"]["running"]), (&json!("active"), &json!(1)), "{follower}");
    let triggers = stack.json(&["triggers", "list"]).await;
    let trigger = triggers[0]["trigger"].as_str().unwrap();
    stack.json(&["triggers", "history", trigger]).await;
    let unknown = stack.run(&["triggers", "history", "nope"]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains(trigger), "{unknown:?}");

    // A paused source that is cancelled stays down, and its retried task waits; resumed, it is claimed again.
    let pause = ["jobs", "pause", "follow-demo", "--reason", "a test"];
    assert_eq!(stack.json(&pause).await["changed"], true);
    assert_eq!(stack.json(&pause).await["changed"], false);
    assert_eq!(stack.status().await["paused_jobs"], json!(["follow-demo"]));
    let task = stack.running_task("follow-demo").await.expect("what runs goes on")["task_id"].to_string();
    let refused = stack.run(&["tasks", "retry", &task]).await;
    assert!(refused.code == Some(1) && refused.stdout.contains("nothing to retry"), "{refused:?}");
    assert_eq!(stack.json(&["tasks", "cancel", &task, "--reason", "a test"]).await[0]["outcome"], "cancelled");
    // The dispatcher may have made the source's next task in between; then that one is alive and the old one is refused.
    let again = stack.run(&["tasks", "retry", &task]).await;
    let retried = again.code == Some(0) && again.stdout.contains("its job is paused");
    assert!(retried || again.stdout.contains("is alive"), "{again:?}");
    let queued = stack.json(&["tasks", "list", "--state", "queued", "--job", "follow-demo"]).await;
    assert_eq!(queued[0]["waits"]["reason"], "job_paused", "{queued}");
    assert_eq!(stack.json(&["jobs", "resume", "follow-demo"]).await["changed"], true);
    eventually("the follower to run again", async || stack.running_task("follow-demo").await.is_some()).await.unwrap();

    let logs = stack.json(&["tasks", "logs", &task]).await;
    let file = logs[0]["file"].as_str().expect("the log is on this machine");
    assert!(Path::new(file).is_file() && file.contains("block_follower-"), "{logs}");
    let trail = stack.json(&["audit", "--subject", "job:follow-demo"]).await;
    let done: Vec<_> = trail.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(done, ["resumed", "paused", "created"], "newest first: {trail}");
    assert_eq!(trail[1]["reason"], "a test");
    assert_eq!(stack.json(&["dlq", "list"]).await["complete"], true);
    for listing in [&["jobs", "list"][..], &["triggers", "list"], &["tasks", "list"], &["dlq", "list"], &["audit"]] {
        let table = stack.run(listing).await;
        assert!(table.code == Some(0) && !table.stdout.is_empty(), "{listing:?}: {table:?}");
    }
}

/// Every file of `events-fixtures/<function>/` is taken by the real bootstrap of the function.
async fn every_event_shape_is_taken(running: &Value) {
    let aws = LocalAws::new(running["endpoint_url"].as_str().unwrap(), "us-east-1", "000000000000").await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut taken = 0;
    for function in fs::read_dir(root.join("lambdas")).unwrap() {
        let function = function.unwrap().file_name().into_string().unwrap();
        let fixtures = root.join("events-fixtures").join(&function);
        assert!(fixtures.is_dir(), "{function} has no fixtures");
        for fixture in fs::read_dir(fixtures).unwrap() {
            let path = fixture.unwrap().path();
            let event: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let answer = invoke(&aws, &function, &event).await;
            assert!(answer.is_ok(), "{}: {answer:?}", path.display());
            taken += 1;
        }
        let malformed = invoke(&aws, &function, &json!({ "version": 1, "kind": "nonsense", "surprise": true })).await;
        let code = match &malformed {
            Err(failure) => failure["errorType"].as_str(),
            Ok(answer) => answer["error"]["code"].as_str(),
        };
        assert!(code.is_some_and(|code| code.contains('.')), "{function} gives a stable code: {malformed:?}");
    }
    assert!(taken >= 8, "{taken} fixtures");
}

/// The answer, or what the function failed with.
async fn invoke(aws: &LocalAws, function: &str, event: &Value) -> Result<Value, Value> {
    let payload = aws_sdk_lambda::primitives::Blob::new(event.to_string());
    let name = names::function(function);
    let answer = aws.lambda().invoke().function_name(name).payload(payload).send().await.unwrap();
    let body: Value = serde_json::from_slice(answer.payload().unwrap().as_ref()).unwrap();
    if answer.function_error().is_some() { Err(body) } else { Ok(body) }
}
