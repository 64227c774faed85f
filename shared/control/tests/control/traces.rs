//! One cause has one trace, in every row that follows from it.

use std::collections::{BTreeMap, BTreeSet};

use isotherm_control::dataset_cursors::{self, Advance};
use isotherm_control::tasks::{self, Claimant, Failure};
use isotherm_control::threshold::{self, Facts};
use isotherm_control::{dispatch, events, jobs, trace};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::process::eventually;
use isotherm_types::{
    B256, BlockNumber, BlockRange, BlockRef, ChainId, Dataset, Disposition, EventBody, EventId, TaskId, TraceId,
};
use serde_json::json;
use sqlx::Connection;
use sqlx::migrate::Migrator;

use crate::stage::Stage;

const CHAIN: ChainId = ChainId(143);

/// Stores a block, as a follower does; returns the trace that begins with it.
async fn store_block(stage: &mut Stage) -> TraceId {
    let mut db_tx = stage.conn.begin().await.unwrap();
    let advance = Advance { dataset: Dataset::Blocks, block_count: 1, row_count: 1, size_bytes: 1 };
    dataset_cursors::advance(&mut db_tx, CHAIN, &[advance]).await.unwrap();
    let tip = BlockRef { number: BlockNumber(150), hash: B256::repeat_byte(1) };
    let datasets = vec![Dataset::Blocks];
    let body = EventBody::DatasetAdvanced { chain_id: CHAIN, datasets, blocks: BlockRange::single(tip.number), tip };
    let (_, trace_id) = events::record_traced(&mut db_tx, &body).await.unwrap();
    db_tx.commit().await.unwrap();
    trace_id.expect("a block is a cause")
}

/// Fires the job `work` by hand.
async fn fire(stage: &mut Stage, fire_key: &str) -> EventId {
    let org_id = jobs::org(&mut stage.conn, jobs::DEFAULT_ORG).await.unwrap();
    let (job_id, fire_key) = (stage.job("work").await, fire_key.to_owned());
    let body = EventBody::TriggerFired { org_id, job_id, trigger_id: None, fire_key, input: json!({}) };
    events::record(&mut stage.conn, &body).await.unwrap()
}

fn committed() -> EventBody {
    let blocks = BlockRange::new(BlockNumber(0), BlockNumber(100)).unwrap();
    EventBody::PartitionCommitted { chain_id: CHAIN, dataset: Dataset::Logs, blocks, manifest_version: 1 }
}

async fn trace_of(stage: &mut Stage, event_id: EventId) -> Option<TraceId> {
    events::read(&mut stage.conn, event_id).await.unwrap().trace_id
}

/// The trace of the newest event of this kind.
async fn newest(stage: &mut Stage, kind: &str) -> (EventId, Option<TraceId>) {
    let (id,): (i64,) = sqlx::query_as("SELECT max(id) FROM control.events WHERE kind = $1")
        .bind(kind)
        .fetch_one(&mut stage.conn)
        .await
        .unwrap();
    (EventId(id), trace_of(stage, EventId(id)).await)
}

/// The trace of an event that is recorded under a task's fence, as an operator does.
async fn announced_under(stage: &mut Stage, task: &tasks::ClaimedTask) -> Option<TraceId> {
    let mut db_tx = stage.conn.begin().await.unwrap();
    tasks::assert_fence(&mut db_tx, task.task_id, task.fence).await.unwrap();
    let (_, trace_id) = events::record_traced(&mut db_tx, &committed()).await.unwrap();
    db_tx.commit().await.unwrap();
    trace_id
}

#[tokio::test]
async fn a_blocks_way_over_threshold_event_task_and_attempt_has_one_trace() {
    let mut stage = Stage::new().await;
    let trace_id = store_block(&mut stage).await;
    let (first_block, tip, finalized) = (Some(BlockNumber(0)), Some(BlockNumber(150)), Some(BlockNumber(120)));
    let facts = Facts { chain_id: CHAIN, first_block, tip, finalized, tip_age: None };
    assert_eq!(threshold::evaluate(&mut stage.conn, &facts).await.unwrap().len(), 1);
    let (fired, of_firing) = newest(&mut stage, "trigger_fired").await;
    assert_eq!(of_firing, Some(trace_id));

    let other = fire(&mut stage, "by-hand").await;
    let of_other = trace_of(&mut stage, other).await.unwrap();
    assert_ne!(of_other, trace_id, "a call is a cause of its own");
    let handled = dispatch::handle_events(&mut stage.conn, &[fired, other]).await.unwrap();
    let made: BTreeMap<TraceId, TaskId> =
        handled.traces.into_iter().map(|(task_id, trace_id)| (trace_id, task_id)).collect();
    assert_eq!(made.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from([trace_id, of_other]));

    let claimed = stage.claimed(made[&trace_id], "w1").await;
    assert_eq!(claimed.trace_id, Some(trace_id));
    let claimant = Claimant { worker: "w2", operator: "noop", ecs_task_arn: None };
    let second = tasks::claim_many(&mut stage.conn, &claimant, 9).await.unwrap();
    assert_eq!(second.iter().map(|task| task.trace_id).collect::<Vec<_>>(), [Some(of_other)]);

    assert_eq!(announced_under(&mut stage, &claimed).await, Some(trace_id));
    let failure = Failure { code: "x", message: "x", disposition: Disposition::GiveUp, stderr_tail: None };
    tasks::fail(&mut stage.conn, claimed.task_id, claimed.fence, &failure).await.unwrap();
    assert_eq!(newest(&mut stage, "task_failed").await.1, Some(trace_id));
}

