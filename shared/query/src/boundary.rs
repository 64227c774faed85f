//! The boundary between hot and cold, read in one snapshot of Postgres.
//!
//! Invariant: for each dataset of each chain, cold is the listed files (blocks up to the watermark), hot is every row
//! above it up to the tip, and both were true at the same instant. The snapshot must stay open until the hot rows
//! were copied out: read in two snapshots, a partition that became cold in between is counted twice or not at all. Hot
//! rows are held from the beginning: the last of them may be read long after they became cold and cleanup came by.
//! A chain that is pinned to a block has neither above it.

use std::collections::{BTreeMap, HashSet};

use isotherm_cold_store::Sha256Digest;
use isotherm_cold_store::catalog::checks::UnsoundFile;
use isotherm_cold_store::catalog::{self, DataPartition, checks};
use isotherm_hot_store::rows;
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Dataset};
use serde::{Serialize, Serializer};
use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};

use crate::as_of::PinnedBlock;
use crate::error::QueryError;
use crate::plan::{Bounds, Needs};
use crate::scope::{ChainScope, Scope};

/// The state of a chain that an answer is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainState {
    /// The chain.
    pub chain_id: ChainId,
    /// Its name.
    pub chain: String,
    /// Its last block; null if nothing is stored yet.
    pub tip_number: Option<BlockNumber>,
    /// The hash of that block, `0x…`.
    pub tip_hash: Option<isotherm_types::B256>,
    /// The last block up to which every dataset is cold that may be read and that the chain collects; null if one of
    /// them has nothing cold.
    pub watermark: Option<BlockNumber>,
    /// The last cold block of each dataset that may be read and has any.
    #[serde(serialize_with = "by_name")]
    pub watermarks: BTreeMap<Dataset, BlockNumber>,
    /// The version of each such dataset's manifest.
    #[serde(serialize_with = "by_name")]
    pub manifest_versions: BTreeMap<Dataset, u64>,
    /// The block above which nothing was seen; absent if everything was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<PinnedBlock>,
}

/// A run of hot rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotRun {
    /// Their chain.
    pub chain_id: ChainId,
    /// Their dataset.
    pub dataset: Dataset,
    /// Their blocks.
    pub blocks: BlockRange,
}

/// A file of cold storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdFile {
    /// Its chain.
    pub chain_id: ChainId,
    /// Its dataset.
    pub dataset: Dataset,
    /// Its blocks that may be seen: all but those above the block that its chain is pinned to.
    pub blocks: BlockRange,
    /// Its key.
    pub object_key: String,
    /// Its length.
    pub size_bytes: u64,
    /// Digest of its bytes.
    pub sha256: Sha256Digest,
    /// Which runs of its need have blocks in it ([`Need::runs_in`](crate::plan::Need::runs_in)); never 0.
    pub runs: u32,
}

/// Where a query's rows are, in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Boundary {
    /// The state of every chain that may be seen; an answer tells those that its query reads.
    pub chains: Vec<ChainState>,
    /// Hot rows to fetch.
    pub hot: Vec<HotRun>,
    /// Cold files to read, by chain, dataset and block.
    pub cold: Vec<ColdFile>,
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Opens a snapshot of which every answer is read to its end.
///
/// # Errors
/// What Postgres reports.
pub async fn open_snapshot(pool: &PgPool) -> Result<Transaction<'static, Postgres>, QueryError> {
    Ok(pool.begin_with(BEGIN).await?)
}

/// A connection for one query's snapshot. Dropped without [`Lent::give_back`] it is closed: nobody knows how far it is, or rows
/// that were asked for may still be on their way, and the next query would get into them. Whoever gives up before rows were
/// asked for ends the snapshot and gives the connection back.
#[derive(Debug)]
pub struct Lent {
    conn: PoolConnection<Postgres>,
    is_idle: bool,
}

impl Lent {
    /// Waits for a connection.
    ///
    /// # Errors
    /// What Postgres reports; none that is free in time.
    pub async fn of(pool: &PgPool) -> Result<Self, QueryError> {
        Ok(Self { conn: pool.acquire().await?, is_idle: false })
    }

    /// Opens the snapshot.
    ///
    /// # Errors
    /// What Postgres reports.
    pub async fn snapshot(&mut self) -> Result<Transaction<'_, Postgres>, QueryError> {
        Ok(self.conn.begin_with(BEGIN).await?)
    }

    /// The snapshot was ended, and nothing is on its way any more.
    pub fn give_back(mut self) {
        self.is_idle = true;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_idle {
            self.conn.close_on_drop();
        }
    }
}

