//! Inputs and attempts of tasks: no foreign key looks at each of these rows, and yet none refers to a row that is gone.

use isotherm_control::tasks::{self, Claim, Claimant, Done, Failure};
use isotherm_control::{dispatch, events};
use isotherm_types::{B256, BlockNumber, BlockRange, BlockRef, ChainId, Dataset, Disposition, EventBody, TaskId};
use sqlx::{Connection, PgConnection};

use crate::stage::{Stage, until_somebody_waits};

const READERS: &str = "
version: 1
jobs: [{ name: read, operator: noop, strategy: per_partition, input_datasets: [143/logs], max_concurrency: 9 }]
";
const WORKER: Claimant<'static> = Claimant { worker: "w1", operator: "noop", ecs_task_arn: None };
const DELETE_TASK: &str = "DELETE FROM control.tasks WHERE id = $1";
const DELETE_EVENT: &str = "DELETE FROM control.events WHERE id = $1";
/// SQLSTATE `foreign_key_violation`.
const REFERRED_TO: &str = "23503";
/// SQLSTATE `feature_not_supported`.
const NOT_SUPPORTED: &str = "0A000";

async fn stage() -> Stage {
    let mut stage = Stage::new().await;
    stage.apply(READERS).await;
    stage
}

fn committed() -> EventBody {
    EventBody::PartitionCommitted {
        chain_id: ChainId(143),
        dataset: Dataset::Logs,
        blocks: BlockRange::new(BlockNumber(0), BlockNumber(100)).unwrap(),
        manifest_version: 1,
    }
}

/// Deletes a row. Returns how many went, or the SQLSTATE of the refusal.
async fn delete(conn: &mut PgConnection, statement: &'static str, id: i64) -> Result<u64, String> {
    match sqlx::query(statement).bind(id).execute(conn).await {
        Ok(deleted) => Ok(deleted.rows_affected()),
        Err(error) => Err(sqlstate(&error)),
    }
}

fn sqlstate(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap().into_owned()
}

async fn actions(stage: &mut Stage, task_id: TaskId) -> Vec<String> {
    stage.show(task_id).await.trail.into_iter().map(|entry| entry.action).collect()
}

#[tokio::test]
async fn a_dataset_that_an_event_names_twice_is_one_input_of_its_task() {
    let mut stage = stage().await;
    let body = EventBody::DatasetInvalidated {
        chain_id: ChainId(143),
        datasets: vec![Dataset::Logs, Dataset::Blocks, Dataset::Logs],
        blocks: BlockRange::new(BlockNumber(5), BlockNumber(7)).unwrap(),
        common_ancestor: BlockRef { number: BlockNumber(4), hash: B256::ZERO },
    };
    let event_id = events::record(&mut stage.conn, &body).await.unwrap();
    let handled = dispatch::handle_events(&mut stage.conn, &[event_id]).await.unwrap();
    let inputs = stage.show(handled.made[0]).await.inputs;
    let mut datasets: Vec<_> = inputs.iter().filter_map(|input| input.dataset.as_deref()).collect();
    datasets.sort_unstable();
    assert_eq!(datasets, ["blocks", "logs"]);
}

#[tokio::test]
async fn of_events_of_a_batch_that_ask_for_one_task_it_answers_the_first() {
    let mut stage = stage().await;
    let ids = events::record_many(&mut stage.conn, &[committed(), committed()]).await.unwrap();
    let handled = dispatch::handle_events(&mut stage.conn, &ids).await.unwrap();
    assert_eq!(handled.made.len(), 1);
    let inputs = stage.show(handled.made[0]).await.inputs;
    let answered: Vec<_> = inputs.iter().map(|input| (input.event_id, input.start_block, input.end_block)).collect();
    assert_eq!(answered, [(ids[0].0, Some(0), Some(100))]);
    let of_no_org = "SELECT count(*) FROM control.task_inputs i JOIN control.tasks t ON t.id = i.task_id
                      WHERE t.org_id <> i.org_id";
    assert_eq!(stage.count(of_no_org).await, 0, "an input belongs to its task's organisation");
}

