//! Threshold triggers: a chain has got so much further, or too far behind, so a job is fired.
//!
//! What is due is decided from values alone, for each measure in a module of its own: [`blocks`], [`count`], [`lag`].
//! [`evaluate`] fires it. Where a trigger stands is kept in its row, is read with the row locked, and moves with its
//! firings, so that firings tile what is measured over restarts and over evaluators at the same moment; the key of a
//! firing guards against a second one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, ChainId, Dataset, TraceId, TriggerId};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::dataset_cursors;
use crate::error::ControlError;
use crate::trace;
use crate::triggers::{self, Fired, Measure, ThresholdConfig, Trigger, TriggerConfig};

pub mod blocks;
pub mod count;
pub mod lag;

pub use lag::TipAge;

/// Most ranges that one evaluation fires for one trigger; the next evaluation goes on.
pub const MOST_AT_ONCE: usize = 100;

/// Where a chain stands in hot storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The chain.
    pub chain_id: ChainId,
    /// First block ever stored.
    pub first_block: Option<BlockNumber>,
    /// Last block stored.
    pub tip: Option<BlockNumber>,
    /// Last block that the chain calls final; may be ahead of the tip.
    pub finalized: Option<BlockNumber>,
    /// Age of the last block stored; `None` while there is none.
    pub tip_age: Option<TipAge>,
}

/// A firing that happened now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// The trigger.
    pub trigger_id: TriggerId,
    /// Names the firing.
    pub fire_key: String,
    /// The cause that it follows from, for the log.
    pub trace_id: Option<TraceId>,
}

/// Fires what is due for the chain that `facts` tell of, and returns the firings that were new.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn evaluate(conn: &mut PgConnection, facts: &Facts) -> Result<Vec<Crossed>, ControlError> {
    let mut crossed = Vec::new();
    for trigger in triggers::active(&mut *conn, "threshold").await? {
        let TriggerConfig::Threshold(config) = &trigger.config else { continue };
        if config.chain_id == facts.chain_id {
            crossed.extend(evaluate_one(&mut *conn, &trigger, config, facts).await?);
        }
    }
    Ok(crossed)
}

/// Notes at which count the trigger goes on, from what is counted now, unless that is known or nothing is counted.
///
/// Called when the trigger is made, so that whatever is written from then on counts.
///
/// # Errors
/// Only what Postgres reports.
pub async fn begin(
    conn: &mut PgConnection,
    trigger_id: TriggerId,
    config: &ThresholdConfig,
) -> Result<(), ControlError> {
    let Some(count) = counted(conn, config).await? else { return Ok(()) };
    sqlx::query("UPDATE control.triggers SET next_count = $2 WHERE id = $1 AND next_count IS NULL")
        .bind(trigger_id.0)
        .bind(count::first_after(config.every, count).map_or(i64::MAX, bigint))
        .execute(conn)
        .await?;
    Ok(())
}

/// Where a trigger stands.
#[derive(sqlx::FromRow)]
struct Standing {
    next_block: Option<i64>,
    next_count: Option<i64>,
    crossings: i64,
    is_above: bool,
    ticked_until: Option<DateTime<Utc>>,
}

async fn evaluate_one(
    conn: &mut PgConnection,
    trigger: &Trigger,
    config: &ThresholdConfig,
    facts: &Facts,
) -> Result<Vec<Crossed>, ControlError> {
    let mut db_tx = conn.begin().await?;
    let standing: Option<Standing> = sqlx::query_as(
        "SELECT next_block, next_count, crossings, is_above, ticked_until
           FROM control.triggers WHERE id = $1 AND active FOR NO KEY UPDATE",
    )
    .bind(trigger.id.0)
    .fetch_optional(&mut *db_tx)
    .await?;
    let Some(standing) = standing else { return Ok(Vec::new()) };
    trace::follow_newest_block(&mut db_tx, facts.chain_id).await?;
    let crossed = match config.measure {
        Measure::FinalizedBlocks => fire_blocks(&mut db_tx, trigger, config.every, &standing, facts).await?,
        Measure::Blocks | Measure::Rows | Measure::Bytes => {
            fire_count(&mut db_tx, trigger, config, &standing).await?.into_iter().collect()
        }
        Measure::LagSeconds => fire_lag(&mut db_tx, trigger, config, &standing, facts).await?.into_iter().collect(),
    };
    db_tx.commit().await?;
    Ok(crossed)
}

