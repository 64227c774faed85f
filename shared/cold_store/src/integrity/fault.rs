//! What can be wrong with cold storage, and how deep a check looks for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How deep a check looks. A level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Manifests are chained, and objects are there with their length, SHA-256, rows and columns.
    File,
    /// Header hashes, parent links and roots follow from the rows.
    Chain,
    /// Hashes of blocks are those that endpoints name.
    Anchor,
}

impl Level {
    /// All levels, each after those that it includes.
    pub const ALL: [Self; 3] = [Self::File, Self::Chain, Self::Anchor];

    /// Its name in configurations and on command lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Chain => "chain",
            Self::Anchor => "anchor",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        let found = Self::ALL.into_iter().find(|level| level.as_str() == name);
        found.ok_or_else(|| UnknownLevel { name: name.to_owned() })
    }
}

/// A name that is no level's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no level of checks is called {name:?}; the levels are file, chain and anchor")]
pub struct UnknownLevel {
    /// The name that was given.
    pub name: String,
}

/// What is wrong. The names are kept for ever: they stand in `integrity_checks.fault`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A version's manifest is not there.
    ManifestMissing,
    /// A manifest is not the one that its successor or Postgres names.
    ManifestAltered,
    /// A manifest cannot be true, whoever wrote it.
    ManifestMalformed,
    /// The newest manifest is older than the one that Postgres names.
    ManifestRolledBack,
    /// A manifest's files leave blocks out or overlap.
    RangesTorn,
    /// A listed file is not there.
    ObjectMissing,
    /// A file has another length than listed.
    SizeDiffers,
    /// A file has other bytes than listed.
    DigestDiffers,
    /// A file has more or fewer rows than listed.
    RowsDiffer,
    /// A file cannot be read as Parquet.
    NotParquet,
    /// A file has other columns than its dataset.
    SchemaDiffers,
    /// Rows are out of order or doubled.
    OrderBroken,
    /// A row is of a chain, a block or a branch that is not the file's.
    RowBlock,
    /// A header does not hash to its block's hash.
    HeaderHash,
    /// A block is no child of the block before.
    ParentLink,
    /// The hash that a manifest lists for a file's first or last block is not that block's.
    EndHash,
    /// Transactions are not those that the header commits to.
    TransactionsRoot,
    /// Receipts are not those that the header commits to.
    ReceiptsRoot,
    /// The Bloom filter of a header is not that of its logs.
    LogsBloom,
    /// A block has more or fewer rows than it must.
    CountDiffers,
    /// A block's hash is not the one that endpoints, or whoever asked for the check, name.
    AnchorDiffers,
}

impl Fault {
    /// All faults, in the order in which a check may meet them.
    pub const ALL: [Self; 21] = [
        Self::ManifestMissing,
        Self::ManifestAltered,
        Self::ManifestMalformed,
        Self::ManifestRolledBack,
        Self::RangesTorn,
        Self::ObjectMissing,
        Self::SizeDiffers,
        Self::DigestDiffers,
        Self::RowsDiffer,
        Self::NotParquet,
        Self::SchemaDiffers,
        Self::OrderBroken,
        Self::RowBlock,
        Self::HeaderHash,
        Self::ParentLink,
        Self::EndHash,
        Self::TransactionsRoot,
        Self::ReceiptsRoot,
        Self::LogsBloom,
        Self::CountDiffers,
        Self::AnchorDiffers,
    ];

    /// Its name for ever.
    pub fn name(self) -> &'static str {
        match self {
            Self::ManifestMissing => "manifest_missing",
            Self::ManifestAltered => "manifest_altered",
            Self::ManifestMalformed => "manifest_malformed",
            Self::ManifestRolledBack => "manifest_rolled_back",
            Self::RangesTorn => "ranges_torn",
            Self::ObjectMissing => "object_missing",
            Self::SizeDiffers => "size_differs",
            Self::DigestDiffers => "digest_differs",
            Self::RowsDiffer => "rows_differ",
            Self::NotParquet => "not_parquet",
            Self::SchemaDiffers => "schema_differs",
            Self::OrderBroken => "order_broken",
            Self::RowBlock => "row_block",
            Self::HeaderHash => "header_hash",
            Self::ParentLink => "parent_link",
            Self::EndHash => "end_hash",
            Self::TransactionsRoot => "transactions_root",
            Self::ReceiptsRoot => "receipts_root",
            Self::LogsBloom => "logs_bloom",
            Self::CountDiffers => "count_differs",
            Self::AnchorDiffers => "anchor_differs",
        }
    }

    /// The level at which it is looked for.
    pub fn level(self) -> Level {
        match self {
            Self::ManifestMissing
            | Self::ManifestAltered
            | Self::ManifestMalformed
            | Self::ManifestRolledBack
            | Self::RangesTorn
            | Self::ObjectMissing
            | Self::SizeDiffers
            | Self::DigestDiffers
            | Self::RowsDiffer
            | Self::NotParquet
            | Self::SchemaDiffers => Level::File,
            Self::OrderBroken
            | Self::RowBlock
            | Self::HeaderHash
            | Self::ParentLink
            | Self::EndHash
            | Self::TransactionsRoot
            | Self::ReceiptsRoot
            | Self::LogsBloom
            | Self::CountDiffers => Level::Chain,
            Self::AnchorDiffers => Level::Anchor,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_thing_as_text_and_as_json() {
        for fault in Fault::ALL {
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.name());
        }
        for level in Level::ALL {
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
            assert_eq!(level.as_str().parse(), Ok(level));
        }
        assert_eq!("files".parse::<Level>(), Err(UnknownLevel { name: "files".to_owned() }));
    }

    #[test]
    fn a_level_includes_the_ones_before_it() {
        assert!(Level::File < Level::Chain && Level::Chain < Level::Anchor);
        assert!(Fault::ALL.is_sorted_by_key(|fault| fault.level()));
    }
}
