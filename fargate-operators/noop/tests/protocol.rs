//! The operator protocol as the noop program speaks it: a task on standard input, lines on standard output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use isotherm_types::operator::{EXIT_FAILED, EXIT_NO_READER, EXIT_OK, OPERATOR_PROTOCOL};
use isotherm_types::{Fence, OperatorLine, OperatorResult, TaskId, TaskSpec};
use serde_json::{Value, json};

/// Starts the program with a task of this config.
fn start(config: Value) -> Child {
    let spec = TaskSpec {
        version: OPERATOR_PROTOCOL,
        task_id: TaskId(1),
        fence: Fence(1),
        attempt: 1,
        job: "heartbeat".to_owned(),
        config,
        input: json!({}),
    };
    start_with(&format!("{}\n", serde_json::to_string(&spec).unwrap()))
}

fn start_with(input: &str) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_operator-noop"))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child
}

/// Lines of the program until its end, and its exit code.
fn run_to_its_end(mut child: Child) -> (Vec<OperatorLine>, Option<i32>) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    (lines, child.wait().unwrap().code())
}

#[test]
fn progress_comes_at_once_and_the_result_last() {
    let (lines, code) = run_to_its_end(start(json!({"steps": 1000})));
    assert_eq!(code, Some(EXIT_OK));
    let (result, progress) = lines.split_last().unwrap();
    assert!(matches!(result, OperatorLine::Result(OperatorResult::Completed { .. })));
    assert!(matches!(progress.last(), Some(OperatorLine::Progress { done: 1000, total: Some(1000), .. })));
    // A thousand steps without a wait are not worth a thousand lines.
    assert!(progress.len() < 500, "{} lines", progress.len());
}

#[test]
fn waiting_is_said_at_most_once_a_second_and_progress_is_not_lost_by_it() {
    let mut child = start(json!({"steps": 2, "stall_after": 1, "waiting": true}));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let began = std::time::Instant::now();
    let mut lines = Vec::new();
    while lines.iter().filter(|line| matches!(line, OperatorLine::Waiting)).count() < 3 {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        lines.push(serde_json::from_str::<OperatorLine>(&line).unwrap());
    }
    assert!(began.elapsed() > std::time::Duration::from_millis(1900), "{:?}", began.elapsed());
    assert!(matches!(lines[0], OperatorLine::Progress { done: 1, .. }), "{lines:?}");
    assert_eq!(lines.len(), 4, "{lines:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_result_that_nobody_reads_has_its_exit_code() {
    let mut child = start(json!({"steps": 1, "step_ms": 200}));
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(EXIT_NO_READER));
}

#[test]
fn a_failure_has_its_code_and_exit_code() {
    let (lines, code) = run_to_its_end(start(json!({"fail_with": "x"})));
    assert_eq!(code, Some(EXIT_FAILED));
    let [OperatorLine::Result(OperatorResult::Failed { code, .. })] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(code, "noop.asked_to_fail");
}

#[test]
fn input_that_is_no_task_is_a_failure_with_a_code() {
    for (input, expected) in [("", "operator.no_task"), ("hello\n", "operator.task_malformed")] {
        let (lines, code) = run_to_its_end(start_with(input));
        assert_eq!(code, Some(EXIT_FAILED));
        let [OperatorLine::Result(OperatorResult::Failed { code, .. })] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(code, expected);
    }
}

#[test]
fn sigterm_ends_it_with_released() {
    let mut child = start(json!({"steps": 10_000, "step_ms": 10}));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    let last = stdout.lines().map_while(Result::ok).last().unwrap();
    assert_eq!(last, r#"{"type":"result","outcome":"released"}"#);
    assert_eq!(child.wait().unwrap().code(), Some(EXIT_OK));
}

#[test]
fn an_operator_dies_with_what_started_it() {
    // The kernel sends the signal when the thread that started the process ends.
    let starter = std::thread::spawn(|| {
        let mut child = start(json!({"steps": 10_000, "step_ms": 10, "ignore_stop": true}));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        (child, stdout)
    });
    let (mut child, stdout) = starter.join().unwrap();
    assert_eq!(stdout.lines().map_while(Result::ok).filter(|line| line.contains("result")).count(), 0);
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}
