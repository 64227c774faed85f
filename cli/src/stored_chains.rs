//! The chains of which anything is stored, hot or cold, or that a job backfills.

use anyhow::Context;
use isotherm_cold_store::catalog::{self, ColdDataset};
use isotherm_cold_store::layout::Object;
use isotherm_hot_store::cursor::{self, Cursor};
use isotherm_types::ChainId;

use crate::backfill::{self, BackfillJob};
use crate::connected::{Connected, unknown};

/// A chain, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct StoredChain {
    pub(crate) chain_id: ChainId,
    /// As in object keys.
    pub(crate) name: String,
    /// Blocks in each partition; `None` if neither a follower nor a job says.
    pub(crate) partition_blocks: Option<u64>,
    /// Where its follower stands, if it has one.
    pub(crate) cursor: Option<Cursor>,
}

/// The chain of this name or chain id; all chains if none is named.
pub(crate) async fn find(connected: &mut Connected, name: Option<&str>) -> anyhow::Result<Vec<StoredChain>> {
    let jobs = backfill::jobs(&mut connected.conn, connected.org_id).await?;
    let cursors = cursor::all(&mut connected.conn).await.context("could not read the chains")?;
    let cold = catalog::datasets(&mut connected.conn).await.context("could not read what is cold")?;
    let chains = collect(cursors, &jobs, &cold);
    let Some(name) = name else { return Ok(chains) };
    let is_meant = |chain: &StoredChain| chain.name == name || chain.chain_id.to_string() == name;
    match chains.iter().find(|chain| is_meant(chain)) {
        Some(chain) => Ok(vec![chain.clone()]),
        None => {
            let names: Vec<String> = chains.into_iter().map(|chain| chain.name).collect();
            Err(unknown("chain", name, &names))
        }
    }
}

/// Each chain once: as its follower has it, else as a job has it, else as its manifests are called. Pure.
fn collect(cursors: Vec<Cursor>, jobs: &[BackfillJob], cold: &[ColdDataset]) -> Vec<StoredChain> {
    let followed = cursors.into_iter().map(|cursor| StoredChain {
        chain_id: cursor.chain_id,
        name: cursor.chain.clone(),
        partition_blocks: Some(cursor.partition_blocks),
        cursor: Some(cursor),
    });
    let backfilled = jobs.iter().map(|job| StoredChain {
        chain_id: job.config.chain_id,
        name: job.config.chain.to_string(),
        partition_blocks: Some(job.config.partition_blocks.get()),
        cursor: None,
    });
    let cold = cold.iter().filter_map(|dataset| match Object::parse(&dataset.head.manifest_key) {
        Ok(Object::Manifest { chain, .. } | Object::Data { chain, .. }) => Some(StoredChain {
            chain_id: dataset.chain_id,
            name: chain.to_string(),
            partition_blocks: None,
            cursor: None,
        }),
        Err(_) => None,
    });
    let mut chains: Vec<StoredChain> = Vec::new();
    for chain in followed.chain(backfilled).chain(cold) {
        if chains.iter().all(|known| known.chain_id != chain.chain_id) {
            chains.push(chain);
        }
    }
    chains.sort_by_key(|chain| chain.chain_id);
    chains
}

#[cfg(test)]
pub(crate) mod tests {
    use isotherm_cold_store::Sha256Digest;
    use isotherm_cold_store::catalog::DatasetHead;
    use isotherm_types::{B256, BlockNumber, BlockRef, Dataset};

    use super::*;
    use crate::backfill::made_up_job;

    /// A follower of a chain with partitions of 20 blocks, which has blocks 30 to 99.
    pub(crate) fn cursor() -> Cursor {
        Cursor {
            chain_id: ChainId(31_337),
            chain: "demo".to_owned(),
            partition_blocks: 20,
            first_block: Some(BlockNumber(30)),
            first_traced_block: None,
            tip: Some(BlockRef { number: BlockNumber(99), hash: B256::ZERO }),
            finalized: None,
            halted: None,
            updated_at: "2026-11-26T10:00:00Z".parse().unwrap(),
        }
    }

    fn cold(chain_id: u64, manifest_key: &str) -> ColdDataset {
        let head = DatasetHead {
            first_block: BlockNumber(0),
            first_parent_hash: None,
            watermark: BlockNumber(9),
            manifest_version: 1,
            manifest_key: manifest_key.to_owned(),
            manifest_sha256: Sha256Digest([0; 32]),
        };
        ColdDataset { chain_id: ChainId(chain_id), dataset: Dataset::Logs, head }
    }

    #[test]
    fn a_chain_is_known_by_its_follower_its_job_or_its_manifests() {
        let jobs = [made_up_job("backfill", "monad", &[Dataset::Blocks])];
        let key = |chain: &str| format!("cold/{chain}/logs/manifests/0000000001.json");
        let cold = [cold(143, &key("other-name")), cold(5, &key("five")), cold(6, "not a key")];
        let chains = collect(vec![cursor()], &jobs, &cold);
        let found: Vec<_> = chains.iter().map(|chain| (chain.name.as_str(), chain.partition_blocks)).collect();
        assert_eq!(found, [("five", None), ("monad", Some(100)), ("demo", Some(20))]);
        assert_eq!((&chains[1].cursor, &chains[2].cursor), (&None, &Some(cursor())));
    }
}