async fn fire_blocks(
    conn: &mut PgConnection,
    trigger: &Trigger,
    every: u64,
    standing: &Standing,
    facts: &Facts,
) -> Result<Vec<Crossed>, ControlError> {
    let next = standing.next_block.map(|number| BlockNumber(number.unsigned_abs()));
    let ranges = blocks::plan(every, next, facts, MOST_AT_ONCE);
    let Some(last) = ranges.last() else { return Ok(Vec::new()) };
    let goes_on_at = last.end();

    let mut crossed = Vec::new();
    for range in ranges {
        let addition = json!({ "blocks": range });
        crossed.extend(fire(conn, trigger, blocks::fire_key(facts.chain_id, range), &addition).await?);
    }
    sqlx::query("UPDATE control.triggers SET next_block = $2 WHERE id = $1")
        .bind(trigger.id.0)
        .bind(bigint(goes_on_at.0))
        .execute(conn)
        .await?;
    Ok(crossed)
}

async fn fire_count(
    conn: &mut PgConnection,
    trigger: &Trigger,
    config: &ThresholdConfig,
    standing: &Standing,
) -> Result<Option<Crossed>, ControlError> {
    let Some(next_count) = standing.next_count else {
        // Made by a program that did not begin the count.
        begin(conn, trigger.id, config).await?;
        return Ok(None);
    };
    let Some(count) = counted(&mut *conn, config).await? else { return Ok(None) };
    let Some(passed) = count::plan(config.every, next_count.unsigned_abs(), count) else { return Ok(None) };
    let dataset = counted_dataset(config);
    let addition = json!({
        "measure": config.measure, "chain_id": config.chain_id, "dataset": dataset,
        "value": count, "bound": passed.to, "from": passed.from, "to": passed.to,
    });
    let fire_key = count::fire_key(config.measure, config.chain_id, dataset, passed);
    let crossed = fire(&mut *conn, trigger, fire_key, &addition).await?;
    sqlx::query("UPDATE control.triggers SET next_count = $2 WHERE id = $1")
        .bind(trigger.id.0)
        .bind(bigint(passed.next))
        .execute(conn)
        .await?;
    Ok(crossed)
}

async fn fire_lag(
    conn: &mut PgConnection,
    trigger: &Trigger,
    config: &ThresholdConfig,
    standing: &Standing,
    facts: &Facts,
) -> Result<Option<Crossed>, ControlError> {
    let Some(tip_age) = facts.tip_age else { return Ok(None) };
    let state = lag::LagState {
        is_above: standing.is_above,
        crossings: standing.crossings.unsigned_abs(),
        changed_at: standing.ticked_until,
    };
    let (crossed, crossings, is_above) = match lag::plan(Duration::from_secs(config.every), &state, &tip_age) {
        lag::LagStep::Stay => return Ok(None),
        lag::LagStep::Fire { crossing } => {
            let addition = json!({
                "measure": config.measure, "chain_id": config.chain_id,
                "value": tip_age.age.as_secs(), "bound": config.every, "crossing": crossing,
            });
            (fire(&mut *conn, trigger, lag::fire_key(crossing), &addition).await?, crossing, true)
        }
        lag::LagStep::Rearm => (None, state.crossings, false),
    };
    sqlx::query("UPDATE control.triggers SET crossings = $2, is_above = $3, ticked_until = $4 WHERE id = $1")
        .bind(trigger.id.0)
        .bind(bigint(crossings))
        .bind(is_above)
        .bind(tip_age.observed_at)
        .execute(conn)
        .await?;
    Ok(crossed)
}

async fn fire(
    conn: &mut PgConnection,
    trigger: &Trigger,
    fire_key: String,
    addition: &serde_json::Value,
) -> Result<Option<Crossed>, ControlError> {
    Ok(match triggers::fire(conn, trigger, &fire_key, addition).await? {
        Fired::Now(fired) => Some(Crossed { trigger_id: trigger.id, fire_key, trace_id: fired.trace_id }),
        Fired::Already => None,
    })
}

/// What `config` counts, as it stands now; `None` if its measure is no count.
async fn counted(conn: &mut PgConnection, config: &ThresholdConfig) -> Result<Option<u64>, ControlError> {
    let count: fn(dataset_cursors::Written) -> u64 = match config.measure {
        Measure::FinalizedBlocks | Measure::LagSeconds => return Ok(None),
        Measure::Blocks => |written| written.block_count,
        Measure::Rows => |written| written.row_count,
        Measure::Bytes => |written| written.size_bytes,
    };
    Ok(Some(count(dataset_cursors::read(conn, config.chain_id, counted_dataset(config)).await?)))
}

/// The dataset that is counted: `blocks` if none is named.
fn counted_dataset(config: &ThresholdConfig) -> Dataset {
    config.dataset.unwrap_or(Dataset::Blocks)
}

/// A count as its column holds it.
fn bigint(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