/// Reads file lists in the caller's snapshot, the one that `scope` was read in, and keeps what `needs` asks for. Hot rows that
/// it tells of stay where they are until the snapshot ends.
///
/// # Errors
/// [`QueryError::ColdFileUnsound`] if a check found a file that is needed not to be as listed; what Postgres reports.
pub async fn read(snapshot: &mut PgConnection, scope: &Scope, needs: &Needs) -> Result<Boundary, QueryError> {
    let chains = scope.chains().iter().map(state).collect();
    let mut boundary = Boundary { chains, ..Boundary::default() };
    for (&(chain_id, dataset), need) in needs {
        let Some(chain) = scope.chain(chain_id) else { continue };
        let seen = chain.as_of().map_or(Bounds::ALL, |block| Bounds::up_to(block.number.0));
        let bounds = need.bounds.intersection(seen);
        let watermark = chain.watermark(dataset);
        let hot = hot_blocks(chain.cursor().tip, watermark).and_then(|blocks| bounds.clip(blocks));
        boundary.hot.extend(hot.map(|blocks| HotRun { chain_id, dataset, blocks }));
        if watermark.is_none() {
            continue;
        }
        for file in catalog::partitions(snapshot, chain_id, dataset).await? {
            let Some(blocks) = seen.clip(file.blocks) else { continue };
            let runs = need.runs_in(blocks);
            if runs != 0 {
                let DataPartition { object_key, size_bytes, sha256, .. } = file;
                boundary.cold.push(ColdFile { chain_id, dataset, blocks, object_key, size_bytes, sha256, runs });
            }
        }
    }
    rows::hold(snapshot, boundary.hot.iter().map(|run| (run.chain_id, run.dataset, run.blocks))).await?;
    if !boundary.cold.is_empty() {
        check_sound(&boundary.cold, checks::unsound_files(snapshot).await?)?;
    }
    Ok(boundary)
}

fn state(chain: &ChainScope) -> ChainState {
    let tip = chain.cursor().tip;
    ChainState {
        chain_id: chain.id(),
        chain: chain.name().to_owned(),
        tip_number: tip.map(|tip| tip.number),
        tip_hash: tip.map(|tip| tip.hash),
        watermark: chain.lowest_watermark(),
        watermarks: chain.cold().map(|(dataset, head)| (dataset, head.watermark)).collect(),
        manifest_versions: chain.cold().map(|(dataset, head)| (dataset, head.manifest_version)).collect(),
        as_of: chain.as_of(),
    }
}

/// Checks that none of `files` is one that a check has found to be other than listed.
fn check_sound(files: &[ColdFile], unsound: Vec<UnsoundFile>) -> Result<(), QueryError> {
    if unsound.is_empty() {
        return Ok(());
    }
    let keys: HashSet<&str> = files.iter().map(|file| file.object_key.as_str()).collect();
    match unsound.into_iter().find(|file| keys.contains(file.object_key.as_str())) {
        Some(UnsoundFile { object_key, fault }) => Err(QueryError::ColdFileUnsound { key: object_key, fault }),
        None => Ok(()),
    }
}

/// Blocks above the watermark, up to the tip. Without a watermark nothing is cold, and all are hot.
fn hot_blocks(tip: Option<BlockRef>, watermark: Option<BlockNumber>) -> Option<BlockRange> {
    let first = watermark.map_or(BlockNumber(0), BlockNumber::next);
    BlockRange::inclusive(first, tip?.number).ok()
}

fn by_name<V: Serialize, S: Serializer>(map: &BTreeMap<Dataset, V>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(map.iter().map(|(dataset, value)| (dataset.as_str(), value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip(number: u64) -> Option<BlockRef> {
        Some(BlockRef { number: BlockNumber(number), hash: isotherm_types::B256::ZERO })
    }

    #[test]
    fn hot_is_what_lies_above_the_watermark() {
        let range = |start, end| BlockRange::new(BlockNumber(start), BlockNumber(end)).ok();
        assert_eq!(hot_blocks(tip(9), None), range(0, 10));
        assert_eq!(hot_blocks(tip(9), Some(BlockNumber(4))), range(5, 10));
        assert_eq!(hot_blocks(tip(9), Some(BlockNumber(9))), None);
        assert_eq!(hot_blocks(None, None), None);
        // Block 0 may be the only cold block.
        assert_eq!(hot_blocks(tip(1), Some(BlockNumber(0))), range(1, 2));
    }

    #[test]
    fn an_unsound_file_matters_to_whoever_needs_it() {
        let needed = ["cold/a", "cold/b"].map(|key| ColdFile {
            chain_id: ChainId(1),
            dataset: Dataset::Logs,
            blocks: BlockRange::single(BlockNumber(0)),
            object_key: key.to_owned(),
            size_bytes: 1,
            sha256: Sha256Digest::of(b"a"),
            runs: 1,
        });
        let unsound = |key: &str| UnsoundFile { object_key: key.to_owned(), fault: "digest_differs".to_owned() };
        assert!(check_sound(&needed, vec![]).is_ok());
        assert!(check_sound(&needed, vec![unsound("cold/c")]).is_ok());
        let refused = check_sound(&needed, vec![unsound("cold/c"), unsound("cold/b")]).unwrap_err();
        let expected = "a check found the cold file cold/b not to be what was committed (digest_differs)";
        assert_eq!(refused.to_string(), expected);
    }
}
