//! The worker runs the noop operator's real program against a real Postgres and an emulated AWS.

#[path = "worker/lab.rs"]
mod lab;
#[path = "worker/presence.rs"]
mod presence;
#[path = "worker/secrets.rs"]
mod secrets;
#[path = "worker/stalling.rs"]
mod stalling;
#[path = "worker/stopping.rs"]
mod stopping;

use std::time::Duration;

use isotherm_control::task::TaskState;
use isotherm_control::{audit, events, outbox};
use isotherm_lab::process::eventually;
use isotherm_platform::database::PoolOptions;
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Dataset, EventBody, Fence};
use lab::{JobOptions, Lab};
use serde_json::json;

#[tokio::test]
async fn a_task_is_completed_and_its_wake_up_is_gone() {
    let lab = Lab::start().await;
    let task = lab.task(json!({"steps": 3}), JobOptions::default()).await;
    lab.wake(task).await;
    lab.worker().idle_seconds(1).run_to_its_end().await.unwrap();

    let row = lab.row(task).await;
    assert_eq!(row.task.state, TaskState::Completed);
    assert_eq!(row.task.output.unwrap()["steps"], 3);
    assert_eq!(row.task.progress, (Some(3), Some(3), Some("step 3".to_owned())));
    assert_eq!(row.attempts.len(), 1);
    let log = row.attempts[0].stderr_tail.as_deref().unwrap();
    assert!(log.contains("the task starts"));
    let (trace_id,): (String,) = sqlx::query_as("SELECT trace_id FROM control.tasks WHERE id = $1")
        .bind(task.0)
        .fetch_one(&mut lab.connection().await)
        .await
        .unwrap();
    assert!(log.contains(&format!(r#""trace.id":"{trace_id}""#)), "{log}");
    assert_eq!((row.attempts[0].exit_code, row.attempts[0].exit_signal), (Some(0), None));
    assert_eq!(lab.messages_left().await, 0);
}

#[tokio::test]
async fn a_task_in_line_behind_another_needs_no_wake_up_of_its_own() {
    let lab = Lab::start().await;
    let first = lab.task(json!({"steps": 1}), JobOptions::default()).await;
    let second = lab.task(json!({"steps": 2}), JobOptions::default()).await;
    lab.wake(first).await;
    lab.worker().idle_seconds(1).run_to_its_end().await.unwrap();

    assert_eq!(lab.row(first).await.task.state, TaskState::Completed);
    assert_eq!(lab.row(second).await.task.state, TaskState::Completed);
}

#[tokio::test]
async fn a_failure_is_retried_by_the_same_worker_until_no_attempt_is_left() {
    let lab = Lab::start().await;
    let options = JobOptions { max_attempts: 2, ..JobOptions::default() };
    let task = lab.task(json!({"fail_with": "tin.opener"}), options).await;
    lab.wake(task).await;
    lab.worker().idle_seconds(1).run_to_its_end().await.unwrap();

    let row = lab.row(task).await;
    assert_eq!(row.task.state, TaskState::Failed);
    assert_eq!(row.task.fence, Fence(2));
    let (code, message) = row.task.error.unwrap();
    assert_eq!(code, "noop.asked_to_fail");
    assert!(message.contains("tin.opener"));
}

#[tokio::test]
async fn a_killed_operator_is_back_within_its_lease() {
    let lab = Lab::start().await;
    let options = JobOptions { always_on: true, heartbeat_timeout_seconds: 10.0, ..JobOptions::default() };
    let task = lab.task(json!({"steps": 1000, "step_ms": 60}), options).await;
    lab.wake(task).await;
    let worker = lab.worker().spawn();
    lab.until_running(task, Fence(1)).await;

    let killed_at = std::time::Instant::now();
    worker.kill_operator().await;
    lab.until_running(task, Fence(2)).await;
    assert!(killed_at.elapsed() < Duration::from_secs(10), "{:?}", killed_at.elapsed());
    worker.stop().await.unwrap();

    let row = lab.row(task).await;
    assert_eq!(row.attempts[0].error_code.as_deref(), Some("operator.crashed"));
    let message = row.attempts[0].error_message.as_deref().unwrap();
    assert!(message.contains("signal 9") && message.contains("out of memory"), "{message}");
    assert_eq!((row.attempts[0].exit_code, row.attempts[0].exit_signal), (None, Some(9)));
    assert_eq!(row.attempts[1].outcome.as_deref(), Some("released"));
    assert_eq!(row.task.state, TaskState::Queued);
}

#[tokio::test]
async fn a_crash_and_a_panic_are_told_apart() {
    let lab = Lab::start().await;
    let crash = lab.task(json!({"exit": 7}), JobOptions::default()).await;
    let panic = lab.task(json!({"panic": true}), JobOptions::default()).await;
    lab.wake(crash).await;
    lab.wake(panic).await;
    lab.worker().idle_seconds(1).run_to_its_end().await.unwrap();

    let crash = lab.row(crash).await;
    assert_eq!(crash.task.error.unwrap().0, "operator.crashed");
    assert!(crash.attempts[0].stderr_tail.as_deref().unwrap().contains("configured to crash"));
    assert_eq!(crash.attempts[0].exit_code, Some(7));
    let panic = lab.row(panic).await;
    assert_eq!(panic.task.error.unwrap().0, "operator.panicked");
    assert!(panic.attempts[0].stderr_tail.as_deref().unwrap().contains("panicked at"));
    assert_eq!(panic.attempts[0].exit_code, Some(1));
}

#[tokio::test]
async fn an_operator_that_runs_too_long_is_killed() {
    let lab = Lab::start().await;
    let options = JobOptions { run_timeout_seconds: Some(0.5), ..JobOptions::default() };
    let task = lab.task(json!({"steps": 1000, "step_ms": 60, "ignore_stop": true}), options).await;
    lab.wake(task).await;
    lab.worker().idle_seconds(1).run_to_its_end().await.unwrap();

    let row = lab.row(task).await;
    assert_eq!((row.task.state, row.task.error.unwrap().0.as_str()), (TaskState::Failed, "worker.run_timeout"));
    assert!(lab::operators().is_empty());
}

#[tokio::test]
async fn told_to_stop_the_worker_hands_the_task_back_with_its_attempt() {
    let lab = Lab::start().await;
    let task = lab.task(json!({"steps": 1000, "step_ms": 60}), JobOptions::default()).await;
    lab.wake(task).await;
    let worker = lab.worker().spawn();
    lab.until_running(task, Fence(1)).await;
    worker.stop().await.unwrap();

    let row = lab.row(task).await;
    assert_eq!((row.task.state, row.task.attempts_left), (TaskState::Queued, 1));
    assert_eq!(row.attempts[0].outcome.as_deref(), Some("released"));
    let trail = audit::trail(&mut lab.connection().await, "task", task.0).await.unwrap();
    assert_eq!(trail.last().unwrap().action, "released");
    assert!(lab::operators().is_empty());
}

#[tokio::test]
async fn a_worker_that_was_fenced_off_kills_its_operator_and_writes_nothing() {
    let lab = Lab::start().await;
    let options = JobOptions { heartbeat_timeout_seconds: 1.5, ..JobOptions::default() };
    let task = lab.task(json!({"steps": 1000, "step_ms": 60}), options).await;
    lab.wake(task).await;
    let worker = lab.worker().idle_seconds(1).spawn();
    lab.until_running(task, Fence(1)).await;

    lab.execute("UPDATE control.tasks SET fence = fence + 1, worker = 'another'").await;
    eventually("the operator's end", async || lab::operators().is_empty()).await.unwrap();
    worker.end().await.unwrap();

    let row = lab.row(task).await;
    assert_eq!((row.task.state, row.task.fence), (TaskState::Running, Fence(2)));
    assert_eq!(row.task.worker.as_deref(), Some("another"));
    assert_eq!(row.attempts[0].outcome, None);
}

#[tokio::test]
async fn a_worker_that_cannot_reach_the_database_kills_its_operator_before_the_lease_is_over() {
    let lab = Lab::start().await;
    let options = JobOptions { heartbeat_timeout_seconds: 3.0, ..JobOptions::default() };
    let task = lab.task(json!({"steps": 1000, "step_ms": 60}), options).await;
    lab.wake(task).await;
    let worker = lab.worker().idle_seconds(1).spawn();
    lab.until_running(task, Fence(1)).await;

    // Every statement of the worker now waits for this lock, as if the database did not answer.
    let mut conn = lab.connection().await;
    let lease: f64 = lab::lock_tasks(&mut conn).await;
    let locked_at = std::time::Instant::now();
    eventually("the operator's end", async || lab::operators().is_empty()).await.unwrap();
    let took = locked_at.elapsed();
    assert!(took < Duration::from_secs_f64(lease), "{took:?} of a lease with {lease} s left");

    // The database answers again: the worker gives the task back late, and has it again.
    drop(conn);
    lab.until_running(task, Fence(2)).await;
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn events_are_published_while_the_operator_runs() {
    let lab = Lab::start().await;
    let task = lab.task(json!({"steps": 1000, "step_ms": 60}), JobOptions::default()).await;
    lab.wake(task).await;
    let worker = lab.worker().spawn();
    lab.until_running(task, Fence(1)).await;

    let mut conn = lab.connection().await;
    let tip = BlockRef { number: BlockNumber(0), hash: isotherm_types::B256::ZERO };
    let body = EventBody::DatasetAdvanced {
        chain_id: ChainId(31337),
        datasets: vec![Dataset::Blocks],
        blocks: BlockRange::single(BlockNumber(0)),
        tip,
    };
    let event = events::record(&mut conn, &body).await.unwrap();
    eventually("an empty outbox", async || outbox::pending(&mut conn).await.unwrap().row_count == 0).await.unwrap();
    assert_eq!(lab.row(task).await.task.state, TaskState::Running);
    assert_eq!(lab.threshold_messages().await, [json!({"version": 1, "event_id": event.0})]);
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_publication_that_hangs_does_not_keep_the_end_from_being_written_down() {
    let lab = Lab::start().await;
    let task = lab.task(json!({"steps": 20, "step_ms": 60}), JobOptions::default()).await;
    lab.wake(task).await;
    let worker = lab.worker().idle_seconds(1).spawn();
    lab.until_running(task, Fence(1)).await;

    // Every publication from now on waits for this lock.
    let mut conn = lab.connection().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE control.outbox IN ACCESS EXCLUSIVE MODE").execute(&mut conn).await.unwrap();
    eventually("the end", async || lab.row(task).await.task.state == TaskState::Completed).await.unwrap();
    drop(conn);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_task_that_another_is_claiming_is_tried_again_without_a_wake_up() {
    let lab = Lab::start().await;
    let task = lab.task(json!({"steps": 1}), JobOptions::default()).await;
    let mut conn = lab.connection().await;
    sqlx::raw_sql("BEGIN; SELECT 1 FROM control.tasks FOR UPDATE").execute(&mut conn).await.unwrap();
    let worker = lab.worker().idle_seconds(1).first_task(task).spawn();
    let mut watcher = lab.connection().await;
    eventually("a refused claim", async || lab::was_refused(&mut watcher).await).await.unwrap();
    drop(conn);
    worker.end().await.unwrap();
    assert_eq!(lab.row(task).await.task.state, TaskState::Completed);
}

#[tokio::test]
async fn a_wake_up_of_a_task_over_its_jobs_limit_is_dropped() {
    let lab = Lab::start().await;
    let task = lab.task(json!({"steps": 1}), JobOptions::default()).await;
    lab.execute("UPDATE control.jobs SET active = false").await;
    lab.wake(task).await;
    lab.worker().idle_seconds(1).run_to_its_end().await.unwrap();
    let row = lab.row(task).await;
    assert_eq!((row.task.state, row.attempts.len()), (TaskState::Queued, 0));
    assert_eq!(lab.messages_left().await, 0);
}

#[tokio::test]
async fn a_connection_that_forgets_its_transaction_is_closed_by_the_database() {
    let lab = Lab::start().await;
    for (options, expected) in [(PoolOptions::operator("test"), "1min"), (PoolOptions::lambda("test"), "3min")] {
        let pool = lab.pool(options).await;
        let row: (String,) = sqlx::query_as("SHOW idle_in_transaction_session_timeout").fetch_one(&pool).await.unwrap();
        assert_eq!(row.0, expected);
        let row: (String,) = sqlx::query_as("SHOW statement_timeout").fetch_one(&pool).await.unwrap();
        assert_ne!(row.0, "0");
    }
}

#[tokio::test]
async fn a_launched_worker_takes_its_task_without_a_wake_up() {
    let lab = Lab::start().await;
    let task = lab.task(json!({"steps": 1}), JobOptions::default()).await;
    lab.worker().idle_seconds(1).first_task(task).run_to_its_end().await.unwrap();
    assert_eq!(lab.row(task).await.task.state, TaskState::Completed);
}

#[tokio::test]
async fn a_stale_wake_up_is_dropped_and_a_malformed_one_stays() {
    let lab = Lab::start().await;
    let task = lab.task(json!({}), JobOptions::default()).await;
    lab.wake(task).await;
    lab.execute("UPDATE control.tasks SET state = 'cancelled', finished_at = now()").await;
    lab.worker().idle_seconds(1).run_to_its_end().await.unwrap();
    assert_eq!(lab.messages_left().await, 0);

    lab.send_to_worker("hello").await;
    let fault = lab.worker().idle_seconds(2).run_to_its_end().await.unwrap_err();
    assert_eq!(fault.code(), "wake_up.malformed");
    assert_eq!(lab.messages_left().await, 1);
}
