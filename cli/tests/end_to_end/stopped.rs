//! Workers that are stopped, continued and told to end by signals, as a machine does it.

use std::time::{Duration, Instant};

use isotherm_control::task::TaskState;
use isotherm_lab::process::eventually;
use nix::sys::signal::{Signal, kill};
use serde_json::json;

use crate::control_plane::ControlPlane;

#[tokio::test]
async fn end_to_end_a_stopped_worker_loses_its_task_to_a_second_and_cannot_write_when_it_goes_on() {
    let config = json!({ "steps": 20, "step_ms": 100 });
    let plane = ControlPlane::start("max_attempts: 2, heartbeat_timeout_seconds: 3", &config).await;
    let task_id = plane.task().await;
    let ecs_task_arn = plane.ecs_task().await;
    let first = plane.worker(&[("ISOTHERM_ECS_TASK_ARN", &ecs_task_arn)]);
    let operator = first.operator().await;
    eventually("a running task", async || plane.show(task_id).await.task.state == TaskState::Running).await.unwrap();
    first.signal(Signal::SIGSTOP);
    kill(operator, Signal::SIGSTOP).unwrap();

    plane.until_reaped().await;
    assert_eq!(plane.ecs_status(&ecs_task_arn).await, "STOPPED");
    assert_eq!(plane.count("SELECT count(*) FROM control.worker_leases").await, 0, "it is no capacity");
    let task_number = task_id.0.to_string();
    let second = plane.worker(&[("ISOTHERM_TASK_ID", &task_number)]);
    eventually("the second worker's end", async || plane.show(task_id).await.task.state == TaskState::Completed)
        .await
        .unwrap();
    assert!(second.end().await.success());
    let before = plane.show(task_id).await;

    kill(operator, Signal::SIGCONT).unwrap();
    first.signal(Signal::SIGCONT);
    assert!(first.end().await.success(), "it finds nothing to do and ends");
    assert_eq!(plane.show(task_id).await, before, "task, attempts and trail are as they were");
    let outcomes: Vec<_> = before.attempts.iter().map(|attempt| attempt.outcome.as_deref()).collect();
    assert_eq!(outcomes, [Some("lost"), Some("completed")]);
}

#[tokio::test]
async fn end_to_end_a_worker_told_twice_to_stop_gives_its_task_back_once() {
    let config = json!({ "steps": 1000, "step_ms": 60 });
    let plane = ControlPlane::start("max_attempts: 1, heartbeat_timeout_seconds: 10", &config).await;
    let task_id = plane.task().await;
    let worker = plane.worker(&[]);
    worker.operator().await;
    let told_at = Instant::now();
    worker.signal(Signal::SIGTERM);
    worker.signal(Signal::SIGTERM);
    assert!(worker.end().await.success());
    assert!(told_at.elapsed() < Duration::from_secs(5), "{:?}", told_at.elapsed());
    let row = plane.show(task_id).await;
    assert_eq!((row.task.state, row.task.attempts_left), (TaskState::Queued, 1));
    assert_eq!(plane.outcomes(task_id).await, [Some("released".to_owned())]);
    assert_eq!(plane.count("SELECT count(*) FROM control.worker_leases").await, 0);
}
