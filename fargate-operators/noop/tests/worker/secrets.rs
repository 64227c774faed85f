//! Secrets reach the operator, and nothing that is kept.

use isotherm_control::task::TaskState;
use serde_json::json;

use crate::lab::{JobOptions, Lab};

#[tokio::test]
async fn a_secret_that_an_operator_says_is_not_kept() {
    let lab = Lab::start().await;
    let name = lab.secret(r#"{"url":"https://node.example/very-secret-key"}"#).await;
    let options = JobOptions { secrets: json!({"NOOP_URL": name}), ..JobOptions::default() };
    let task = lab.task(json!({}), options).await;
    lab.wake(task).await;
    let telltale = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worker/telltale.sh");
    lab.worker().idle_seconds(1).program(telltale).run_to_its_end().await.unwrap();

    let row = lab.row(task).await;
    assert_eq!(row.task.state, TaskState::Completed, "{:?}", row.task.error);
    assert_eq!(row.attempts[0].stderr_tail.as_deref(), Some("the address is [secret]\n"));
    assert_eq!(row.task.progress, (Some(1), None, Some("at [secret]".to_owned())));
    assert_eq!(row.task.output.unwrap(), json!({"at": ["[secret]"], "[secret]": 1}));
}

#[tokio::test]
async fn a_secret_reaches_the_operators_environment() {
    let lab = Lab::start().await;
    let name = lab.secret(r#"{"url":"https://node.example/very-secret-key"}"#).await;
    let options = JobOptions { secrets: json!({"NOOP_URL": name}), ..JobOptions::default() };
    let task = lab.task(json!({"steps": 1}), options).await;
    lab.wake(task).await;
    lab.worker().idle_seconds(1).run_to_its_end().await.unwrap();

    let row = lab.row(task).await;
    assert_eq!(row.task.state, TaskState::Completed, "{:?}", row.task.error);
    let variables = row.task.output.unwrap()["variables"].clone();
    let expected =
        ["AWS_REGION", "ISOTHERM_BUCKET_COLD", "ISOTHERM_TRACE_ID", "MALLOC_MMAP_THRESHOLD_", "NOOP_URL", "RUST_LOG"];
    assert_eq!(variables, json!(expected));
}

#[tokio::test]
async fn a_missing_secret_fails_the_attempt_by_name() {
    let lab = Lab::start().await;
    let options = JobOptions { secrets: json!({"NOOP_URL": "isotherm/nowhere"}), ..JobOptions::default() };
    let task = lab.task(json!({}), options).await;
    lab.wake(task).await;
    lab.worker().idle_seconds(1).run_to_its_end().await.unwrap();

    let (code, message) = lab.row(task).await.task.error.unwrap();
    assert_eq!(code, "secret.not_found");
    assert!(message.contains("isotherm/nowhere"));
}
