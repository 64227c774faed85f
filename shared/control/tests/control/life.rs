//! Claims, heartbeats and ends, each under its fence.

use std::time::Duration;

use isotherm_control::task::TaskState;
use isotherm_control::tasks::{self, AfterFailure, Cancelled, Claim, Claimant, Created, Failure, Progress, TaskFilter};
use isotherm_control::{ControlError, events, outbox};
use isotherm_types::{Classified, Disposition, EventBody, Fence, Queue, TaskId};
use sqlx::Connection;

use crate::stage::{Stage, until_somebody_waits};

fn failure(disposition: Disposition) -> Failure<'static> {
    Failure { code: "test.broken", message: "it broke", disposition, stderr_tail: Some("last words\0") }
}

fn is_stale<T: std::fmt::Debug>(result: Result<T, ControlError>) -> bool {
    matches!(result, Err(error) if error.code() == "control.stale_fence")
}

#[tokio::test]
async fn a_task_goes_from_queued_to_completed_and_every_step_is_in_the_trail() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    let claimed = stage.claimed(task_id, "w1").await;
    assert_eq!((claimed.fence, claimed.attempt, claimed.lease), (Fence(1), 1, Duration::from_secs(20)));
    assert_eq!((claimed.job.as_str(), &claimed.config), ("work", &serde_json::json!({ "steps": 1 })));
    let progress = Progress { done: 3, total: Some(9), message: "block 3".to_owned() };
    let lease = Duration::from_secs(500);
    assert!(tasks::heartbeat(&mut stage.conn, task_id, claimed.fence, lease, Some(&progress)).await.unwrap());
    assert!(tasks::heartbeat(&mut stage.conn, task_id, claimed.fence, lease, None).await.unwrap());
    let output = serde_json::json!({ "rows": 9 });
    tasks::complete(&mut stage.conn, task_id, claimed.fence, &output, Some("bye")).await.unwrap();

    let details = stage.show(task_id).await;
    assert_eq!((details.task.state, details.task.output.as_ref()), (TaskState::Completed, Some(&output)));
    assert_eq!(details.task.progress, (Some(3), Some(9), Some("block 3".to_owned())));
    let attempt = &details.attempts[0];
    assert_eq!((attempt.outcome.as_deref(), attempt.stderr_tail.as_deref()), (Some("completed"), Some("bye")));
    let trail: Vec<(&str, &str)> =
        details.trail.iter().map(|entry| (entry.actor.as_str(), entry.action.as_str())).collect();
    assert_eq!(trail, [("test", "created"), ("w1", "claimed"), ("w1", "completed")]);
    assert_eq!(tasks::counts(&mut stage.conn).await.unwrap(), [(TaskState::Completed, 1)]);
    let filter = TaskFilter { state: Some(TaskState::Queued), ..TaskFilter::default() };
    assert!(tasks::list(&mut stage.conn, &filter).await.unwrap().is_empty());
    let filter = TaskFilter { job: Some("work".to_owned()), ..TaskFilter::default() };
    assert_eq!(tasks::list(&mut stage.conn, &filter).await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_key_makes_one_task_even_when_two_ask_at_once() {
    let mut stage = Stage::new().await;
    let first = stage.new_task("work", "same").await;
    assert_eq!(stage.create("work", "same").await, Created::Already(first));

    let task = tasks::NewTask {
        job_id: stage.job("work").await,
        idempotency_key: "raced".to_owned(),
        input: serde_json::json!({}),
        delay: Duration::ZERO,
    };
    let mut other = stage.connect().await;
    let mut held = stage.conn.begin().await.unwrap();
    let Created::New(winner) = tasks::create(&mut held, &task, "a").await.unwrap() else { panic!("not new") };
    let second = tokio::spawn(async move { tasks::create(&mut other, &task, "b").await });
    let mut watcher = stage.database.connect().await.unwrap();
    until_somebody_waits(&mut watcher).await;
    held.commit().await.unwrap();
    assert_eq!(second.await.unwrap().unwrap(), Created::Already(winner));
}

#[tokio::test]
async fn a_source_has_one_live_task() {
    let mut stage = Stage::new().await;
    let live = stage.new_task("source", "always-on-1").await;
    assert_eq!(stage.create("source", "always-on-2").await, Created::SourceIsLive(live));
    let claimed = stage.claimed(live, "w1").await;
    assert_eq!(stage.create("source", "always-on-2").await, Created::SourceIsLive(live));
    tasks::complete(&mut stage.conn, live, claimed.fence, &serde_json::Value::Null, None).await.unwrap();
    assert!(matches!(stage.create("source", "always-on-2").await, Created::New(_)));
}

#[tokio::test]
async fn nobody_claims_what_is_held_waits_or_is_another_operators() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    let stranger = Claimant { worker: "w0", operator: "parquet_compact", ecs_task_arn: None };
    let claim = tasks::claim(&mut stage.conn, task_id, &stranger).await.unwrap();
    assert!(matches!(claim, Claim::OtherOperator { operator } if operator == "noop"));
    assert!(matches!(tasks::claim(&mut stage.conn, TaskId(999), &stranger).await.unwrap(), Claim::Unknown));

    let claimed = stage.claimed(task_id, "w1").await;
    let again = stage.claim(task_id, "w2").await;
    assert!(matches!(again, Claim::NotQueued { state: TaskState::Running, fence: Fence(1) }), "{again:?}");
    let after = tasks::fail(&mut stage.conn, task_id, claimed.fence, &failure(Disposition::Retry)).await.unwrap();
    assert!(matches!(after, AfterFailure::Queued { .. }));
    let early = stage.claim(task_id, "w2").await;
    assert!(matches!(early, Claim::NotDue { wait } if wait <= Duration::from_secs(1)), "{early:?}");
    stage.make_due(task_id).await;
    let second = stage.claimed(task_id, "w2").await;
    assert_eq!((second.fence, second.attempt), (Fence(2), 2));
}