#[tokio::test]
async fn a_task_or_event_that_attempts_or_inputs_refer_to_cannot_be_deleted() {
    let mut stage = stage().await;
    let ids = events::record_many(&mut stage.conn, &[committed(), committed()]).await.unwrap();
    let answering = dispatch::handle_events(&mut stage.conn, &ids[..1]).await.unwrap().made[0];
    let (attempted, bare) = (stage.new_task("read", "one").await, stage.new_task("read", "two").await);
    stage.claimed(attempted, "w1").await;
    for (statement, id, expected) in [
        (DELETE_TASK, answering.0, Err(REFERRED_TO.to_owned())),
        (DELETE_TASK, attempted.0, Err(REFERRED_TO.to_owned())),
        (DELETE_TASK, bare.0, Ok(1)),
        (DELETE_EVENT, ids[0].0, Err(REFERRED_TO.to_owned())),
        (DELETE_EVENT, ids[1].0, Ok(1)),
    ] {
        assert_eq!(delete(&mut stage.conn, statement, id).await, expected, "{statement}, {id}");
    }
}

#[tokio::test]
async fn an_event_cannot_be_deleted_while_its_tasks_are_made() {
    for at_once in [true, false] {
        let mut stage = stage().await;
        let event_id = events::record(&mut stage.conn, &committed()).await.unwrap();
        let mut dispatcher = stage.connect().await;
        let mut db_tx = dispatcher.begin().await.unwrap();
        let made = if at_once {
            dispatch::handle_events(&mut db_tx, &[event_id]).await.unwrap().made.len()
        } else {
            dispatch::handle_event(&mut db_tx, event_id).await.unwrap().len()
        };
        assert_eq!(made, 1);
        let mut other = stage.connect().await;
        let deleting = tokio::spawn(async move { delete(&mut other, DELETE_EVENT, event_id.0).await });
        until_somebody_waits(&mut stage.conn).await;
        db_tx.commit().await.unwrap();
        assert_eq!(deleting.await.unwrap(), Err(REFERRED_TO.to_owned()), "at once: {at_once}");
    }
}

#[tokio::test]
async fn a_task_cannot_be_deleted_while_it_is_claimed() {
    for at_once in [true, false] {
        let mut stage = stage().await;
        let task_id = stage.new_task("read", "one").await;
        let mut worker = stage.connect().await;
        let mut db_tx = worker.begin().await.unwrap();
        let claimed = if at_once {
            tasks::claim_many(&mut db_tx, &WORKER, 5).await.unwrap().len() == 1
        } else {
            matches!(tasks::claim(&mut db_tx, task_id, &WORKER).await.unwrap(), Claim::Claimed(_))
        };
        assert!(claimed);
        let mut other = stage.connect().await;
        let deleting = tokio::spawn(async move { delete(&mut other, DELETE_TASK, task_id.0).await });
        until_somebody_waits(&mut stage.conn).await;
        db_tx.commit().await.unwrap();
        assert_eq!(deleting.await.unwrap(), Err(REFERRED_TO.to_owned()), "at once: {at_once}");
    }
}

#[tokio::test]
async fn a_transaction_that_does_not_see_who_refers_to_an_event_by_now_cannot_delete_it() {
    for (level, expected) in [
        ("READ COMMITTED", REFERRED_TO),
        ("READ UNCOMMITTED", REFERRED_TO),
        ("REPEATABLE READ", NOT_SUPPORTED),
        ("SERIALIZABLE", NOT_SUPPORTED),
    ] {
        let mut stage = stage().await;
        let event_id = events::record(&mut stage.conn, &committed()).await.unwrap();
        let mut other = stage.connect().await;
        let begin = sqlx::AssertSqlSafe(format!("BEGIN ISOLATION LEVEL {level}"));
        let mut db_tx = other.begin_with(begin).await.unwrap();
        // Its snapshot, if it keeps one, is older than what refers to the event.
        sqlx::query("SELECT").execute(&mut *db_tx).await.unwrap();
        assert_eq!(dispatch::handle_event(&mut stage.conn, event_id).await.unwrap().len(), 1);
        assert_eq!(delete(&mut db_tx, DELETE_EVENT, event_id.0).await, Err(expected.to_owned()), "{level}");
    }
}

