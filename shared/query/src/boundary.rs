//! The boundary between hot and cold, read in one snapshot of Postgres.
//!
//! Invariant: for each dataset of each chain, cold is the listed files (blocks up to the watermark), hot is every row
//! above it up to the tip, and both were true at the same instant. The snapshot must stay open until the hot rows
//! were copied out: read in two snapshots, a partition that became cold in between is counted twice or not at all.

use std::collections::{BTreeMap, HashSet};

use isotherm_cold_store::catalog::checks::UnsoundFile;
use isotherm_cold_store::catalog::{self, checks};
use isotherm_hot_store::cursor;
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Dataset};
use serde::{Serialize, Serializer};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::error::QueryError;
use crate::gate::RELATIONS;
use crate::plan::Needs;

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
    /// The last block up to which every dataset is cold; null if some dataset has nothing cold.
    pub watermark: Option<BlockNumber>,
    /// The last cold block of each dataset that has any.
    #[serde(serialize_with = "by_name")]
    pub watermarks: BTreeMap<Dataset, BlockNumber>,
    /// The version of each such dataset's manifest.
    #[serde(serialize_with = "by_name")]
    pub manifest_versions: BTreeMap<Dataset, u64>,
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
    /// Its blocks.
    pub blocks: BlockRange,
    /// Its key.
    pub object_key: String,
    /// Its length.
    pub size_bytes: u64,
}

/// Where a query's rows are, in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Boundary {
    /// The state of every chain.
    pub chains: Vec<ChainState>,
    /// Hot rows to fetch.
    pub hot: Vec<HotRun>,
    /// Cold files to read, by chain, dataset and block.
    pub cold: Vec<ColdFile>,
}

/// Opens the snapshot that a query reads in.
///
/// # Errors
/// What Postgres reports.
pub async fn open_snapshot(pool: &PgPool) -> Result<Transaction<'static, Postgres>, QueryError> {
    Ok(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
}

/// Reads tips, watermarks and file lists in the caller's snapshot, and keeps what `needs` asks for.
///
/// # Errors
/// [`QueryError::UnknownChain`] if cold storage has a chain without a cursor; [`QueryError::ColdFileUnsound`] if a
/// check found a file that is needed not to be as listed; what Postgres reports.
pub async fn read(snapshot: &mut PgConnection, needs: &Needs) -> Result<Boundary, QueryError> {
    let cursors = cursor::all(snapshot).await?;
    let heads = catalog::datasets(snapshot).await?;
    if let Some(head) = heads.iter().find(|head| cursors.iter().all(|cursor| cursor.chain_id != head.chain_id)) {
        return Err(QueryError::UnknownChain { chain_id: head.chain_id, watermark: head.head.watermark });
    }
    let mut boundary = Boundary::default();
    for cursor in cursors {
        let own = heads.iter().filter(|head| head.chain_id == cursor.chain_id && RELATIONS.contains(&head.dataset));
        let watermarks: BTreeMap<_, _> = own.clone().map(|head| (head.dataset, head.head.watermark)).collect();
        for (&dataset, need) in needs {
            let watermark = watermarks.get(&dataset).copied();
            let hot = hot_blocks(cursor.tip, watermark).and_then(|blocks| need.bounds.clip(blocks));
            boundary.hot.extend(hot.map(|blocks| HotRun { chain_id: cursor.chain_id, dataset, blocks }));
            if watermark.is_none() {
                continue;
            }
            for file in catalog::partitions(snapshot, cursor.chain_id, dataset).await? {
                if need.bounds.clip(file.blocks).is_some() {
                    boundary.cold.push(ColdFile {
                        chain_id: cursor.chain_id,
                        dataset,
                        blocks: file.blocks,
                        object_key: file.object_key,
                        size_bytes: file.size_bytes,
                    });
                }
            }
        }
        boundary.chains.push(ChainState {
            chain_id: cursor.chain_id,
            chain: cursor.chain,
            tip_number: cursor.tip.map(|tip| tip.number),
            tip_hash: cursor.tip.map(|tip| tip.hash),
            watermark: lowest(&watermarks),
            manifest_versions: own.map(|head| (head.dataset, head.head.manifest_version)).collect(),
            watermarks,
        });
    }
    if !boundary.cold.is_empty() {
        check_sound(&boundary.cold, checks::unsound_files(snapshot).await?)?;
    }
    Ok(boundary)
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

fn lowest(watermarks: &BTreeMap<Dataset, BlockNumber>) -> Option<BlockNumber> {
    if RELATIONS.iter().all(|dataset| watermarks.contains_key(dataset)) {
        watermarks.values().min().copied()
    } else {
        None
    }
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
        });
        let unsound = |key: &str| UnsoundFile { object_key: key.to_owned(), fault: "digest_differs".to_owned() };
        assert!(check_sound(&needed, vec![]).is_ok());
        assert!(check_sound(&needed, vec![unsound("cold/c")]).is_ok());
        let refused = check_sound(&needed, vec![unsound("cold/c"), unsound("cold/b")]).unwrap_err();
        let expected = "a check found the cold file cold/b not to be what was committed (digest_differs)";
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn a_chain_is_cold_only_as_far_as_its_slowest_dataset() {
        let mut watermarks = BTreeMap::from([(Dataset::Blocks, BlockNumber(9)), (Dataset::Logs, BlockNumber(4))]);
        assert_eq!(lowest(&watermarks), None);
        watermarks.insert(Dataset::Transactions, BlockNumber(7));
        assert_eq!(lowest(&watermarks), Some(BlockNumber(4)));
    }
}
