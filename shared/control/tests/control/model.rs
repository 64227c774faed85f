//! Random histories through the pure life cycle and through Postgres must agree at every step.

use isotherm_control::task::{Life, TaskEvent, TaskState};
use isotherm_control::tasks::{self, Claim, Failure, Retried};
use isotherm_control::{ControlError, reap};
use isotherm_types::{Disposition, Fence, TaskId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::stage::Stage;

fn next_event(random: &mut StdRng, life: Life, max_attempts: u32) -> TaskEvent {
    if random.random_bool(if life.state.is_live() { 0.05 } else { 0.4 }) {
        return TaskEvent::Retried { attempts: max_attempts };
    }
    // Now and then a fence that is not the task's own.
    let fence = if random.random_bool(0.8) { life.fence } else { Fence(life.fence.0 - 1) };
    match random.random_range(0..10) {
        0..=3 => TaskEvent::Claimed,
        4 => TaskEvent::Completed { fence },
        5 => TaskEvent::Failed { fence, disposition: Disposition::Retry },
        6 if random.random_bool(0.3) => TaskEvent::Failed { fence, disposition: Disposition::GiveUp },
        6 | 7 => TaskEvent::Lost { fence: life.fence },
        8 => TaskEvent::Released { fence },
        _ if random.random_bool(0.2) => TaskEvent::Cancelled,
        _ => TaskEvent::Claimed,
    }
}

/// Does to the row what `event` says; returns whether it was accepted.
async fn carry_out(stage: &mut Stage, task_id: TaskId, event: TaskEvent) -> bool {
    let changed = |result: Result<(), ControlError>| match result {
        Ok(()) => true,
        Err(ControlError::StaleFence { .. }) => false,
        Err(error) => panic!("{event:?}: {error}"),
    };
    match event {
        TaskEvent::Claimed => {
            stage.make_due(task_id).await;
            matches!(stage.claim(task_id, "w").await, Claim::Claimed(_))
        }
        TaskEvent::Completed { fence } => {
            changed(tasks::complete(&mut stage.conn, task_id, fence, &serde_json::Value::Null, None).await)
        }
        TaskEvent::Failed { fence, disposition } => {
            let failure = Failure { code: "test.broken", message: "", disposition, stderr_tail: None };
            changed(tasks::fail(&mut stage.conn, task_id, fence, &failure).await.map(|_after| ()))
        }
        TaskEvent::Lost { .. } => {
            stage
                .run(
                    "UPDATE control.tasks SET lease_expires_at = now() - interval '1 s' WHERE id = $1 AND state = 'running'",
                    task_id,
                )
                .await;
            let reaped = reap::reap(&mut stage.conn, 10).await.unwrap();
            assert!(reaped.faults.is_empty(), "{reaped:?}");
            !reaped.lost.is_empty()
        }
        TaskEvent::Released { fence } => changed(tasks::release(&mut stage.conn, task_id, fence, None).await),
        TaskEvent::Cancelled => {
            tasks::cancel(&mut stage.conn, task_id, "test", "").await.unwrap() == tasks::Cancelled::Now
        }
        TaskEvent::Retried { .. } => {
            matches!(tasks::retry(&mut stage.conn, task_id, "test", "").await.unwrap(), Retried::Now { .. })
        }
    }
}

#[tokio::test]
async fn postgres_keeps_the_rule_of_the_life_cycle() {
    let mut stage = Stage::new().await;
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let always_on = seed % 4 == 0;
        let (job, max_attempts) = if always_on { ("source", 3) } else { ("work", 2) };
        let task_id = stage.new_task(job, &format!("history-{seed}")).await;
        let mut life = Life::new(max_attempts, always_on);
        for step in 0..14 {
            let event = next_event(&mut random, life, max_attempts);
            let expected = life.on(event);
            let accepted = carry_out(&mut stage, task_id, event).await;
            assert_eq!(accepted, expected.is_ok(), "seed {seed}, step {step}: {life:?} on {event:?}");
            life = expected.unwrap_or(life);
            let row = stage.show(task_id).await.task;
            let stored = (row.state, row.fence, row.attempts_left);
            assert_eq!(stored, (life.state, life.fence, life.attempts_left), "seed {seed}, step {step}: {event:?}");
        }
        if life.state.is_live() {
            tasks::cancel(&mut stage.conn, task_id, "test", "end of the history").await.unwrap();
        }
        let open = stage.show(task_id).await.attempts.iter().filter(|attempt| attempt.outcome.is_none()).count();
        assert_eq!(open, 0, "seed {seed}: an attempt was never closed ({})", TaskState::Cancelled);
    }
}
