//! The program itself: task on standard input, lines on standard output, signals.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::stage::Stage;
use isotherm_types::{OperatorLine, OperatorResult};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

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
