//! How many tasks run, which goes first, and how much is launched.

use std::time::Duration;

use isotherm_control::dispatch::{self, MOST_LAUNCHES};
use isotherm_control::events;
use isotherm_control::tasks::{self, Claim, Claimant, Created, inputs};
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset, EventBody, TaskId};
use sqlx::Connection;

use crate::outbox::invalidated;
use crate::stage::{Stage, until_somebody_waits};

const CLAIMANT: Claimant<'_> = Claimant { worker: "w", operator: "noop", ecs_task_arn: None };

async fn woken(stage: &mut Stage) -> Vec<TaskId> {
    let outgoing = dispatch::ready(&mut stage.conn, MOST_LAUNCHES).await.unwrap();
    outgoing.wakes.iter().map(|wake| wake.task_id).collect()
}

async fn execute(stage: &mut Stage, statement: &'static str) {
    sqlx::query(statement).execute(&mut stage.conn).await.unwrap();
}

/// Claims `first` in a transaction that stays open, lets a claim of `second` run into it, and commits.
async fn claim_during_a_claim(stage: &mut Stage, first: TaskId, second: TaskId) -> Claim {
    let mut holder = stage.connect().await;
    let mut held = holder.begin().await.unwrap();
    let claim = tasks::claim(&mut held, first, &CLAIMANT).await.unwrap();
    assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
    let mut other = stage.connect().await;
    let overlapping = tokio::spawn(async move { tasks::claim(&mut other, second, &CLAIMANT).await.unwrap() });
    until_somebody_waits(&mut stage.conn).await;
    held.commit().await.unwrap();
    overlapping.await.unwrap()
}

#[tokio::test]
async fn claims_of_one_job_that_overlap_do_not_pass_its_limit() {
    let mut stage = Stage::new().await;
    execute(&mut stage, "UPDATE control.jobs SET max_concurrency = 1 WHERE name = 'work'").await;
    let (first, second) = (stage.new_task("work", "one").await, stage.new_task("work", "two").await);
    let overlapping = claim_during_a_claim(&mut stage, first, second).await;
    assert!(matches!(overlapping, Claim::HeldBack), "{overlapping:?}");
}

#[tokio::test]
async fn claims_of_two_jobs_that_overlap_do_not_pass_the_limit_of_their_organisation() {
    let mut stage = Stage::new().await;
    execute(&mut stage, "UPDATE control.orgs SET max_concurrency = 1").await;
    let (first, second) = (stage.new_task("work", "one").await, stage.new_task("watch", "two").await);
    let overlapping = claim_during_a_claim(&mut stage, first, second).await;
    assert!(matches!(overlapping, Claim::HeldBack), "{overlapping:?}");
    execute(&mut stage, "UPDATE control.orgs SET max_concurrency = 2").await;
    stage.claimed(second, "w2").await;
}

#[tokio::test]
async fn no_more_tasks_of_an_organisation_are_woken_than_it_may_run() {
    let mut stage = Stage::new().await;
    execute(&mut stage, "UPDATE control.orgs SET max_concurrency = 2").await;
    let work = stage.new_task("work", "one").await;
    let watch = stage.new_task("watch", "two").await;
    let held_back = stage.new_task("work", "three").await;
    assert_eq!(woken(&mut stage).await, [work, watch]);
    stage.claimed(work, "w1").await;
    assert_eq!(tasks::next_due(&mut stage.conn, "noop").await.unwrap(), Some(watch));
    stage.claimed(watch, "w2").await;
    assert_eq!(tasks::next_due(&mut stage.conn, "noop").await.unwrap(), None);
    assert!(matches!(stage.claim(held_back, "w3").await, Claim::HeldBack));
}

#[tokio::test]
async fn a_task_of_higher_priority_goes_first() {
    let mut stage = Stage::new().await;
    let early = stage.new_task("work", "early").await;
    stage.apply(&crate::stage::JOBS.replace("max_attempts: 2", "max_attempts: 2, priority: 5")).await;
    let urgent = stage.new_task("work", "urgent").await;
    let usual = stage.new_task("watch", "usual").await;
    assert_eq!(tasks::next_due(&mut stage.conn, "noop").await.unwrap(), Some(urgent));
    assert_eq!(woken(&mut stage).await, [urgent, early, usual]);
}

#[tokio::test]
async fn a_paused_job_makes_tasks_that_wait() {
    let mut stage = Stage::new().await;
    execute(&mut stage, "UPDATE control.jobs SET paused = true").await;
    let task_id = stage.new_task("work", "one").await;
    assert!(woken(&mut stage).await.is_empty());
    assert_eq!(tasks::next_due(&mut stage.conn, "noop").await.unwrap(), None);
    assert!(matches!(stage.claim(task_id, "w1").await, Claim::HeldBack));
    assert!(dispatch::ensure_sources(&mut stage.conn).await.unwrap().is_empty());
    execute(&mut stage, "UPDATE control.jobs SET paused = false").await;
    assert_eq!(woken(&mut stage).await, [task_id]);
}

