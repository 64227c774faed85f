//! What one asker may see: the granted datasets of each chain, as they stand in the query's snapshot.
//!
//! A chain or a dataset that is not granted never gets in here, so that nothing made of a scope can tell of it: rows,
//! state, errors, counts of files.

use std::collections::BTreeMap;

use isotherm_cold_store::catalog::{self, ColdDataset, DatasetHead};
use isotherm_hot_store::{Cursor, cursor};
use isotherm_types::{BlockNumber, ChainId, Dataset, DatasetGrants};
use sqlx::PgConnection;

use crate::as_of::PinnedBlock;
use crate::error::QueryError;
use crate::gate::{Named, NamedRelations};
use crate::relation::RelationName;

/// The chains that an asker may see, by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    chains: Vec<ChainScope>,
    grants: DatasetGrants,
}

/// A chain as far as it may be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainScope {
    cursor: Cursor,
    /// Granted datasets, and where each is in cold storage if it is.
    datasets: BTreeMap<Dataset, Option<DatasetHead>>,
    as_of: Option<PinnedBlock>,
}

impl Scope {
    /// Reads cursors and watermarks in the caller's snapshot.
    ///
    /// # Errors
    /// [`QueryError::UnknownChain`] if cold storage has a granted chain without a cursor; what Postgres reports.
    pub async fn read(snapshot: &mut PgConnection, grants: &DatasetGrants) -> Result<Self, QueryError> {
        let cursors = cursor::all(snapshot).await?;
        let heads = catalog::datasets(snapshot).await?;
        Self::of(cursors, heads, grants)
    }

    fn of(cursors: Vec<Cursor>, mut heads: Vec<ColdDataset>, grants: &DatasetGrants) -> Result<Self, QueryError> {
        heads.retain(|head| grants.allows(head.chain_id, head.dataset));
        if let Some(head) = heads.iter().find(|head| cursors.iter().all(|cursor| cursor.chain_id != head.chain_id)) {
            return Err(QueryError::UnknownChain { chain_id: head.chain_id, watermark: head.head.watermark });
        }
        let chains = cursors.into_iter().filter(|cursor| grants.allows_some_of(cursor.chain_id)).map(|cursor| {
            let chain_id = cursor.chain_id;
            let cold = |dataset| heads.iter().find(|head| (head.chain_id, head.dataset) == (chain_id, dataset));
            let granted = Dataset::ALL.into_iter().filter(|dataset| grants.allows(chain_id, *dataset));
            let datasets = granted.map(|dataset| (dataset, cold(dataset).map(|head| head.head.clone()))).collect();
            ChainScope { cursor, datasets, as_of: None }
        });
        Ok(Self { chains: chains.collect(), grants: grants.clone() })
    }

    /// The chains.
    pub fn chains(&self) -> &[ChainScope] {
        &self.chains
    }

    /// A chain; `None` if it may not be seen or is not there.
    pub fn chain(&self, chain_id: ChainId) -> Option<&ChainScope> {
        self.chains.iter().find(|chain| chain.id() == chain_id)
    }

    /// The chains that give rows to a relation.
    pub fn behind(&self, relation: &RelationName) -> impl Iterator<Item = &ChainScope> {
        self.chains.iter().filter(move |chain| {
            let is_named = relation.chain.as_ref().is_none_or(|name| name.as_str() == chain.name());
            is_named && chain.datasets.contains_key(&relation.dataset)
        })
    }

    /// Whether an answer tells the state of a chain: the query reads it, or it is pinned to a block. Of one that names
    /// nothing at all, as `select 1`, it tells those of all chains; of one that names the platform's own tables only, none.
    pub(crate) fn tells(&self, chain_id: ChainId, named: &Named) -> bool {
        let is_read = || named.relations.keys().any(|relation| self.behind(relation).any(|own| own.id() == chain_id));
        let is_pinned = || self.chain(chain_id).is_some_and(|chain| chain.as_of.is_some());
        *named == Named::default() || is_read() || is_pinned()
    }

    /// Checks that each relation is there. One that is not granted is answered like one that never was.
    ///
    /// # Errors
    /// [`QueryError::UnknownRelation`]; [`QueryError::NotCollected`] if no chain behind it collects the dataset.
    pub fn check(&self, relations: &NamedRelations) -> Result<(), QueryError> {
        for (relation, &position) in relations {
            let mut behind = self.behind(relation).peekable();
            // Where no chain is set up yet, a relation over all chains is empty for those who may read any.
            let is_granted = relation.chain.is_none() && self.grants.allows_everywhere(relation.dataset);
            if behind.peek().is_none() && !is_granted {
                return Err(QueryError::UnknownRelation { name: relation.to_string(), position });
            }
            if behind.peek().is_some() && !behind.any(|chain| chain.may_have(relation.dataset)) {
                return Err(QueryError::NotCollected { name: relation.to_string(), position });
            }
        }
        Ok(())
    }