#[tokio::test]
async fn a_claim_over_the_limit_or_of_an_inactive_job_is_held_back() {
    let mut stage = Stage::new().await;
    let mut made = Vec::new();
    for i in 0..3 {
        made.push(stage.new_task("work", &format!("task-{i}")).await);
    }
    let fence = stage.claimed(made[0], "w1").await.fence;
    stage.claimed(made[1], "w2").await;
    let third = stage.claim(made[2], "w3").await;
    assert!(matches!(third, Claim::HeldBack), "max_concurrency is 2: {third:?}");
    tasks::complete(&mut stage.conn, made[0], fence, &serde_json::Value::Null, None).await.unwrap();
    stage.apply("{ version: 1, jobs: [] }").await;
    let inactive = stage.claim(made[2], "w3").await;
    assert!(matches!(inactive, Claim::HeldBack), "{inactive:?}");
    stage.apply(crate::stage::JOBS).await;
    stage.claimed(made[2], "w3").await;
}

#[tokio::test]
async fn an_end_with_nul_characters_is_written_down_without_them() {
    let mut stage = Stage::new().await;
    let (one, two) = (stage.new_task("work", "one").await, stage.new_task("work", "two").await);
    let fence = stage.claimed(one, "w1").await.fence;
    let output = serde_json::json!({ "a\0": ["b\0", 1, null] });
    tasks::complete(&mut stage.conn, one, fence, &output, Some("c\0")).await.unwrap();
    let expected = serde_json::json!({ "a\u{fffd}": ["b\u{fffd}", 1, null] });
    assert_eq!(stage.show(one).await.task.output, Some(expected));

    let fence = stage.claimed(two, "w1").await.fence;
    let failure = Failure { code: "d\0", message: "e\0", disposition: Disposition::GiveUp, stderr_tail: None };
    tasks::fail(&mut stage.conn, two, fence, &failure).await.unwrap();
    assert_eq!(stage.show(two).await.task.error, Some(("d\u{fffd}".to_owned(), "e\u{fffd}".to_owned())));
}