#[tokio::test]
async fn an_event_that_is_handled_alone_hands_its_trace_on() {
    let mut stage = Stage::new().await;
    for fire_key in ["one", "two"] {
        let event_id = fire(&mut stage, fire_key).await;
        let expected = trace_of(&mut stage, event_id).await;
        let made = dispatch::handle_event(&mut stage.conn, event_id).await.unwrap();
        let [tasks::Created::New(task_id)] = made[..] else { panic!("{made:?}") };
        assert_eq!(stage.claimed(task_id, "w").await.trace_id, expected);
    }
}

#[tokio::test]
async fn each_transaction_of_a_source_is_a_cause_of_its_own() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("source", "always-on-1").await;
    let claimed = stage.claimed(task_id, "w").await;
    let first = announced_under(&mut stage, &claimed).await.unwrap();
    let second = announced_under(&mut stage, &claimed).await.unwrap();
    assert_ne!(first, second);
    assert!(![first, second].contains(&claimed.trace_id.unwrap()));
}

#[tokio::test]
async fn what_a_program_of_before_wrote_follows_from_nothing_and_hinders_nobody() {
    let mut stage = Stage::new().await;
    let event_id = fire(&mut stage, "old").await;
    sqlx::query("UPDATE control.events SET trace_id = NULL").execute(&mut stage.conn).await.unwrap();
    assert_eq!(trace_of(&mut stage, event_id).await, None);
    let made = dispatch::handle_events(&mut stage.conn, &[event_id]).await.unwrap().made;
    let claimed = stage.claimed(made[0], "w").await;
    assert!(claimed.trace_id.is_some(), "its task begins one");
}

#[tokio::test]
async fn events_of_before_that_are_handled_together_have_nothing_in_common() {
    let mut stage = Stage::new().await;
    let events = [fire(&mut stage, "one").await, fire(&mut stage, "two").await];
    sqlx::query("UPDATE control.events SET trace_id = NULL").execute(&mut stage.conn).await.unwrap();
    let handled = dispatch::handle_events(&mut stage.conn, &events).await.unwrap();
    let traces: BTreeSet<TraceId> = handled.traces.iter().map(|(_, trace_id)| *trace_id).collect();
    assert_eq!((handled.made.len(), traces.len()), (2, 2));
}

#[tokio::test]
async fn a_trace_ends_with_its_transaction() {
    let mut stage = Stage::new().await;
    let told: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
    let mut db_tx = stage.conn.begin().await.unwrap();
    trace::follow(&mut db_tx, Some(told)).await.unwrap();
    assert_eq!(trace::present(&mut db_tx).await.unwrap(), Some(told));
    db_tx.commit().await.unwrap();
    let mut db_tx = stage.conn.begin().await.unwrap();
    let own = trace::present(&mut db_tx).await.unwrap();
    assert_eq!(trace::present(&mut db_tx).await.unwrap(), own, "one for the whole transaction");
    assert_ne!(own, Some(told));
}

/// Whether somebody waits to alter the tasks.
const IS_WAITING: &str = "
    SELECT EXISTS (SELECT FROM pg_locks
                    WHERE NOT granted AND relation = 'control.tasks'::regclass
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

#[tokio::test]
async fn traces_come_to_a_database_at_work_without_waiting_in_a_circle() {
    const BEFORE_TRACES: i64 = 18;
    let database = TestDatabase::empty().await.unwrap();
    let folder = isotherm_lab::tools::repository_root().unwrap().join("migrations");
    let migrator = Migrator::new(folder.as_path()).await.unwrap();
    let mut changing = database.connect().await.unwrap();
    migrator.run_to(BEFORE_TRACES, &mut changing).await.unwrap();

    // A worker of before: it has asked whether its task is still its own, and has not told of its work yet.
    let (mut worker, mut watcher) = (database.connect().await.unwrap(), database.connect().await.unwrap());
    let mut db_tx = worker.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM control.tasks FOR KEY SHARE").execute(&mut *db_tx).await.unwrap();
    let working = async {
        let is_waiting = async || sqlx::query_scalar(IS_WAITING).fetch_one(&mut watcher).await.unwrap();
        eventually("the migration to wait for the worker", is_waiting).await.unwrap();
        let event = "INSERT INTO control.events (kind, body) VALUES ('made', '{\"kind\": \"made\"}')";
        sqlx::query(event).execute(&mut *db_tx).await.unwrap();
        db_tx.commit().await.unwrap();
    };
    let (migrated, ()) = tokio::join!(migrator.run(&mut changing), working);
    migrated.unwrap();
    let traced: bool = sqlx::query_scalar("SELECT bool_and(trace_id IS NOT NULL) FROM control.events")
        .fetch_one(&mut watcher)
        .await
        .unwrap();
    assert!(traced, "the default holds for a program of before");
}