    /// Lets nothing above `block` be seen of a chain.
    pub(crate) fn pin(&mut self, chain_id: ChainId, block: PinnedBlock) {
        if let Some(chain) = self.chains.iter_mut().find(|chain| chain.id() == chain_id) {
            chain.as_of = Some(block);
        }
    }
}

impl ChainScope {
    /// Its id.
    pub fn id(&self) -> ChainId {
        self.cursor.chain_id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.cursor.chain
    }

    /// Where its follower stands.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The block above which nothing is seen; `None` if all is.
    pub fn as_of(&self) -> Option<PinnedBlock> {
        self.as_of
    }

    /// Granted datasets that have something in cold storage.
    pub fn cold(&self) -> impl Iterator<Item = (Dataset, &DatasetHead)> {
        self.datasets.iter().filter_map(|(&dataset, head)| Some((dataset, head.as_ref()?)))
    }

    /// The last cold block of a dataset; `None` if nothing of it is cold.
    pub fn watermark(&self, dataset: Dataset) -> Option<BlockNumber> {
        Some(self.datasets.get(&dataset)?.as_ref()?.watermark)
    }

    /// The last block of which anything is stored. A chain that nobody follows ends with its cold blocks.
    pub fn last_block(&self) -> Option<BlockNumber> {
        let cold = self.cold().map(|(_, head)| head.watermark).max();
        self.cursor.tip.map(|tip| tip.number).max(cold)
    }

    /// The last block up to which every granted dataset is cold that the chain collects; `None` if one of them has
    /// nothing cold.
    pub fn lowest_watermark(&self) -> Option<BlockNumber> {
        let collected = self.datasets.keys().copied().filter(|dataset| self.collects(*dataset));
        collected.map(|dataset| self.watermark(dataset)).min().flatten()
    }

    /// Whether new blocks come with the dataset. Traces do if those of the tip are stored; of a chain that nobody
    /// follows, if some are cold. What was collected once and is no longer does not count: it never gets colder.
    fn collects(&self, dataset: Dataset) -> bool {
        match dataset {
            Dataset::Blocks | Dataset::Transactions | Dataset::Logs => true,
            Dataset::Traces if self.cursor.tip.is_some() => self.cursor.first_traced_block.is_some(),
            Dataset::Traces => self.watermark(dataset).is_some(),
        }
    }

