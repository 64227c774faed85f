//! The program itself: task on standard input, lines on standard output, signals.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::stage::Stage;
use isotherm_types::{OperatorLine, OperatorResult};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

fn start(stage: &Stage, stderr: Stdio) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_operator-block_follower"))
        .env_clear()
        .env("DATABASE_URL", &stage.database.url)
        .env("RPC_URLS", stage.chain.rpc_url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let mut line = serde_json::to_string(&stage.spec(&json!({}))).unwrap();
    line.push('\n');
    child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    child
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[tokio::test]
async fn a_killed_follower_is_taken_on_by_the_next_and_a_stopped_one_gives_its_task_back() {
    let mut stage = Stage::new().await;
    stage.mine(10).await;
    let mut killed = start(&stage, Stdio::null());
    stage.caught_up().await;
    stage.mine(2).await;
    signal(&killed, Signal::SIGKILL);
    killed.wait().unwrap();
    stage.mine(8).await;

    let mut next = start(&stage, Stdio::null());
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    stage.assert_events_tell_the_story().await;
    signal(&next, Signal::SIGTERM);
    assert!(next.wait().unwrap().success());
    let lines: Vec<OperatorLine> = BufReader::new(next.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert_eq!(lines.last(), Some(&OperatorLine::Result(OperatorResult::Released)));
    let progress = lines.iter().filter(|line| matches!(line, OperatorLine::Progress { .. }));
    assert!(progress.count() >= 1);
}

#[tokio::test]
async fn the_lag_is_told_while_nothing_is_new() {
    let mut stage = Stage::new().await;
    stage.mine(3).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    follower.stop().await;

    let mut idle = start(&stage, Stdio::piped());
    let log = BufReader::new(idle.stderr.take().unwrap());
    let telling = tokio::task::spawn_blocking(move || {
        log.lines().map_while(Result::ok).any(|line| line.contains("\"ingest_lag_seconds\""))
    });
    let told = tokio::time::timeout(Duration::from_secs(20), telling).await;
    signal(&idle, Signal::SIGKILL);
    idle.wait().unwrap();
    assert!(told.is_ok_and(|told| told.unwrap()));
}

#[tokio::test]
async fn what_was_asked_and_written_is_told_at_the_end_and_each_commit_with_its_trace() {
    let mut stage = Stage::new().await;
    stage.mine(10).await;
    let follower = start(&stage, Stdio::piped());
    stage.caught_up().await;
    signal(&follower, Signal::SIGTERM);
    let output = follower.wait_with_output().unwrap();
    assert!(output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();

    let host = stage.chain.rpc_url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let asked: Vec<&Value> = lines.iter().filter(|line| !line["rpc_requests_total"].is_null()).collect();
    let answered = asked.iter().find(|line| line["outcome"] == "answered").expect("the endpoint answered");
    assert!(answered["rpc_requests_total"].as_f64() >= Some(2.0), "heads and blocks: {log}");
    assert!(asked.iter().all(|line| line["endpoint"] == host && line["chain"].is_string()), "{log}");

    let mut conn = stage.database.connect().await.unwrap();
    let (size_bytes,): (i64,) = sqlx::query_as("SELECT sum(size_bytes)::bigint FROM control.dataset_cursors")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    let written = lines.iter().filter(|line| line["store"] == "hot").filter_map(|line| line["bytes_written"].as_f64());
    assert_eq!(written.sum::<f64>(), size_bytes as f64, "{log}");

    let traces: Vec<(String,)> =
        sqlx::query_as("SELECT trace_id FROM control.events WHERE kind = 'dataset_advanced' ORDER BY id")
            .fetch_all(&mut conn)
            .await
            .unwrap();
    let stored = lines.iter().filter(|line| line["message"] == "blocks were stored");
    let told: Vec<&str> = stored.filter_map(|line| line["trace.id"].as_str()).collect();
    assert!(!told.is_empty(), "{log}");
    assert_eq!(told, traces.iter().map(|(trace,)| trace.as_str()).collect::<Vec<_>>());
}
