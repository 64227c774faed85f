//! Which commitments of a chain's headers count, and from which block on: what a chain's profile excepts is excepted by
//! whoever checks its blocks, when they come from the chain and when they lie in files.
//!
//! What does not count is said with its reason; it is never called good.

use crate::{BlockNumber, Dataset};

/// From which block on something counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// From this one.
    Block(BlockNumber),
    /// It never does.
    Never,
}

impl Since {
    /// It counts in every block.
    pub const ALWAYS: Self = Self::Block(BlockNumber(0));

    /// Whether it counts in the block at `number`.
    pub fn holds_at(self, number: BlockNumber) -> bool {
        match self {
            Self::Block(first) => first <= number,
            Self::Never => false,
        }
    }

    /// Why `what` does not count in the block at `number`; `None` if it does.
    pub fn why_not(self, what: &str, number: BlockNumber) -> Option<String> {
        match self {
            Self::Block(first) if first <= number => None,
            Self::Block(first) => Some(format!("the chain's profile has the {what} checked from block {first} on")),
            Self::Never => Some(format!("the chain's profile has the {what} never checked")),
        }
    }
}

/// What a header commits to, and how it is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitments {
    /// Keccak-256 of the RLP header is the block's hash.
    pub header_hash: Since,
    /// A block names the one before it as its parent.
    pub parent_hash: Since,
    /// The transactions, and their hashes, are those of the header.
    pub transactions_root: Since,
    /// The receipts are those of the header.
    pub receipts_root: Since,
    /// The logs' Bloom filter is that of the header.
    pub logs_bloom: Since,
    /// The receipts' gas adds up.
    pub gas_used: Since,
}

impl Commitments {
    /// All of them count, in every block.
    pub const ALL: Self = Self {
        header_hash: Since::ALWAYS,
        parent_hash: Since::ALWAYS,
        transactions_root: Since::ALWAYS,
        receipts_root: Since::ALWAYS,
        logs_bloom: Since::ALWAYS,
        gas_used: Since::ALWAYS,
    };

    /// What does not count in the block at `number`: the dataset whose rows are not held against it, and why.
    pub fn exceptions(&self, number: BlockNumber) -> impl Iterator<Item = (Dataset, String)> + use<> {
        let all = [
            (Dataset::Blocks, "header hash", self.header_hash),
            (Dataset::Blocks, "parent hash", self.parent_hash),
            (Dataset::Transactions, "transactions root", self.transactions_root),
            (Dataset::Transactions, "receipts root", self.receipts_root),
            (Dataset::Transactions, "gas", self.gas_used),
            (Dataset::Logs, "logs bloom", self.logs_bloom),
        ];
        all.into_iter().filter_map(move |(dataset, what, since)| Some((dataset, since.why_not(what, number)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_count_is_said_with_its_reason() {
        let commitments =
            Commitments { receipts_root: Since::Block(BlockNumber(8)), logs_bloom: Since::Never, ..Commitments::ALL };
        let exceptions = |number| -> Vec<(Dataset, String)> { commitments.exceptions(BlockNumber(number)).collect() };
        let bloom = (Dataset::Logs, "the chain's profile has the logs bloom never checked".to_owned());
        let reason = "the chain's profile has the receipts root checked from block 8 on".to_owned();
        assert_eq!(exceptions(7), [(Dataset::Transactions, reason), bloom.clone()]);
        assert_eq!(exceptions(8), [bloom]);
        assert_eq!(Commitments::ALL.exceptions(BlockNumber(0)).count(), 0);
        assert!(!Since::Never.holds_at(BlockNumber(u64::MAX)) && Since::ALWAYS.holds_at(BlockNumber(0)));
    }
}