#[tokio::test]
async fn a_task_is_not_deleted_under_a_snapshot_of_before() {
    for (level, expected) in [("READ COMMITTED", Ok(1)), ("SERIALIZABLE", Err(NOT_SUPPORTED.to_owned()))] {
        let mut stage = stage().await;
        let task_id = stage.new_task("read", "one").await;
        let begin = sqlx::AssertSqlSafe(format!("BEGIN ISOLATION LEVEL {level}"));
        let mut db_tx = stage.conn.begin_with(begin).await.unwrap();
        assert_eq!(delete(&mut db_tx, DELETE_TASK, task_id.0).await, expected, "{level}");
    }
}

#[tokio::test]
async fn tasks_and_events_are_not_truncated() {
    let mut stage = stage().await;
    stage.new_task("read", "one").await;
    for statement in [
        "TRUNCATE control.tasks CASCADE",
        "TRUNCATE control.events CASCADE",
        "TRUNCATE control.jobs CASCADE",
        "TRUNCATE control.task_inputs, control.task_attempts, control.events, control.tasks CASCADE",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&mut stage.conn).await.unwrap_err();
        assert_eq!(sqlstate(&refused), NOT_SUPPORTED, "{statement}: {refused}");
    }
    assert_eq!(stage.count("SELECT count(*) FROM control.tasks").await, 1);
}

#[tokio::test]
async fn tasks_claimed_at_once_know_how_many_attempts_failed_before() {
    let mut stage = stage().await;
    let again = stage.new_task("read", "again").await;
    let fence = stage.claimed(again, "w1").await.fence;
    let failure = Failure { code: "test.x", message: "", disposition: Disposition::Retry, stderr_tail: None };
    tasks::fail(&mut stage.conn, again, fence, &failure).await.unwrap();
    let released = stage.new_task("read", "released").await;
    let fence = stage.claimed(released, "w1").await.fence;
    tasks::release(&mut stage.conn, released, fence, None).await.unwrap();
    let fresh = stage.new_task("read", "fresh").await;
    stage.make_due(again).await;
    let claimed = tasks::claim_many(&mut stage.conn, &WORKER, 5).await.unwrap();
    let mut attempts: Vec<_> = claimed.iter().map(|task| (task.task_id, task.attempt)).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [(again, 2), (released, 1), (fresh, 1)]);
}

#[tokio::test]
async fn a_task_whose_attempt_is_not_open_is_not_completed_in_a_batch() {
    let mut stage = stage().await;
    let (closed, open) = (stage.new_task("read", "closed").await, stage.new_task("read", "open").await);
    let fences = [stage.claimed(closed, "w1").await.fence, stage.claimed(open, "w1").await.fence];
    let close = "UPDATE control.task_attempts SET outcome = 'lost', finished_at = now() WHERE task_id = $1";
    stage.run(close, closed).await;
    let output = serde_json::json!({ "rows": 1 });
    let done = [(closed, fences[0]), (open, fences[1])];
    let done = done.map(|(task_id, fence)| Done { task_id, fence, output: &output, stderr_tail: Some("tail") });
    assert_eq!(tasks::complete_many(&mut stage.conn, &done).await.unwrap(), [false, true]);
    assert_eq!(actions(&mut stage, closed).await, ["created", "claimed"]);
    assert_eq!(actions(&mut stage, open).await, ["created", "claimed", "completed"]);
    let stored = stage.show(open).await;
    assert_eq!((stored.task.output.as_ref(), stored.task.worker.as_deref()), (Some(&output), None));
    assert_eq!(stored.attempts[0].stderr_tail.as_deref(), Some("tail"));
}
