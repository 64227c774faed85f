//! Operators whose process lives and whose work stands still.

use isotherm_control::task::TaskState;
use isotherm_lab::process::eventually;
use isotherm_types::Fence;
use serde_json::json;

use crate::lab::{self, JobOptions, Lab};

#[tokio::test]
async fn an_operator_that_stands_still_is_killed_and_its_task_tried_again() {
    let lab = Lab::start().await;
    let options = JobOptions { max_attempts: 2, stall_timeout_seconds: Some(1.0), ..JobOptions::default() };
    let task = lab.task(json!({"steps": 5, "stall_after": 2, "ignore_stop": true}), options).await;
    lab.wake(task).await;
    lab.worker().idle_seconds(1).run_to_its_end().await.unwrap();

    let row = lab.row(task).await;
    assert_eq!((row.task.state, row.task.fence), (TaskState::Failed, Fence(2)));
    assert_eq!(row.task.progress.0, Some(2));
    for attempt in &row.attempts {
        assert_eq!((attempt.error_code.as_deref(), attempt.exit_signal), (Some("worker.stalled"), Some(9)));
    }
    assert!(lab::operators().is_empty());
}

#[tokio::test]
async fn a_stopped_operator_is_killed_and_its_task_completed_by_another_attempt() {
    let lab = Lab::start().await;
    let options = JobOptions { max_attempts: 2, stall_timeout_seconds: Some(2.0), ..JobOptions::default() };
    let task = lab.task(json!({"steps": 30, "step_ms": 60}), options).await;
    lab.wake(task).await;
    let worker = lab.worker().idle_seconds(3).spawn();
    lab.until_running(task, Fence(1)).await;
    worker.signal_operator("-STOP").await;
    worker.end().await.unwrap();

    let row = lab.row(task).await;
    assert_eq!((row.task.state, row.task.fence), (TaskState::Completed, Fence(2)));
    assert_eq!(row.attempts[0].error_code.as_deref(), Some("worker.stalled"));
    assert_eq!(row.attempts[1].outcome.as_deref(), Some("completed"));
}

#[tokio::test]
async fn an_operator_that_says_that_it_waits_is_not_stalled() {
    let lab = Lab::start().await;
    let options = JobOptions { stall_timeout_seconds: Some(2.0), ..JobOptions::default() };
    let task = lab.task(json!({"steps": 2, "stall_after": 1, "waiting": true}), options).await;
    lab.wake(task).await;
    let worker = lab.worker().spawn();
    lab.until_running(task, Fence(1)).await;
    let mut conn = lab.connection().await;
    eventually("more than twice the span", async || {
        let query = "SELECT started_at < clock_timestamp() - interval '5 seconds' FROM control.tasks";
        sqlx::query_scalar(query).fetch_one(&mut conn).await.unwrap()
    })
    .await
    .unwrap();
    let row = lab.row(task).await.task;
    assert_eq!((row.state, row.fence), (TaskState::Running, Fence(1)));
    worker.stop().await.unwrap();
}