    /// Whether rows of the dataset may be there: it is collected, or was until some of it was cold. Of a chain of which
    /// nothing is stored yet nobody knows.
    fn may_have(&self, dataset: Dataset) -> bool {
        self.collects(dataset) || self.watermark(dataset).is_some() || self.last_block().is_none()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use isotherm_cold_store::digest::Sha256Digest;
    use isotherm_types::{B256, BlockRef};

    use super::*;

    const MONAD: ChainId = ChainId(143);
    const OTHER: ChainId = ChainId(1);

    fn cursor(chain_id: ChainId, chain: &str, tip: Option<u64>, first_traced_block: Option<u64>) -> Cursor {
        Cursor {
            chain_id,
            chain: chain.to_owned(),
            partition_blocks: 10,
            first_block: tip.map(|_| BlockNumber(0)),
            first_traced_block: first_traced_block.map(BlockNumber),
            tip: tip.map(|number| BlockRef { number: BlockNumber(number), hash: B256::ZERO }),
            finalized: None,
            halted: None,
            updated_at: DateTime::default(),
        }
    }

    fn cold(chain_id: ChainId, dataset: Dataset, watermark: u64) -> ColdDataset {
        let head = DatasetHead {
            first_block: BlockNumber(0),
            first_parent_hash: None,
            watermark: BlockNumber(watermark),
            manifest_version: 1,
            manifest_key: "cold/x".to_owned(),
            manifest_sha256: Sha256Digest::of(b""),
        };
        ColdDataset { chain_id, dataset, head }
    }

    fn relations(names: &[&str]) -> NamedRelations {
        names.iter().map(|name| (RelationName::of_full_name(name).unwrap(), Some(3))).collect()
    }

    fn watermark_of(tip: Option<u64>, first_traced: Option<u64>, heads: Vec<ColdDataset>) -> Option<u64> {
        let cursors = vec![cursor(MONAD, "monad", tip, first_traced)];
        let scope = Scope::of(cursors, heads, &DatasetGrants::everything()).unwrap();
        scope.chains()[0].lowest_watermark().map(|block| block.0)
    }

    #[test]
    fn a_chain_is_cold_as_far_as_the_slowest_dataset_that_it_collects() {
        let without_traces = || {
            [(Dataset::Blocks, 9), (Dataset::Transactions, 7), (Dataset::Logs, 4)]
                .map(|(dataset, watermark)| cold(MONAD, dataset, watermark))
                .to_vec()
        };
        let with_traces = || [without_traces(), vec![cold(MONAD, Dataset::Traces, 2)]].concat();
        assert_eq!(watermark_of(Some(12), None, vec![cold(MONAD, Dataset::Blocks, 9)]), None);
        assert_eq!(watermark_of(Some(12), None, without_traces()), Some(4));
        assert_eq!(watermark_of(Some(12), Some(0), without_traces()), None, "traces are collected and not cold yet");
        assert_eq!(watermark_of(Some(12), Some(0), with_traces()), Some(2));
        assert_eq!(watermark_of(Some(12), None, with_traces()), Some(4), "traces are no longer collected");
        assert_eq!(watermark_of(None, None, with_traces()), Some(2), "nobody follows");
        assert_eq!(watermark_of(None, None, vec![]), None);
    }

    #[test]
    fn what_is_not_granted_is_as_unknown_as_what_is_not_there() {
        let cursors = vec![cursor(OTHER, "other", Some(5), None), cursor(MONAD, "monad", Some(12), None)];
        let heads = vec![cold(OTHER, Dataset::Logs, 4), cold(MONAD, Dataset::Blocks, 9), cold(MONAD, Dataset::Logs, 9)];
        let grants = DatasetGrants::of([(Some(MONAD), Some(Dataset::Logs))]);
        let scope = Scope::of(cursors, heads, &grants).unwrap();
        assert_eq!(scope.chains().iter().map(ChainScope::name).collect::<Vec<_>>(), ["monad"]);
        let cold: Vec<_> = scope.chains()[0].cold().map(|(dataset, _)| dataset).collect();
        assert_eq!((cold, scope.chains()[0].lowest_watermark()), (vec![Dataset::Logs], Some(BlockNumber(9))));
        scope.check(&relations(&["logs", "monad.logs"])).unwrap();
        for name in ["blocks", "monad.blocks", "other.logs", "nowhere.logs", "monad.traces", "traces"] {
            let error = scope.check(&relations(&[name])).unwrap_err();
            let is_unknown = matches!(&error, QueryError::UnknownRelation { name: found, .. } if found == name);
            assert!(is_unknown, "{name}: {error:?}");
        }
    }

    #[test]
    fn traces_that_no_chain_collects_are_refused_and_those_of_an_empty_chain_are_not() {
        let scope = |cursors, heads| Scope::of(cursors, heads, &DatasetGrants::everything()).unwrap();
        let (with, without) = (cursor(OTHER, "other", Some(5), Some(0)), cursor(MONAD, "monad", Some(12), None));
        let both = scope(vec![with, without.clone()], vec![]);
        both.check(&relations(&["traces", "other.traces"])).unwrap();
        let error = both.check(&relations(&["monad.traces"])).unwrap_err();
        assert!(matches!(error, QueryError::NotCollected { .. }), "{error:?}");
        let error = scope(vec![without.clone()], vec![]).check(&relations(&["traces"])).unwrap_err();
        assert!(matches!(error, QueryError::NotCollected { .. }), "{error:?}");
        scope(vec![without], vec![cold(MONAD, Dataset::Traces, 4)]).check(&relations(&["traces"])).unwrap();
        scope(vec![cursor(MONAD, "monad", None, None)], vec![]).check(&relations(&["traces"])).unwrap();
        scope(vec![], vec![]).check(&relations(&["traces"])).unwrap();
    }

    #[test]
    fn a_cold_chain_without_a_cursor_is_an_error_for_those_who_may_read_it() {
        let heads = || vec![cold(OTHER, Dataset::Logs, 4)];
        let error = Scope::of(vec![], heads(), &DatasetGrants::everything()).unwrap_err();
        assert!(matches!(error, QueryError::UnknownChain { chain_id: OTHER, .. }), "{error:?}");
        assert!(Scope::of(vec![], heads(), &DatasetGrants::of([(Some(MONAD), None)])).is_ok());
    }
}