#[tokio::test]
async fn two_claimants_never_both_win_and_neither_waits() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    let mut other = stage.connect().await;
    let mut held = other.begin().await.unwrap();
    let claimant = Claimant { worker: "w1", operator: "noop", ecs_task_arn: Some("arn:1") };
    assert!(matches!(tasks::claim(&mut held, task_id, &claimant).await.unwrap(), Claim::Claimed(_)));
    let second = tokio::time::timeout(Duration::from_secs(5), stage.claim(task_id, "w2")).await.unwrap();
    assert!(matches!(second, Claim::Contended), "{second:?}");
    held.commit().await.unwrap();
    assert!(matches!(stage.claim(task_id, "w2").await, Claim::NotQueued { .. }));
}

#[tokio::test]
async fn a_stale_fence_can_write_nothing() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    let first = stage.claimed(task_id, "w1").await;
    tasks::release(&mut stage.conn, task_id, first.fence, None).await.unwrap();
    let second = stage.claimed(task_id, "w2").await;
    assert_eq!(second.attempt, 1, "a release burns no attempt");
    // The closed row of the first attempt would hold its worker off too; here the task's own row must.
    stage.reopen_attempts(task_id).await;
    let (conn, stale) = (&mut stage.conn, first.fence);

    assert!(!tasks::heartbeat(conn, task_id, stale, Duration::from_secs(500), None).await.unwrap());
    assert!(is_stale(tasks::complete(conn, task_id, stale, &serde_json::Value::Null, None).await));
    assert!(is_stale(tasks::fail(conn, task_id, stale, &failure(Disposition::GiveUp)).await));
    assert!(is_stale(tasks::release(conn, task_id, stale, None).await));
    assert!(is_stale(tasks::assert_fence(conn, task_id, stale).await));
    tasks::assert_fence(conn, task_id, second.fence).await.unwrap();

    let details = stage.show(task_id).await;
    assert_eq!((details.task.state, details.task.worker.as_deref()), (TaskState::Running, Some("w2")));
    let outcomes: Vec<_> = details.attempts.iter().map(|attempt| attempt.outcome.as_deref()).collect();
    assert_eq!(outcomes, [None, None]);
}

#[tokio::test]
async fn a_finished_task_is_not_written_to_under_its_own_fence() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    let fence = stage.claimed(task_id, "w1").await.fence;
    tasks::complete(&mut stage.conn, task_id, fence, &serde_json::Value::Null, None).await.unwrap();
    let conn = &mut stage.conn;
    assert!(!tasks::heartbeat(conn, task_id, fence, Duration::from_secs(5), None).await.unwrap());
    assert!(is_stale(tasks::complete(conn, task_id, fence, &serde_json::Value::Null, None).await));
    assert!(is_stale(tasks::fail(conn, task_id, fence, &failure(Disposition::Retry)).await));
    assert!(is_stale(tasks::release(conn, task_id, fence, None).await));
    assert!(is_stale(tasks::assert_fence(conn, task_id, fence).await));
    assert_eq!(tasks::cancel(conn, task_id, "ann", "x").await.unwrap(), Cancelled::AlreadyOver(TaskState::Completed));
}

#[tokio::test]
async fn the_last_attempt_fails_the_task_and_its_row_says_why() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    for attempt in 1..=2 {
        stage.make_due(task_id).await;
        let claimed = stage.claimed(task_id, "w1").await;
        assert_eq!(claimed.attempt, attempt);
        let after = tasks::fail(&mut stage.conn, task_id, claimed.fence, &failure(Disposition::Retry)).await.unwrap();
        assert_eq!(after == AfterFailure::Failed, attempt == 2);
    }
    let details = stage.show(task_id).await;
    assert_eq!(details.task.state, TaskState::Failed);
    assert_eq!(details.task.error, Some(("test.broken".to_owned(), "it broke".to_owned())));
    assert_eq!(details.attempts[1].stderr_tail.as_deref(), Some("last words\u{fffd}"));
    assert_eq!(details.trail.last().unwrap().reason.as_deref(), Some("test.broken"));
    let mut db_tx = stage.conn.begin().await.unwrap();
    let told = outbox::take(&mut db_tx, &Queue::ALL, 10).await.unwrap();
    let [message] = &told[..] else { panic!("one message, for the dead-letter queue: {told:?}") };
    assert_eq!(message.queue, Queue::DeadLetters);
    let EventBody::TaskFailed { task_id: dead, fence, code, .. } =
        events::read(&mut db_tx, message.event_id).await.unwrap().body
    else {
        panic!("another event");
    };
    assert_eq!((dead, fence, code.as_str()), (task_id, Fence(2), "test.broken"));
}

