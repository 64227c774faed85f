//! Having a task done after all: only one that is over and undone, under the fence that was looked at.

use std::time::Duration;

use isotherm_control::task::TaskState;
use isotherm_control::tasks::{self, AfterFailure, Claim, Created, Failure, Retried};
use isotherm_control::{ControlError, dispatch};
use isotherm_types::{Disposition, Fence, TaskId};
use sqlx::{Connection, PgConnection};

use crate::stage::{Stage, until_somebody_waits};

const HOPELESS: Failure<'static> =
    Failure { code: "test.broken", message: "it broke", disposition: Disposition::GiveUp, stderr_tail: None };

async fn failed(stage: &mut Stage, job: &str, key: &str) -> TaskId {
    let task_id = stage.new_task(job, key).await;
    let fence = stage.claimed(task_id, "w1").await.fence;
    tasks::fail(&mut stage.conn, task_id, fence, &HOPELESS).await.unwrap();
    task_id
}

async fn retry(conn: &mut PgConnection, task_id: TaskId) -> Retried {
    tasks::retry(conn, task_id, "ann", "disk was full").await.unwrap()
}

async fn retries_in_trail(stage: &mut Stage, task_id: TaskId) -> usize {
    stage.show(task_id).await.trail.iter().filter(|entry| entry.action == "retried").count()
}

#[tokio::test]
async fn a_failed_task_is_queued_again_with_all_its_attempts_and_its_fence() {
    let mut stage = Stage::new().await;
    let task_id = failed(&mut stage, "work", "one").await;
    assert_eq!(retry(&mut stage.conn, task_id).await, Retried::Now { attempts: 2 });
    let details = stage.show(task_id).await;
    let task = &details.task;
    assert_eq!((task.state, task.fence, task.attempts_left), (TaskState::Queued, Fence(1), 2));
    assert_eq!((task.attempts_used, task.finished_at), (1, None));
    let last = details.trail.last().unwrap();
    assert_eq!((last.actor.as_str(), last.action.as_str()), ("ann", "retried"));
    assert_eq!((last.from_state.as_deref(), last.to_state.as_deref()), (Some("failed"), Some("queued")));
    assert_eq!(last.reason.as_deref(), Some("disk was full"));

    let wakes = dispatch::ready(&mut stage.conn, 1).await.unwrap().wakes;
    assert_eq!(wakes.iter().map(|wake| (wake.task_id, wake.fence)).collect::<Vec<_>>(), [(task_id, Fence(1))]);
    let claimed = stage.claimed(task_id, "w2").await;
    assert_eq!(claimed.fence, Fence(2));
    tasks::complete(&mut stage.conn, task_id, claimed.fence, &serde_json::Value::Null, None).await.unwrap();
    assert_eq!(stage.show(task_id).await.task.error, None);
}

#[tokio::test]
async fn a_retried_task_that_was_woken_before_is_woken_again_under_another_number() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    let first = dispatch::ready(&mut stage.conn, 1).await.unwrap();
    assert_eq!((first.wakes[0].number, first.launches[0].number), (1, 1));
    tasks::cancel(&mut stage.conn, task_id, "ann", "too early").await.unwrap();
    assert_eq!(retry(&mut stage.conn, task_id).await, Retried::Now { attempts: 2 });
    let second = dispatch::ready(&mut stage.conn, 1).await.unwrap();
    assert_eq!((second.wakes[0].fence, second.wakes[0].number), (Fence(0), 2), "SQS would drop a repetition");
    assert_eq!(second.launches[0].number, 2);
}

