//! The worker is told to stop at an awkward moment: it ends in time, and no attempt is burnt.

use std::time::Duration;

use isotherm_control::task::TaskState;
use isotherm_lab::process::eventually;
use isotherm_types::{Fence, TaskId};
use serde_json::json;
use sqlx::PgConnection;

use crate::lab::{self, JobOptions, Lab, RunningWorker};

/// Fargate gives 30 s; a worker whose operator stops in time needs less than this.
const IN_TIME: Duration = Duration::from_secs(5);

/// Makes every statement on `table` wait until the connection is dropped.
async fn lock(lab: &Lab, table: &'static str) -> PgConnection {
    let mut conn = lab.connection().await;
    sqlx::raw_sql("BEGIN").execute(&mut conn).await.unwrap();
    let lock = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut conn).await.unwrap();
    conn
}

async fn until_the_worker_waits(lab: &Lab) {
    let mut conn = lab.connection().await;
    eventually("a worker that waits for a lock", async || {
        let query = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database()
                        AND application_name = 'isotherm-worker' AND wait_event_type = 'Lock'";
        sqlx::query_scalar(query).fetch_one(&mut conn).await.unwrap()
    })
    .await
    .unwrap();
}

async fn stops_in_time(worker: RunningWorker) {
    tokio::time::timeout(IN_TIME, worker.stop()).await.expect("it ends in time").unwrap();
}

/// The task is as if it had never been claimed, but for its fence.
async fn is_given_back(lab: &Lab, task: TaskId) {
    let row = lab.row(task).await;
    assert_eq!((row.task.state, row.task.attempts_left), (TaskState::Queued, 1));
    assert_eq!(row.attempts[0].outcome.as_deref(), Some("released"));
    assert!(lab::operators().is_empty());
}

#[tokio::test]
async fn while_it_claims_it_gives_the_task_back_before_an_operator_has_started() {
    let lab = Lab::start().await;
    let task = lab.task(json!({"steps": 1}), JobOptions::default()).await;
    let held = lock(&lab, "control.jobs").await;
    let worker = lab.worker().first_task(task).spawn();
    until_the_worker_waits(&lab).await;
    worker.ask_to_stop();
    drop(held);
    stops_in_time(worker).await;
    is_given_back(&lab, task).await;
    let attempt = lab.row(task).await.attempts.remove(0);
    assert_eq!((attempt.stderr_tail, attempt.exit_code, attempt.exit_signal), (None, None, None), "no operator ran");
}

#[tokio::test]
async fn while_its_claim_gets_no_answer_it_ends_all_the_same() {
    let lab = Lab::start().await;
    let task = lab.task(json!({"steps": 1}), JobOptions::default()).await;
    let held = lock(&lab, "control.jobs").await;
    let worker = lab.worker().first_task(task).spawn();
    until_the_worker_waits(&lab).await;
    stops_in_time(worker).await;
    drop(held);
    let row = lab.row(task).await;
    assert_eq!((row.task.state, row.attempts.len()), (TaskState::Queued, 0));
}

#[tokio::test]
async fn while_its_operator_starts_it_gives_the_task_back() {
    let lab = Lab::start().await;
    let task = lab.task(json!({"steps": 1000, "step_ms": 60}), JobOptions::default()).await;
    let worker = lab.worker().first_task(task).spawn();
    // The process is there; whether it has read its task or installed its handlers is open.
    eventually("an operator", async || !lab::operators().is_empty()).await.unwrap();
    stops_in_time(worker).await;
    is_given_back(&lab, task).await;
}

#[tokio::test]
async fn while_it_writes_the_end_down_the_end_is_kept() {
    let lab = Lab::start().await;
    let task = lab.task(json!({"steps": 5, "step_ms": 60}), JobOptions::default()).await;
    let worker = lab.worker().first_task(task).spawn();
    lab.until_running(task, Fence(1)).await;
    let held = lock(&lab, "control.tasks").await;
    eventually("the operator's end", async || lab::operators().is_empty()).await.unwrap();
    until_the_worker_waits(&lab).await;
    worker.ask_to_stop();
    drop(held);
    stops_in_time(worker).await;
    let row = lab.row(task).await;
    assert_eq!((row.task.state, row.attempts.len()), (TaskState::Completed, 1));
}

#[tokio::test]
async fn while_a_publication_hangs_it_ends_all_the_same() {
    let lab = Lab::start().await;
    let task = lab.task(json!({"steps": 5, "step_ms": 60}), JobOptions::default()).await;
    let worker = lab.worker().first_task(task).spawn();
    lab.until_running(task, Fence(1)).await;
    let held = lock(&lab, "control.outbox").await;
    eventually("the end", async || lab.row(task).await.task.state == TaskState::Completed).await.unwrap();
    until_the_worker_waits(&lab).await;
    stops_in_time(worker).await;
    drop(held);
}
