//! The commit: one file more is in cold storage, at either end of what is there, or in the place of several.
//!
//! Everything happens under the lock of the dataset's row, in the caller's transaction: the list of files, the two ends
//! and the files that wait change together or not at all. It never takes an end back.

use isotherm_types::B256;
use sqlx::postgres::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};

use super::{CatalogError, CommitOutcome, DatasetHead, head, pending, to_bigint};
use crate::commit::CommittedManifest;
use crate::manifest::Change;

/// Takes the newest file of `manifest` into the catalogue, and out of the files that wait.
///
/// A file at the end moves the watermark, one at the beginning moves `first_block` and its parent; the first of all
/// sets both, and one in the place of others moves neither. Locks the dataset's row until the caller's transaction
/// ends; run it under READ COMMITTED. Invariant: one linear history, version by version, each manifest holding the
/// hash of the one before.
///
/// # Errors
/// As [`head`]; [`CatalogError::Replaced`] if the files that are to be replaced are not in the catalogue.
pub async fn commit(conn: &mut PgConnection, manifest: &CommittedManifest) -> Result<CommitOutcome, CatalogError> {
    let listed = manifest.manifest();
    let (chain_id, dataset) = (listed.chain_id, listed.dataset);
    lock(conn, to_bigint("chain_id", chain_id.0)?, dataset.as_str()).await?;
    let found = head(conn, chain_id, dataset).await?;

    if is_committed(conn, manifest).await? {
        return Ok(CommitOutcome::AlreadyCommitted);
    }
    if !follows(manifest, found.as_ref()) {
        return Ok(CommitOutcome::Stale { head: found });
    }
    let waited = pending::forget(conn, chain_id, dataset, manifest.newest_file().blocks).await?;
    let cold_since = match manifest.change() {
        Change::First | Change::Last => None,
        Change::Replaced { file_count, .. } => remove_replaced(conn, manifest, file_count).await?,
    };
    insert_file(conn, manifest, cold_since).await?;
    move_ends(conn, manifest, found.as_ref(), manifest.parent_hash().or(waited)).await?;
    Ok(CommitOutcome::Committed)
}

/// Locks the dataset's row, which is made if there is none, until the caller's transaction ends.
pub(super) async fn lock(conn: &mut PgConnection, chain_id: i64, dataset: &str) -> Result<(), CatalogError> {
    sqlx::query("INSERT INTO cold.datasets (chain_id, dataset) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(chain_id)
        .bind(dataset)
        .execute(&mut *conn)
        .await?;
    sqlx::query("SELECT FROM cold.datasets WHERE chain_id = $1 AND dataset = $2 FOR UPDATE")
        .bind(chain_id)
        .bind(dataset)
        .execute(&mut *conn)
        .await?;
    Ok(())
}

/// Whether `manifest` is the next one after `head`, and its newest file is where it belongs.
fn follows(manifest: &CommittedManifest, head: Option<&DatasetHead>) -> bool {
    let listed = manifest.manifest();
    let Some(head) = head else {
        return listed.manifest_version == 1 && listed.previous_manifest_sha256.is_none() && listed.files.len() == 1;
    };
    let blocks = manifest.newest_file().blocks;
    let is_in_place = match manifest.change() {
        Change::First => blocks.end() == head.first_block,
        Change::Last => blocks.start() == head.watermark.next(),
        Change::Replaced { .. } => head.first_block <= blocks.start() && blocks.last() <= head.watermark,
    };
    is_in_place
        && listed.manifest_version == head.manifest_version + 1
        && listed.previous_manifest_sha256 == Some(head.manifest_sha256)
}

async fn is_committed(conn: &mut PgConnection, manifest: &CommittedManifest) -> Result<bool, CatalogError> {
    let file = manifest.newest_file();
    let found: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM cold.data_partitions
                         WHERE chain_id = $1 AND dataset = $2 AND start_block = $3 AND end_block = $4
                           AND object_key = $5 AND sha256 = $6)",
    )
    .bind(to_bigint("chain_id", manifest.manifest().chain_id.0)?)
    .bind(manifest.manifest().dataset.as_str())
    .bind(to_bigint("start_block", file.blocks.start().0)?)
    .bind(to_bigint("end_block", file.blocks.end().0)?)
    .bind(&file.key)
    .bind(file.sha256.as_bytes().as_slice())
    .fetch_one(conn)
    .await?;
    Ok(found)
}

