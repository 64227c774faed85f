//! What somebody may read: datasets of chains.

use std::collections::BTreeSet;

use crate::{ChainId, Dataset};

/// Datasets that may be read, chain by chain. Made from an organisation's grants; empty means none.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DatasetGrants {
    /// Chain and dataset of each grant; `None` stands for every one, also of chains that are not known yet.
    grants: BTreeSet<(Option<ChainId>, Option<Dataset>)>,
}

impl DatasetGrants {
    /// Every dataset of every chain.
    pub fn everything() -> Self {
        Self::of([(None, None)])
    }

    /// The grants as they are written down: chain and dataset, `None` for every one.
    pub fn of(grants: impl IntoIterator<Item = (Option<ChainId>, Option<Dataset>)>) -> Self {
        Self { grants: grants.into_iter().collect() }
    }

    /// Whether `dataset` of `chain` may be read.
    pub fn allows(&self, chain: ChainId, dataset: Dataset) -> bool {
        let covers = |&(granted_chain, granted): &(Option<ChainId>, Option<Dataset>)| {
            granted_chain.is_none_or(|granted| granted == chain) && granted.is_none_or(|granted| granted == dataset)
        };
        self.grants.iter().any(covers)
    }

    /// Whether `dataset` of every chain may be read, also of chains that are not known yet.
    pub fn allows_everywhere(&self, dataset: Dataset) -> bool {
        self.grants.contains(&(None, None)) || self.grants.contains(&(None, Some(dataset)))
    }

    /// Whether anything of `chain` may be read.
    pub fn allows_some_of(&self, chain: ChainId) -> bool {
        Dataset::ALL.into_iter().any(|dataset| self.allows(chain, dataset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_covers_what_it_names_and_nothing_else() {
        let (ours, other) = (ChainId(143), ChainId(1));
        let logs_of_ours = DatasetGrants::of([(Some(ours), Some(Dataset::Logs))]);
        assert!(logs_of_ours.allows(ours, Dataset::Logs) && logs_of_ours.allows_some_of(ours));
        assert!(!logs_of_ours.allows(ours, Dataset::Blocks) && !logs_of_ours.allows(other, Dataset::Logs));
        assert!(!logs_of_ours.allows_some_of(other));
        let whole_chain = DatasetGrants::of([(Some(ours), None)]);
        assert!(whole_chain.allows(ours, Dataset::Traces) && !whole_chain.allows(other, Dataset::Traces));
        let blocks_everywhere = DatasetGrants::of([(None, Some(Dataset::Blocks))]);
        assert!(blocks_everywhere.allows(other, Dataset::Blocks) && !blocks_everywhere.allows(other, Dataset::Logs));
        assert!(blocks_everywhere.allows_everywhere(Dataset::Blocks));
        assert!(!whole_chain.allows_everywhere(Dataset::Blocks) && !blocks_everywhere.allows_everywhere(Dataset::Logs));
        assert!(DatasetGrants::everything().allows(other, Dataset::Traces));
        assert!(!DatasetGrants::default().allows_some_of(ours));
    }
}
