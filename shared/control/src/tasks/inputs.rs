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

/// The blocks that `event` names, as far as they lie in `within`; all if that is absent. Pure.
pub fn of_event(event: &EventBody, within: Option<BlockRange>) -> Vec<TaskInput> {
    let (chain_id, datasets, blocks): (ChainId, &[Dataset], BlockRange) = match event {
        EventBody::DatasetAdvanced { chain_id, datasets, blocks, .. }
        | EventBody::DatasetInvalidated { chain_id, datasets, blocks, .. } => (*chain_id, datasets, *blocks),
        EventBody::PartitionCommitted { chain_id, dataset, blocks, .. } => {
            (*chain_id, std::slice::from_ref(dataset), *blocks)
        }
        EventBody::TriggerFired { .. } | EventBody::TaskFailed { .. } => return Vec::new(),
    };
    let blocks = within.unwrap_or(blocks);
    datasets.iter().map(|&dataset| TaskInput { chain_id, dataset, blocks }).collect()
}

/// Notes that the task answers `event_id` and works on `inputs`; once, however often it is noted.
///
/// # Errors
/// Only what Postgres reports.
pub(crate) async fn note(
    conn: &mut PgConnection,
    task_id: TaskId,
    event_id: EventId,
    inputs: &[TaskInput],
) -> Result<(), ControlError> {
    let block = |number: BlockNumber| i64::try_from(number.0).unwrap_or(i64::MAX);
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
    .bind(inputs.iter().map(|input| block(input.blocks.start())).collect::<Vec<_>>())
    .bind(inputs.iter().map(|input| block(input.blocks.end())).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes for each of these tasks that it answers an event and works on these blocks, as [`note`] does for one.
///
/// # Errors
/// Only what Postgres reports.
pub(crate) async fn note_many(
    conn: &mut PgConnection,
    noted: &[(TaskId, EventId, Vec<TaskInput>)],
) -> Result<(), ControlError> {
    let block = |number: BlockNumber| i64::try_from(number.0).unwrap_or(i64::MAX);
    let mut rows = Vec::with_capacity(noted.len());
    for (task_id, event_id, inputs) in noted {
        if inputs.is_empty() {
            rows.push((task_id.0, event_id.0, None));
        }
        rows.extend(inputs.iter().map(|input| (task_id.0, event_id.0, Some(input))));
    }
    let inputs = || rows.iter().map(|(_, _, input)| *input);
    sqlx::query(
        "INSERT INTO control.task_inputs (org_id, task_id, event_id, chain_id, dataset, start_block, end_block)
         SELECT t.org_id, t.id, i.event_id, i.chain_id, i.dataset, i.start_block, i.end_block
           FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[])
                AS i (task_id, event_id, chain_id, dataset, start_block, end_block)
           JOIN control.tasks t ON t.id = i.task_id
         ON CONFLICT DO NOTHING",
    )
    .bind(rows.iter().map(|(task_id, _, _)| *task_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, event_id, _)| *event_id).collect::<Vec<_>>())
    .bind(inputs().map(|input| input.map(|input| input.chain_id.0.cast_signed())).collect::<Vec<_>>())
    .bind(inputs().map(|input| input.map(|input| input.dataset.as_str())).collect::<Vec<_>>())
    .bind(inputs().map(|input| input.map(|input| block(input.blocks.start()))).collect::<Vec<_>>())
    .bind(inputs().map(|input| input.map(|input| block(input.blocks.end()))).collect::<Vec<_>>())
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