/// Takes the files for which the newest one stands out of the catalogue, and says when the last of them became cold.
async fn remove_replaced(
    conn: &mut PgConnection,
    manifest: &CommittedManifest,
    file_count: usize,
) -> Result<Option<DateTime<Utc>>, CatalogError> {
    let (listed, blocks) = (manifest.manifest(), manifest.newest_file().blocks);
    let (found, cold_since): (i64, Option<DateTime<Utc>>) = sqlx::query_as(
        "WITH removed AS (
            DELETE FROM cold.data_partitions
             WHERE chain_id = $1 AND dataset = $2 AND start_block >= $3 AND end_block <= $4
            RETURNING committed_at)
         SELECT count(*), max(committed_at) FROM removed",
    )
    .bind(to_bigint("chain_id", listed.chain_id.0)?)
    .bind(listed.dataset.as_str())
    .bind(to_bigint("start_block", blocks.start().0)?)
    .bind(to_bigint("end_block", blocks.end().0)?)
    .fetch_one(conn)
    .await?;
    if usize::try_from(found) == Ok(file_count) {
        return Ok(cold_since);
    }
    Err(CatalogError::Replaced { dataset: listed.dataset, blocks, expected: file_count, found })
}

/// `cold_since` is when its blocks became cold, if that was before.
async fn insert_file(
    conn: &mut PgConnection,
    manifest: &CommittedManifest,
    cold_since: Option<DateTime<Utc>>,
) -> Result<(), CatalogError> {
    let (listed, file) = (manifest.manifest(), manifest.newest_file());
    sqlx::query(
        "INSERT INTO cold.data_partitions
                (chain_id, dataset, start_block, end_block, object_key, row_count, size_bytes, sha256,
                 first_block_hash, last_block_hash, schema_version, manifest_version, committed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, COALESCE($13, now()))",
    )
    .bind(to_bigint("chain_id", listed.chain_id.0)?)
    .bind(listed.dataset.as_str())
    .bind(to_bigint("start_block", file.blocks.start().0)?)
    .bind(to_bigint("end_block", file.blocks.end().0)?)
    .bind(&file.key)
    .bind(to_bigint("row_count", file.row_count)?)
    .bind(to_bigint("size_bytes", file.size_bytes)?)
    .bind(file.sha256.as_bytes().as_slice())
    .bind(file.first_block_hash.as_slice())
    .bind(file.last_block_hash.as_slice())
    .bind(file.schema_version.cast_signed())
    .bind(to_bigint("manifest_version", listed.manifest_version)?)
    .bind(cold_since)
    .execute(conn)
    .await?;
    Ok(())
}

/// Moves the end at which the dataset grew, both if nothing was cold, and names the new manifest.
async fn move_ends(
    conn: &mut PgConnection,
    manifest: &CommittedManifest,
    found: Option<&DatasetHead>,
    parent_hash: Option<B256>,
) -> Result<(), CatalogError> {
    let (listed, blocks) = (manifest.manifest(), manifest.newest_file().blocks);
    let grew_at = |end| found.is_none() || manifest.change() == end;
    let first_block = grew_at(Change::First).then(|| to_bigint("first_block", blocks.start().0)).transpose()?;
    let watermark = grew_at(Change::Last).then(|| to_bigint("watermark", blocks.last().0)).transpose()?;
    let moved = sqlx::query(
        "UPDATE cold.datasets
            SET first_block = COALESCE($3, first_block),
                first_parent_hash = CASE WHEN $3 IS NULL THEN first_parent_hash ELSE $4 END,
                watermark = COALESCE($5, watermark), manifest_version = $6,
                manifest_key = $7, manifest_sha256 = $8, updated_at = now()
          WHERE chain_id = $1 AND dataset = $2 AND manifest_version IS NOT DISTINCT FROM $9",
    )
    .bind(to_bigint("chain_id", listed.chain_id.0)?)
    .bind(listed.dataset.as_str())
    .bind(first_block)
    .bind(parent_hash.as_ref().map(B256::as_slice))
    .bind(watermark)
    .bind(to_bigint("manifest_version", listed.manifest_version)?)
    .bind(manifest.key())
    .bind(manifest.sha256().as_bytes().as_slice())
    .bind(found.map(|head| to_bigint("manifest_version", head.manifest_version)).transpose()?)
    .execute(conn)
    .await?;
    match moved.rows_affected() {
        1 => Ok(()),
        rows => Err(CatalogError::Unlocked { rows }),
    }
}