#[tokio::test]
async fn an_error_that_says_give_up_or_later_is_obeyed() {
    let mut stage = Stage::new().await;
    let hopeless = stage.new_task("work", "hopeless").await;
    let fence = stage.claimed(hopeless, "w1").await.fence;
    let after = tasks::fail(&mut stage.conn, hopeless, fence, &failure(Disposition::GiveUp)).await.unwrap();
    assert_eq!(after, AfterFailure::Failed);
    let later = stage.new_task("work", "later").await;
    let fence = stage.claimed(later, "w1").await.fence;
    let asked = Duration::from_secs(3000);
    let after = tasks::fail(&mut stage.conn, later, fence, &failure(Disposition::RetryAfter(asked))).await.unwrap();
    assert_eq!(after, AfterFailure::Queued { wait: asked });
    assert!(matches!(stage.claim(later, "w1").await, Claim::NotDue { wait } if wait > Duration::from_secs(2900)));
}

#[tokio::test]
async fn a_source_that_crashes_again_and_again_is_queued_again_with_longer_waits() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("source", "always-on-1").await;
    let mut waits = Vec::new();
    for _ in 0..6 {
        stage.make_due(task_id).await;
        let fence = stage.claimed(task_id, "w1").await.fence;
        match tasks::fail(&mut stage.conn, task_id, fence, &failure(Disposition::Retry)).await.unwrap() {
            AfterFailure::Queued { wait } => waits.push(wait),
            AfterFailure::Failed => panic!("a source was given up after {} attempts", waits.len() + 1),
        }
    }
    assert!(waits[0] <= Duration::from_secs(1) && waits[5] >= Duration::from_secs(16), "{waits:?}");
    stage
        .run("UPDATE control.task_attempts SET finished_at = now() - interval '1 hour' WHERE task_id = $1", task_id)
        .await;
    stage.make_due(task_id).await;
    let fence = stage.claimed(task_id, "w1").await.fence;
    let after = tasks::fail(&mut stage.conn, task_id, fence, &failure(Disposition::Retry)).await.unwrap();
    assert!(
        matches!(after, AfterFailure::Queued { wait } if wait <= Duration::from_secs(1)),
        "old crashes count: {after:?}"
    );
}

#[tokio::test]
async fn a_cancelled_task_is_taken_from_its_worker() {
    let mut stage = Stage::new().await;
    let running = stage.new_task("work", "running").await;
    let fence = stage.claimed(running, "w1").await.fence;
    assert_eq!(tasks::cancel(&mut stage.conn, running, "ann", "wrong range").await.unwrap(), Cancelled::Now);
    assert!(!tasks::heartbeat(&mut stage.conn, running, fence, Duration::from_secs(5), None).await.unwrap());
    let details = stage.show(running).await;
    assert_eq!(details.attempts[0].outcome.as_deref(), Some("cancelled"));
    assert_eq!(details.trail.last().unwrap().actor, "ann");
    let queued = stage.new_task("work", "queued").await;
    assert_eq!(tasks::cancel(&mut stage.conn, queued, "ann", "x").await.unwrap(), Cancelled::Now);
    assert!(matches!(stage.claim(queued, "w1").await, Claim::NotQueued { state: TaskState::Cancelled, .. }));
}