#[tokio::test]
async fn failures_from_before_a_retry_do_not_make_the_task_wait_longer() {
    let mut stage = Stage::new().await;
    let task_id = failed(&mut stage, "work", "one").await;
    for _ in 0..6 {
        retry(&mut stage.conn, task_id).await;
        let fence = stage.claimed(task_id, "w1").await.fence;
        tasks::fail(&mut stage.conn, task_id, fence, &HOPELESS).await.unwrap();
    }
    retry(&mut stage.conn, task_id).await;
    let fence = stage.claimed(task_id, "w1").await.fence;
    let passing = Failure { disposition: Disposition::Retry, ..HOPELESS };
    let after = tasks::fail(&mut stage.conn, task_id, fence, &passing).await.unwrap();
    assert!(matches!(after, AfterFailure::Queued { wait } if wait <= Duration::from_secs(1)), "{after:?}");
}

#[tokio::test]
async fn what_is_done_or_alive_is_not_retried() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    assert_eq!(retry(&mut stage.conn, task_id).await, Retried::Live(TaskState::Queued));
    let fence = stage.claimed(task_id, "w1").await.fence;
    assert_eq!(retry(&mut stage.conn, task_id).await, Retried::Live(TaskState::Running));
    tasks::complete(&mut stage.conn, task_id, fence, &serde_json::Value::Null, None).await.unwrap();
    assert_eq!(retry(&mut stage.conn, task_id).await, Retried::Completed);
    assert_eq!(stage.show(task_id).await.task.state, TaskState::Completed);
    assert_eq!(retries_in_trail(&mut stage, task_id).await, 0);
    let unknown = tasks::retry(&mut stage.conn, TaskId(999), "ann", "x").await;
    assert!(matches!(unknown, Err(ControlError::UnknownTask { .. })), "{unknown:?}");
}

#[tokio::test]
async fn an_old_task_of_a_source_is_retried_only_while_no_other_is_alive() {
    let mut stage = Stage::new().await;
    let old = failed(&mut stage, "source", "always-on-1").await;
    let Created::New(new) = stage.create("source", "always-on-2").await else { panic!("not made") };
    assert_eq!(retry(&mut stage.conn, old).await, Retried::SourceIsLive(new));
    assert_eq!(stage.show(old).await.task.state, TaskState::Failed);
    tasks::cancel(&mut stage.conn, new, "ann", "x").await.unwrap();
    assert!(matches!(retry(&mut stage.conn, old).await, Retried::Now { .. }));
}

#[tokio::test]
async fn two_retries_at_once_are_one() {
    let mut stage = Stage::new().await;
    let task_id = failed(&mut stage, "work", "one").await;
    let mut first = stage.connect().await;
    let mut held = first.begin().await.unwrap();
    assert!(matches!(retry(&mut held, task_id).await, Retried::Now { .. }));
    let mut other = stage.connect().await;
    let second = tokio::spawn(async move { retry(&mut other, task_id).await });
    until_somebody_waits(&mut stage.conn).await;
    held.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), Retried::MovedOn, "the state has changed since it was looked at");
    assert_eq!(retries_in_trail(&mut stage, task_id).await, 1);
}

#[tokio::test]
async fn a_failure_that_nobody_has_seen_is_not_retried() {
    let mut stage = Stage::new().await;
    let task_id = failed(&mut stage, "work", "one").await;
    let mut first = stage.connect().await;
    let mut held = first.begin().await.unwrap();
    // Retried, claimed and failed for good once more: the state is the same again, the fence is not.
    assert!(matches!(retry(&mut held, task_id).await, Retried::Now { .. }));
    let claimant = tasks::Claimant { worker: "w2", operator: "noop", ecs_task_arn: None };
    let Claim::Claimed(task) = tasks::claim(&mut held, task_id, &claimant).await.unwrap() else { panic!("held back") };
    tasks::fail(&mut held, task_id, task.fence, &HOPELESS).await.unwrap();
    let mut other = stage.connect().await;
    let second = tokio::spawn(async move { retry(&mut other, task_id).await });
    until_somebody_waits(&mut stage.conn).await;
    held.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), Retried::MovedOn);
    let task = stage.show(task_id).await.task;
    assert_eq!((task.state, task.fence), (TaskState::Failed, Fence(2)));
}
