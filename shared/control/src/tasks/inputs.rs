//! What a task is to work on: the events that it answers, and the blocks of each dataset that they name. Table
//! `control.task_inputs`.
//!
//! A bulk task gathers inputs for as long as it waits; its worker is told them when it claims the task.

use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset, EventBody, EventId, TaskId};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;

use crate::codec::from_word;
use crate::error::ControlError;

/// Blocks of one dataset that a task is to work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TaskInput {
    /// Their chain.
    pub chain_id: ChainId,
    /// The dataset.
    pub dataset: Dataset,
    /// The blocks.
    pub blocks: BlockRange,
}

/// The blocks that `event` names, as far as they lie in `within`; all if that is absent. Each dataset once. Pure.
pub fn of_event(event: &EventBody, within: Option<BlockRange>) -> Vec<TaskInput> {
    let (chain_id, datasets, blocks): (ChainId, &[Dataset], BlockRange) = match event {
        EventBody::DatasetAdvanced { chain_id, datasets, blocks, .. }
        | EventBody::DatasetInvalidated { chain_id, datasets, blocks, .. } => (*chain_id, datasets, *blocks),
        EventBody::PartitionCommitted { chain_id, dataset, blocks, .. } => {
            (*chain_id, std::slice::from_ref(dataset), *blocks)
        }
        EventBody::IntegrityViolated { .. }
        | EventBody::TriggerFired { .. }
        | EventBody::TaskFailed { .. }
        | EventBody::AlertsRecorded { .. } => {
            return Vec::new();
        }
    };
    let blocks = within.unwrap_or(blocks);
    let mut inputs: Vec<TaskInput> = Vec::with_capacity(datasets.len());
    for &dataset in datasets {
        // One that the event names twice is worked on once.
        if inputs.iter().all(|input| input.dataset != dataset) {
            inputs.push(TaskInput { chain_id, dataset, blocks });
        }
    }
    inputs
}

/// A block's number as its column holds it.
pub(super) fn stored(number: BlockNumber) -> i64 {
    i64::try_from(number.0).unwrap_or(i64::MAX)
}

/// Notes that the task answers `event_id` and works on `inputs`; once, however often it is noted.
///
/// The caller's transaction holds both: it has made the task or locked it, and [`crate::events`] holds the event.
///
/// # Errors
/// Only what Postgres reports.
pub(crate) async fn note(
    conn: &mut PgConnection,
    task_id: TaskId,
    event_id: EventId,
    inputs: &[TaskInput],
) -> Result<(), ControlError> {
    sqlx::query(
        "INSERT INTO control.task_inputs (org_id, task_id, event_id, chain_id, dataset, start_block, end_block)
         SELECT t.org_id, t.id, $2, i.chain_id, i.dataset, i.start_block, i.end_block
           FROM control.tasks t
           LEFT JOIN unnest($3::bigint[], $4::text[], $5::bigint[], $6::bigint[])
                     AS i (chain_id, dataset, start_block, end_block) ON true
          WHERE t.id = $1
         ON CONFLICT DO NOTHING",
    )
    .bind(task_id.0)
    .bind(event_id.0)
    .bind(inputs.iter().map(|input| input.chain_id.0.cast_signed()).collect::<Vec<_>>())
    .bind(inputs.iter().map(|input| input.dataset.as_str()).collect::<Vec<_>>())
    .bind(inputs.iter().map(|input| stored(input.blocks.start())).collect::<Vec<_>>())
    .bind(inputs.iter().map(|input| stored(input.blocks.end())).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// The blocks that the task is to work on, by dataset and in their order; ranges that overlap or adjoin are one.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn read(conn: &mut PgConnection, task_id: TaskId) -> Result<Vec<TaskInput>, ControlError> {
    let rows: Vec<(i64, String, i64, i64)> = sqlx::query_as(
        "SELECT chain_id, dataset, lower(r), upper(r)
           FROM (SELECT chain_id, dataset, range_agg(int8range(start_block, end_block)) AS ranges
                   FROM control.task_inputs WHERE task_id = $1 AND dataset IS NOT NULL
                  GROUP BY chain_id, dataset) merged, unnest(merged.ranges) AS r
          ORDER BY chain_id, dataset, lower(r)",
    )
    .bind(task_id.0)
    .fetch_all(conn)
    .await?;
    let mut inputs = Vec::with_capacity(rows.len());
    for (chain_id, dataset, start, end) in rows {
        let number = |number: i64| BlockNumber(number.unsigned_abs());
        // The table's check keeps empty ranges out.
        let Ok(blocks) = BlockRange::new(number(start), number(end)) else { continue };
        let dataset = from_word(task_id, "dataset", &dataset)?;
        inputs.push(TaskInput { chain_id: ChainId(chain_id.cast_unsigned()), dataset, blocks });
    }
    Ok(inputs)
}

/// `input` with the field `inputs` set, if it is an object. Pure.
pub(crate) fn added_to(input: &Value, inputs: &[TaskInput]) -> Value {
    let mut input = input.clone();
    if let (Value::Object(fields), Ok(list)) = (&mut input, serde_json::to_value(inputs)) {
        fields.insert("inputs".to_owned(), list);
    }
    input
}
