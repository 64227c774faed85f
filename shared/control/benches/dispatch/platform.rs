//! The control plane's leg. Between the outbox and the dispatcher there is no queue here: SQS is not measured.

use std::sync::Arc;

use isotherm_control::tasks::{self, Claimant, Done};
use isotherm_control::{dispatch, events, outbox};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset, EventBody, Queue};
use sqlx::{Connection, PgConnection};

use crate::{BATCH, ITEMS, Progress, WORKERS};

/// What the leg consists of, in the order of a task's life.
pub(crate) const STEPS: [&str; 6] =
    ["record", "outbox take", "outbox delete", "handle_events", "claim_many", "complete_many"];

/// One leg.
pub(crate) async fn run(database: &TestDatabase) -> Arc<Progress> {
    let progress = Progress::new();
    let mut legs = tokio::task::JoinSet::new();
    let connect = async || database.connect().await.expect("a connection");
    legs.spawn(produce(connect().await, progress.clone()));
    legs.spawn(dispatcher(connect().await, progress.clone()));
    for i in 0..WORKERS {
        legs.spawn(work(connect().await, format!("worker-{i}"), progress.clone()));
    }
    while let Some(ended) = legs.join_next().await {
        ended.expect("no leg panics");
    }
    progress
}

/// The number of the item is the block at which its partition starts.
fn event(item: u64) -> EventBody {
    EventBody::PartitionCommitted {
        chain_id: ChainId(item % 16),
        dataset: Dataset::Logs,
        blocks: BlockRange::new(BlockNumber(item), BlockNumber(item + 1)).expect("one block"),
        manifest_version: 1,
    }
}

async fn produce(mut conn: PgConnection, progress: Arc<Progress>) {
    while let Some(items) = progress.next_batch().await {
        let bodies: Vec<EventBody> = items.map(event).collect();
        progress.timed(STEPS[0], events::record_many(&mut conn, &bodies)).await.expect("events are recorded");
        progress.note(&progress.produced, bodies.len());
    }
}

async fn dispatcher(mut conn: PgConnection, progress: Arc<Progress>) {
    let (mut produced, mut taken) = (progress.produced.subscribe(), 0);
    while taken < ITEMS {
        produced.wait_for(|produced| *produced > taken).await.expect("the leg goes on");
        let mut db_tx = conn.begin().await.expect("a transaction");
        let rows =
            progress.timed(STEPS[1], outbox::take(&mut db_tx, &Queue::ALL, BATCH)).await.expect("the outbox is read");
        let (ids, event_ids): (Vec<i64>, Vec<_>) = rows.iter().map(|row| (row.id, row.event_id)).unzip();
        progress.timed(STEPS[2], outbox::delete(&mut db_tx, &ids)).await.expect("the outbox is cleared");
        db_tx.commit().await.expect("a commit");
        let handled =
            progress.timed(STEPS[3], dispatch::handle_events(&mut conn, &event_ids)).await.expect("events are handled");
        assert_eq!(handled.made.len(), event_ids.len(), "{:?}", handled.refused);
        taken += rows.len() as u64;
        progress.note(&progress.queued, handled.made.len());
    }
}

async fn work(mut conn: PgConnection, worker: String, progress: Arc<Progress>) {
    let claimant = Claimant { worker: &worker, operator: "noop", ecs_task_arn: None };
    let output = serde_json::json!({});
    let mut queued = progress.queued.subscribe();
    while !progress.is_over() {
        queued.mark_unchanged();
        let claimed =
            progress.timed(STEPS[4], tasks::claim_many(&mut conn, &claimant, BATCH)).await.expect("tasks are claimed");
        if claimed.is_empty() {
            // Woken for the end too, which is noted after the last completion.
            if !progress.is_over() {
                queued.changed().await.expect("the leg goes on");
            }
            continue;
        }
        progress.note_started(claimed.iter().filter_map(|task| task.input["blocks"]["start"].as_u64()));
        let done = |task: &tasks::ClaimedTask| (task.task_id, task.fence);
        let done: Vec<Done<'_>> = (claimed.iter().map(done))
            .map(|(task_id, fence)| Done { task_id, fence, output: &output, stderr_tail: None })
            .collect();
        let completed =
            progress.timed(STEPS[5], tasks::complete_many(&mut conn, &done)).await.expect("tasks are completed");
        assert!(completed.iter().all(|was_completed| *was_completed), "a task was stale");
        progress.note(&progress.done, done.len());
    }
}
