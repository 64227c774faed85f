//! A write under a fence holds off whoever would take the task, and lets heartbeats pass.

use std::time::Duration;

use isotherm_control::reap;
use isotherm_control::task::TaskState;
use isotherm_control::tasks::{self, Failure};
use isotherm_types::{Disposition, Exit, Fence, TaskId};
use sqlx::{Connection, PgConnection};

use crate::stage::{Stage, until_somebody_waits};

/// Everything that takes a running task from its worker.
#[derive(Clone, Copy, Debug)]
enum Taker {
    Complete,
    Fail,
    Release,
    Lose,
    Cancel,
}

impl Taker {
    const ALL: [Self; 5] = [Self::Complete, Self::Fail, Self::Release, Self::Lose, Self::Cancel];

    /// Takes the task; panics if it is not granted.
    async fn take(self, conn: &mut PgConnection, task_id: TaskId, fence: Fence) {
        match self {
            Self::Complete => tasks::complete(conn, task_id, fence, &serde_json::Value::Null, None).await.unwrap(),
            Self::Fail => {
                let failure = Failure { code: "x.y", message: "", disposition: Disposition::Retry, stderr_tail: None };
                tasks::fail(conn, task_id, fence, &failure).await.unwrap();
            }
            Self::Release => tasks::release(conn, task_id, fence, None).await.unwrap(),
            Self::Lose => assert_eq!(reap::reap(conn, 10).await.unwrap().lost.len(), 1),
            Self::Cancel => {
                tasks::cancel(conn, task_id, "ann", "x").await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_write_under_a_fence_holds_off_whoever_would_take_the_task() {
    let mut stage = Stage::new().await;
    for taker in Taker::ALL {
        let task_id = stage.new_task("work", &format!("{taker:?}")).await;
        let fence = stage.claimed(task_id, "w1").await.fence;
        if matches!(taker, Taker::Lose) {
            stage.expire(task_id).await;
        }
        let mut writer = stage.connect().await;
        let mut held = writer.begin().await.unwrap();
        tasks::assert_fence(&mut held, task_id, fence).await.unwrap();
        let mut other = stage.connect().await;
        let taking = tokio::spawn(async move { taker.take(&mut other, task_id, fence).await });
        until_somebody_waits(&mut stage.conn).await;
        assert_eq!(stage.show(task_id).await.task.state, TaskState::Running, "{taker:?}");
        held.commit().await.unwrap();
        taking.await.unwrap();
        assert_ne!(stage.show(task_id).await.task.state, TaskState::Running, "{taker:?}");
        assert!(tasks::assert_fence(&mut writer, task_id, fence).await.is_err(), "{taker:?}");
    }
}

#[tokio::test]
async fn a_long_write_under_a_fence_does_not_lose_the_lease() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    let fence = stage.claimed(task_id, "w1").await.fence;
    stage.expire(task_id).await;
    let mut writer = stage.connect().await;
    let mut held = writer.begin().await.unwrap();
    tasks::assert_fence(&mut held, task_id, fence).await.unwrap();
    for _ in 0..3 {
        let heartbeat = tasks::heartbeat(&mut stage.conn, task_id, fence, Duration::from_secs(20), None);
        let kept = tokio::time::timeout(Duration::from_secs(5), heartbeat).await;
        assert!(kept.expect("a heartbeat does not wait for the operator's transaction").unwrap());
    }
    assert_eq!(reap::reap(&mut stage.conn, 10).await.unwrap().lost, []);

    // The new versions of the row are still held against a taker.
    let mut other = stage.connect().await;
    let cancel = tokio::spawn(async move { tasks::cancel(&mut other, task_id, "ann", "x").await });
    until_somebody_waits(&mut stage.conn).await;
    assert_eq!(stage.show(task_id).await.task.state, TaskState::Running);
    let heartbeat = tasks::heartbeat(&mut stage.conn, task_id, fence, Duration::from_secs(20), None);
    assert!(tokio::time::timeout(Duration::from_secs(5), heartbeat).await.expect("nor for one who waits").unwrap());
    held.commit().await.unwrap();
    cancel.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_exit_is_noted_once_in_the_row_of_its_attempt() {
    let mut stage = Stage::new().await;
    for (key, exit, expected) in
        [("code", Exit::Code(7), (Some(7), None)), ("signal", Exit::Signal(9), (None, Some(9)))]
    {
        let task_id = stage.new_task("work", key).await;
        let fence = stage.claimed(task_id, "w1").await.fence;
        tasks::complete(&mut stage.conn, task_id, fence, &serde_json::Value::Null, None).await.unwrap();
        tasks::note_exit(&mut stage.conn, task_id, fence, exit).await.unwrap();
        assert!(tasks::note_exit(&mut stage.conn, task_id, fence, Exit::Code(0)).await.is_err());
        let attempt = stage.show(task_id).await.attempts.remove(0);
        assert_eq!((attempt.exit_code, attempt.exit_signal), expected);
    }
    let of_no_org = stage.count("SELECT count(*) FROM control.task_attempts WHERE org_id IS NULL").await;
    assert_eq!(of_no_org, 0, "an attempt belongs to its task's organisation");
}
