//! Workers that die between two steps: whatever follows, a task has one accepted end and nothing is lost.

use std::os::unix::process::ExitStatusExt as _;

use isotherm_control::task::TaskState;
use isotherm_platform::crash_points::CRASH_POINT_VARIABLE;
use isotherm_types::{CrashPoint, TaskId};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;

/// A plane with a task whose worker has died at `point`.
async fn after_a_crash(point: CrashPoint, limits: &str, config: &Value) -> (ControlPlane, TaskId) {
    let plane = ControlPlane::start(limits, config).await;
    let task_id = plane.task().await;
    let status = plane.worker(&[(CRASH_POINT_VARIABLE, point.as_str())]).end().await;
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{point:?} is passed");
    (plane, task_id)
}

#[tokio::test]
async fn end_to_end_a_worker_that_dies_before_the_end_is_written_down_is_replaced() {
    for point in [CrashPoint::WorkerClaimed, CrashPoint::WorkerOperatorEnded] {
        let limits = "max_attempts: 2, heartbeat_timeout_seconds: 2";
        let (plane, task_id) = after_a_crash(point, limits, &json!({ "steps": 1 })).await;
        assert_eq!(plane.show(task_id).await.task.state, TaskState::Running, "{point:?}");
        plane.until_reaped().await;
        // A wake-up that was not deleted is found again, or a new one: both lead to one claim.
        assert!(plane.worker(&[("ISOTHERM_TASK_ID", &task_id.0.to_string())]).end().await.success());
        assert_eq!(plane.show(task_id).await.task.state, TaskState::Completed, "{point:?}");
        assert_eq!(plane.outcomes(task_id).await, [Some("lost".to_owned()), Some("completed".to_owned())], "{point:?}");
    }
}

#[tokio::test]
async fn end_to_end_an_end_that_was_written_down_before_the_crash_stands() {
    let limits = "max_attempts: 2, heartbeat_timeout_seconds: 2";
    let (plane, task_id) = after_a_crash(CrashPoint::WorkerWrittenDown, limits, &json!({ "steps": 1 })).await;
    let before = plane.show(task_id).await;
    assert_eq!(before.task.state, TaskState::Completed);
    let reaped = plane.reap().await;
    assert_eq!((reaped.queued, reaped.failed), (0, 0));
    assert!(plane.worker(&[("ISOTHERM_TASK_ID", &task_id.0.to_string())]).end().await.success());
    assert_eq!(plane.show(task_id).await, before);
}

#[tokio::test]
async fn end_to_end_a_message_sent_before_the_crash_is_not_doubled_and_one_not_sent_is_not_lost() {
    let limits = "max_attempts: 1, heartbeat_timeout_seconds: 2";
    for point in [CrashPoint::WorkerWrittenDown, CrashPoint::OutboxSent] {
        let (plane, task_id) = after_a_crash(point, limits, &json!({ "fail_with": "x" })).await;
        assert_eq!(plane.show(task_id).await.task.state, TaskState::Failed, "{point:?}");
        assert_eq!(plane.count("SELECT count(*) FROM control.outbox").await, 1, "{point:?}");
        plane.reap().await;
        assert_eq!(plane.count("SELECT count(*) FROM control.outbox").await, 0, "{point:?}");
        assert_eq!(plane.dead_letters().await, 1, "{point:?}");
        assert_eq!(plane.outcomes(task_id).await, [Some("failed".to_owned())], "{point:?}");
    }
}
