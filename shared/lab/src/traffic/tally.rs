//! Counts of what the traffic maker made, to compare with what an indexer found.

use std::collections::BTreeMap;

use super::Kind;

/// What was made so far. On a chain without reorgs it equals what the chain holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Transactions by kind.
    pub by_kind: BTreeMap<Kind, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, kind: Kind) {
        *self.by_kind.entry(kind).or_default() += 1;
    }

    /// Transactions in all.
    pub fn transactions(&self) -> u64 {
        self.by_kind.values().sum()
    }

    /// Logs in their receipts.
    pub fn logs(&self) -> u64 {
        self.by_kind.iter().map(|(kind, count)| kind.log_count() * count).sum()
    }

    /// Transactions whose receipts have status 0.
    pub fn failed_transactions(&self) -> u64 {
        self.by_kind.iter().filter(|(kind, _)| kind.fails()).map(|(_, count)| count).sum()
    }

    /// ERC-20 `Transfer` logs.
    pub fn token_transfers(&self) -> u64 {
        let kinds = [Kind::DeployToken, Kind::TokenTransfer, Kind::ForwardedTokenTransfer];
        kinds.iter().filter_map(|kind| self.by_kind.get(kind)).sum()
    }
}
