//! `cold.integrity_checks`: what checks have found wrong with cold storage, and what of it is open.
//!
//! A finding is a row from when it was first found until a later check that looked again did not find it. Invariant: of
//! one object, fault and run of blocks at most one row is open. Which rows a check refutes, its caller says.

use isotherm_types::{BlockRange, ChainId, Dataset, TaskId};
use serde_json::Value;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{FromRow, Row};

use super::decode::{blocks as blocks_of, parsed};
use super::{CatalogError, to_bigint};
use crate::integrity::{Finding, Level};

/// A finding as a check records it.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// Its chain.
    pub chain_id: ChainId,
    /// What was found.
    pub finding: &'a Finding,
    /// What else the check knows; kept of the first sighting.
    pub evidence: &'a Value,
    /// The task that found it.
    pub task_id: TaskId,
}

/// What came of recording a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its row.
    pub id: i64,
    /// Whether it was not open before.
    pub is_new: bool,
}

/// A finding that no check has refuted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFinding {
    /// Its row.
    pub id: i64,
    /// Dataset of the object.
    pub dataset: Dataset,
    /// Key of the file or manifest.
    pub object_key: String,
    /// Blocks that it concerns; `None` if it is not about blocks.
    pub blocks: Option<BlockRange>,
    /// The level at which it is looked for.
    pub level: Level,
    /// Stable name of what is wrong.
    pub fault: String,
}

/// A file that is not what its manifest lists, as far as anybody knows.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct UnsoundFile {
    /// Its key.
    pub object_key: String,
    /// Stable name of what is wrong.
    pub fault: String,
}

impl FromRow<'_, PgRow> for OpenFinding {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            dataset: parsed(row, "dataset")?,
            object_key: row.try_get("object_key")?,
            blocks: match row.try_get::<Option<i64>, _>("start_block")? {
                None => None,
                Some(_) => Some(blocks_of(row)?),
            },
            level: parsed(row, "level")?,
            fault: row.try_get("fault")?,
        })
    }
}

/// Records a finding: a new row, or the open one is seen again.
///
/// # Errors
/// As [`super::head`].
pub async fn record(conn: &mut PgConnection, sighting: &Sighting<'_>) -> Result<Recorded, CatalogError> {
    let Sighting { chain_id, finding, evidence, task_id } = *sighting;
    let start = finding.blocks.map(|blocks| to_bigint("start_block", blocks.start().0)).transpose()?;
    let end = finding.blocks.map(|blocks| to_bigint("end_block", blocks.end().0)).transpose()?;
    let (id, is_new): (i64, bool) = sqlx::query_as(include_str!("../../queries/integrity_checks/record.sql"))
        .bind(to_bigint("chain_id", chain_id.0)?)
        .bind(finding.dataset.as_str())
        .bind(&finding.object)
        .bind(start)
        .bind(end)
        .bind(finding.fault.level().as_str())
        .bind(finding.fault.name())
        .bind(&finding.message)
        .bind(evidence)
        .bind(task_id.0)
        .fetch_one(conn)
        .await?;
    Ok(Recorded { id, is_new })
}

/// The open findings of a chain, the oldest first.
///
/// # Errors
/// As [`super::head`].
pub async fn open(conn: &mut PgConnection, chain_id: ChainId) -> Result<Vec<OpenFinding>, CatalogError> {
    let found = sqlx::query_as(
        "SELECT id, dataset, object_key, start_block, end_block, level, fault
           FROM cold.integrity_checks
          WHERE chain_id = $1 AND resolved_at IS NULL
          ORDER BY id",
    )
    .bind(to_bigint("chain_id", chain_id.0)?)
    .fetch_all(conn)
    .await?;
    Ok(found)
}

/// Resolves those of the findings `ids` that are open and were not seen since `looked_from`, when the check began that
/// did not find them. Returns how many these are.
///
/// # Errors
/// As [`super::head`].
pub async fn resolve(conn: &mut PgConnection, ids: &[i64], looked_from: DateTime<Utc>) -> Result<u64, CatalogError> {
    let resolved = sqlx::query(
        "UPDATE cold.integrity_checks SET resolved_at = now()
          WHERE id = ANY($1) AND resolved_at IS NULL AND last_seen_at < $2",
    )
    .bind(ids)
    .bind(looked_from)
    .execute(conn)
    .await?;
    Ok(resolved.rows_affected())
}

/// What is open at level file, of all chains: normally nothing. A query reads none of these files.
///
/// # Errors
/// As [`super::head`].
pub async fn unsound_files(conn: &mut PgConnection) -> Result<Vec<UnsoundFile>, CatalogError> {
    let found = sqlx::query_as(
        "SELECT object_key, fault FROM cold.integrity_checks
          WHERE resolved_at IS NULL AND level = 'file' AND start_block IS NOT NULL
          ORDER BY id",
    )
    .fetch_all(conn)
    .await?;
    Ok(found)
}

/// The present instant by the database's clock.
///
/// # Errors
/// As [`super::head`].
pub async fn now(conn: &mut PgConnection) -> Result<DateTime<Utc>, CatalogError> {
    Ok(sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(conn).await?)
}
