//! The reaper against complete, fail, release, heartbeat, cancel and re-claim, in one heap.
//!
//! Each task begins under a lease that is over. Its worker, a successor, a person and two reapers go at it at the same time, each
//! in an order of its own; at last the worker comes back once more, long after it was given up on.

use std::time::Duration;

use isotherm_control::reap;
use isotherm_control::tasks::{self, Claim, Claimant, Failure};
use isotherm_lab::experiment::Experiment;
use isotherm_types::{Disposition, Fence, TaskId};
use rand::seq::SliceRandom;
use rand::{Rng, RngCore};
use sqlx::PgConnection;

use crate::history;
use crate::stage::Stage;

const JOBS: &str = "
version: 1
jobs: [{ name: work, operator: noop, max_attempts: 3, max_concurrency: 100000, heartbeat_timeout_seconds: 20 }]
";
/// Tasks in one heap.
const HEAP: i64 = 50;
/// The claim under which every task begins.
const FIRST: Fence = Fence(1);

/// Tasks under their first claim, whose leases are over.
const SILENT: &str = "
    WITH made AS (
        INSERT INTO control.tasks (org_id, job_id, idempotency_key, input, state, fence, attempts_left, worker,
                                   lease_expires_at, started_at)
        SELECT org_id, id, 'race-' || $1 || '-' || n, '{}', 'running', 1, 2, 'w1', now() - interval '1 second', now()
          FROM control.jobs, generate_series(1, $2) AS n
        RETURNING id
    ), attempted AS (
        INSERT INTO control.task_attempts (task_id, fence, worker) SELECT id, 1, 'w1' FROM made
    )
    SELECT id FROM made";

/// Calls that were accepted.
#[derive(Debug, Default)]
struct Accepted {
    completed: i64,
    other: i64,
}

impl Accepted {
    fn note<T, E>(&mut self, answer: &Result<T, E>, completes: bool) {
        match (answer.is_ok(), completes) {
            (true, true) => self.completed += 1,
            (true, false) => self.other += 1,
            (false, _) => {}
        }
    }
}

/// Makes the interleaving differ from task to task: between nothing and about what two statements take.
async fn stagger(random: &mut impl RngCore) {
    tokio::time::sleep(Duration::from_micros(random.random_range(0..1500))).await;
}

/// One thing that a worker does at the end of its attempt, under `fence`.
async fn act(conn: &mut PgConnection, task_id: TaskId, fence: Fence, choice: u32, accepted: &mut Accepted) {
    let failure = Failure { code: "lab.failed", message: "", disposition: Disposition::Retry, stderr_tail: None };
    match choice {
        0..4 => {
            let answer = tasks::complete(conn, task_id, fence, &serde_json::Value::Null, None).await;
            accepted.note(&answer, true);
        }
        4 => accepted.note(&tasks::release(conn, task_id, fence, None).await, false),
        5 => accepted.note(&tasks::fail(conn, task_id, fence, &failure).await, false),
        6 | 7 => {
            let kept = tasks::heartbeat(conn, task_id, fence, Duration::from_secs(20), None).await;
            accepted.other += i64::from(kept.unwrap());
        }
        _ => {}
    }
}

/// The worker of the first claim. Without its fence, it writes under whatever fence the row has.
async fn worker(mut conn: PgConnection, mut order: Vec<TaskId>, mut random: impl RngCore, fenced: bool) -> Accepted {
    let mut accepted = Accepted::default();
    order.shuffle(&mut random);
    history::hold(&mut conn, Some(FIRST)).await;
    for task_id in order {
        stagger(&mut random).await;
        let fence = if fenced { FIRST } else { present_fence(&mut conn, task_id).await };
        act(&mut conn, task_id, fence, random.random_range(0..10), &mut accepted).await;
    }
    accepted
}

async fn present_fence(conn: &mut PgConnection, task_id: TaskId) -> Fence {
    let fence = sqlx::query_scalar("SELECT fence FROM control.tasks WHERE id = $1").bind(task_id.0);
    Fence(fence.fetch_one(conn).await.unwrap())
}