#[tokio::test]
async fn workers_that_wait_for_work_spare_launches() {
    let mut stage = Stage::new().await;
    execute(
        &mut stage,
        "INSERT INTO control.worker_leases (worker, operator, lease_expires_at)
         VALUES ('w1', 'noop', now() + interval '1 minute'), ('w2', 'noop', now() - interval '1 second'),
                ('w3', 'parquet_compact', now() + interval '1 minute')",
    )
    .await;
    stage.new_task("work", "one").await;
    let second = stage.new_task("work", "two").await;
    let outgoing = dispatch::ready(&mut stage.conn, MOST_LAUNCHES).await.unwrap();
    assert_eq!(outgoing.wakes.len(), 2);
    let launched: Vec<TaskId> = outgoing.launches.iter().map(|launch| launch.task_id).collect();
    assert_eq!(launched, [second], "one idle worker of this operator is alive");
}

#[tokio::test]
async fn all_dispatchers_together_launch_no_more_than_the_account_may() {
    let mut stage = Stage::new().await;
    execute(&mut stage, "UPDATE control.jobs SET max_concurrency = 1000 WHERE name = 'work'").await;
    execute(
        &mut stage,
        "UPDATE control.rate_limits SET burst = 3, tokens = 3, per_second = 0.001, refilled_at = now()",
    )
    .await;
    for i in 0..8 {
        stage.new_task("work", &format!("task-{i}")).await;
    }
    let (mut one, mut two) = (stage.connect().await, stage.connect().await);
    let (first, second) = tokio::join!(dispatch::ready(&mut one, 2), dispatch::ready(&mut two, 2));
    let launched = first.unwrap().launches.len() + second.unwrap().launches.len();
    assert!((2..=3).contains(&launched), "{launched} were launched, and there were tokens for three");

    let next_pass = "UPDATE control.tasks SET woken_at = woken_at - interval '10 seconds'";
    execute(&mut stage, next_pass).await;
    let rest = dispatch::ready(&mut stage.conn, MOST_LAUNCHES).await.unwrap().launches.len();
    assert!(launched + rest <= 3, "{launched} + {rest}");
    execute(&mut stage, "UPDATE control.rate_limits SET tokens = 0, refilled_at = now() - interval '2000 seconds'")
        .await;
    execute(&mut stage, next_pass).await;
    assert_eq!(dispatch::ready(&mut stage.conn, MOST_LAUNCHES).await.unwrap().launches.len(), 2, "two were refilled");
}

#[tokio::test]
async fn a_bulk_task_is_told_all_that_was_gathered_while_it_waited() {
    let mut stage = Stage::new().await;
    let mut made = Vec::new();
    for (start, end) in [(5, 7), (6, 9), (20, 21)] {
        let EventBody::DatasetInvalidated { chain_id, datasets, common_ancestor, .. } = invalidated(143) else {
            panic!("another event");
        };
        let blocks = BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap();
        let body = EventBody::DatasetInvalidated { chain_id, datasets, blocks, common_ancestor };
        let event_id = events::record(&mut stage.conn, &body).await.unwrap();
        made.extend(dispatch::handle_event(&mut stage.conn, event_id).await.unwrap());
        dispatch::handle_event(&mut stage.conn, event_id).await.unwrap();
    }
    let [Created::New(task_id)] = made[..] else { panic!("{made:?}") };
    let claimed = stage.claimed(task_id, "w1").await;
    let blocks = |start: u64, end: u64| serde_json::json!({ "chain_id": 143, "dataset": "logs", "blocks": { "start": start, "end": end } });
    assert_eq!(claimed.input, serde_json::json!({ "cause": "bulk", "inputs": [blocks(5, 9), blocks(20, 21)] }));
    assert_eq!(stage.count("SELECT count(*) FROM control.task_inputs").await, 3, "each event once");
}

#[tokio::test]
async fn each_partition_of_an_event_is_a_task_that_knows_its_own_blocks() {
    let mut stage = Stage::new().await;
    let jobs = "
version: 1
jobs: [{ name: parts, operator: noop, strategy: per_partition, partition_blocks: 40, input_datasets: [143/logs] }]
";
    stage.apply(jobs).await;
    let body = EventBody::PartitionCommitted {
        chain_id: ChainId(143),
        dataset: Dataset::Logs,
        blocks: BlockRange::new(BlockNumber(0), BlockNumber(100)).unwrap(),
        manifest_version: 1,
    };
    let event_id = events::record(&mut stage.conn, &body).await.unwrap();
    let made = dispatch::handle_event(&mut stage.conn, event_id).await.unwrap();
    let [Created::New(first), Created::New(_), Created::New(last)] = made[..] else { panic!("{made:?}") };
    let first = inputs::read(&mut stage.conn, first).await.unwrap();
    assert_eq!(first[0].blocks.to_string(), "0..40");
    let last = inputs::read(&mut stage.conn, last).await.unwrap();
    assert_eq!((last.len(), last[0].blocks.to_string()), (1, "80..100".to_owned()));
    let again = events::record(&mut stage.conn, &body).await.unwrap();
    assert!(dispatch::handle_event(&mut stage.conn, again).await.unwrap().is_empty(), "announced twice, made once");
}

#[tokio::test]
async fn a_claim_waits_for_no_claim_of_another_job() {
    let mut stage = Stage::new().await;
    let (first, second) = (stage.new_task("work", "one").await, stage.new_task("watch", "two").await);
    let mut holder = stage.connect().await;
    let mut held = holder.begin().await.unwrap();
    tasks::claim(&mut held, first, &CLAIMANT).await.unwrap();
    let other = tokio::time::timeout(Duration::from_secs(5), stage.claim(second, "w2")).await.unwrap();
    assert!(matches!(other, Claim::Claimed(_)), "{other:?}");
    held.rollback().await.unwrap();
}