/// Claims what was put back, and ends it, keeps it, or goes silent in its turn.
async fn successor(mut conn: PgConnection, mut order: Vec<TaskId>, mut random: impl RngCore) -> Accepted {
    let mut accepted = Accepted::default();
    for _round in 0..2 {
        order.shuffle(&mut random);
        for task_id in &order {
            stagger(&mut random).await;
            history::hold(&mut conn, None).await;
            sqlx::query("UPDATE control.tasks SET not_before = now() WHERE id = $1 AND state = 'queued'")
                .bind(task_id.0)
                .execute(&mut conn)
                .await
                .unwrap();
            let claimant = Claimant { worker: "w2", operator: "noop", ecs_task_arn: None };
            let Claim::Claimed(task) = tasks::claim(&mut conn, *task_id, &claimant).await.unwrap() else { continue };
            history::hold(&mut conn, Some(task.fence)).await;
            match random.random_range(0..3) {
                0 => expire(&mut conn, *task_id, task.fence).await,
                _ => act(&mut conn, *task_id, task.fence, random.random_range(0..10), &mut accepted).await,
            }
        }
    }
    accepted
}

async fn expire(conn: &mut PgConnection, task_id: TaskId, fence: Fence) {
    sqlx::query(
        "UPDATE control.tasks SET lease_expires_at = now() - interval '1 second'
          WHERE id = $1 AND fence = $2 AND state = 'running'",
    )
    .bind(task_id.0)
    .bind(fence.0)
    .execute(conn)
    .await
    .unwrap();
}

/// A person who cancels one task in ten.
async fn canceller(mut conn: PgConnection, mut order: Vec<TaskId>, mut random: impl RngCore) {
    order.shuffle(&mut random);
    for task_id in order.into_iter().take(usize::try_from(HEAP / 10).unwrap()) {
        stagger(&mut random).await;
        tasks::cancel(&mut conn, task_id, "a person", "no longer needed").await.unwrap();
    }
}

async fn reaper(mut conn: PgConnection, runs: u32, mut random: impl RngCore) -> i64 {
    let mut taken = 0;
    for _ in 0..runs {
        let reaped = reap::reap(&mut conn, 7).await.unwrap();
        assert!(reaped.faults.is_empty(), "{:?}", reaped.faults);
        taken += i64::try_from(reaped.lost.len()).unwrap();
        stagger(&mut random).await;
    }
    taken
}

#[tokio::test]
async fn experiment_reaper_races() {
    let mut experiment = Experiment::begin("reaper_races", &["fence"]);
    let fenced = !experiment.lacks("fence");
    let heaps: i64 = experiment.scaled(6, 200);
    let mut stage = Stage::new(JOBS).await;
    experiment.figure_of_postgres(&mut stage.conn).await;
    history::record(&mut stage).await;
    let (mut completed, mut other, mut taken) = (0, 0, 0);
    for heap in 0..heaps {
        let ids: Vec<i64> =
            sqlx::query_scalar(SILENT).bind(heap.to_string()).bind(HEAP).fetch_all(&mut stage.conn).await.unwrap();
        let ids: Vec<TaskId> = ids.into_iter().map(TaskId).collect();
        let stream = |actor: u64| experiment.random(heap.unsigned_abs() * 10 + actor);
        let (first, second, _, one, two) = tokio::join!(
            worker(stage.connect().await, ids.clone(), stream(1), fenced),
            successor(stage.connect().await, ids.clone(), stream(2)),
            canceller(stage.connect().await, ids.clone(), stream(3)),
            reaper(stage.connect().await, 12, stream(4)),
            reaper(stage.connect().await, 12, stream(5)),
        );
        // Long after: whatever became of its tasks, the first worker may change none that was given to another.
        let late = worker(stage.connect().await, ids.clone(), stream(6), fenced).await;
        completed += first.completed + second.completed + late.completed;
        other += first.other + second.other + late.other;
        taken += one + two;
    }
    experiment.figure("races", heaps * HEAP);
    experiment.figure("taken_back", taken);
    experiment.figure("other_ends_and_beats", other);
    let stored = stage.count("SELECT count(*) FROM control.tasks WHERE state = 'completed'").await;
    experiment.equal("completed", stored, completed);
    history::judge(&mut stage, &mut experiment).await;
    experiment.finish();
}
