//! Names of cold storage's objects.
//!
//! `cold/{chain}/{dataset}/{dataset}_{first}_{last}.parquet` for data, both block numbers included and ten digits
//! wide, so that a listing is in the order of blocks; `cold/{chain}/{dataset}/manifests/{version}.json` beside it;
//! `cold/{chain}/evidence/{dataset}/…` for bytes that once stood at a data file's key and did not belong there. Pure.
//! One partition has one key for ever, whoever writes it.

use std::fmt;

use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset};
use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;

/// First part of every key.
pub const PREFIX: &str = "cold";

/// Longest name of a chain, as in `hot.cursors`.
const CHAIN_NAME_MAX: usize = 63;

/// A chain's name in keys: a letter or digit, then letters, digits, `_` and `-`, all lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChainName(String);

impl ChainName {
    /// Takes `name` if it may stand in a key.
    ///
    /// # Errors
    /// [`LayoutError::ChainName`] otherwise; a `/` or `..` never gets into a key.
    pub fn new(name: &str) -> Result<Self, LayoutError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let mut bytes = name.bytes();
        let starts_well = bytes.next().is_some_and(plain);
        if starts_well && bytes.all(|byte| plain(byte) || byte == b'_' || byte == b'-') && name.len() <= CHAIN_NAME_MAX
        {
            Ok(Self(name.to_owned()))
        } else {
            Err(LayoutError::ChainName { name: name.to_owned() })
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ChainName {
    type Error = LayoutError;

    fn try_from(name: String) -> Result<Self, LayoutError> {
        Self::new(&name)
    }
}

impl From<ChainName> for String {
    fn from(name: ChainName) -> Self {
        name.0
    }
}

/// A run of blocks of one dataset of one chain: what one data file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its chain.
    pub chain_id: ChainId,
    /// The chain's name in keys.
    pub chain: ChainName,
    /// Its dataset.
    pub dataset: Dataset,
    /// Its blocks.
    pub blocks: BlockRange,
}

impl Partition {
    /// Key of its data file.
    pub fn object_key(&self) -> String {
        data_key(&self.chain, self.dataset, self.blocks)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.chain, self.dataset, self.blocks)
    }
}

/// Key of the data file of `blocks`.
pub fn data_key(chain: &ChainName, dataset: Dataset, blocks: BlockRange) -> String {
    let (first, last) = (blocks.start().0, blocks.last().0);
    format!("{PREFIX}/{chain}/{dataset}/{dataset}_{first:0>10}_{last:0>10}.parquet")
}

/// Key of a manifest.
pub fn manifest_key(chain: &ChainName, dataset: Dataset, manifest_version: u64) -> String {
    format!("{PREFIX}/{chain}/{dataset}/manifests/{manifest_version:0>10}.json")
}

/// Key under which damaged bytes are kept that were found at the key of `partition`. It is no [`Object`]'s, and no
/// reader's pattern for data files matches it.
pub fn evidence_key(partition: &Partition, found: Sha256Digest) -> String {
    let Partition { chain, dataset, .. } = partition;
    let key = partition.object_key();
    let file_name = key.rsplit('/').next().unwrap_or(&key);
    format!("{PREFIX}/{chain}/evidence/{dataset}/{file_name}.{found}.damaged")
}

/// Whether a key is one of those that [`evidence_key`] gives.
pub(crate) fn is_evidence(key: &str) -> bool {
    let mut parts = key.split('/');
    parts.next() == Some(PREFIX) && parts.nth(1) == Some("evidence") && key.ends_with(".damaged")
}

/// What a key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A data file.
    Data {
        /// Its chain.
        chain: ChainName,
        /// Its dataset.
        dataset: Dataset,
        /// Its blocks.
        blocks: BlockRange,
    },
    /// A manifest.
    Manifest {
        /// Its chain.
        chain: ChainName,
        /// Its dataset.
        dataset: Dataset,
        /// Its version.
        manifest_version: u64,
    },
}

impl Object {
    /// The one key of the object.
    pub fn key(&self) -> String {
        match self {
            Self::Data { chain, dataset, blocks } => data_key(chain, *dataset, *blocks),
            Self::Manifest { chain, dataset, manifest_version } => manifest_key(chain, *dataset, *manifest_version),
        }
    }

    /// Reads `key`.
    ///
    /// # Errors
    /// [`LayoutError::Key`] unless it is written exactly as [`Object::key`] writes it.
    pub fn parse(key: &str) -> Result<Self, LayoutError> {
        match parse_parts(key) {
            Some(object) if object.key() == key => Ok(object),
            _ => Err(LayoutError::Key { key: key.to_owned() }),
        }
    }
}

fn parse_parts(key: &str) -> Option<Object> {
    let parts: Vec<&str> = key.split('/').collect();
    let (chain, dataset, rest) = match parts.as_slice() {
        [PREFIX, chain, dataset, rest @ ..] => (ChainName::new(chain).ok()?, dataset.parse::<Dataset>().ok()?, rest),
        _ => return None,
    };
    match rest {
        ["manifests", file] => {
            let manifest_version = file.strip_suffix(".json")?.parse().ok()?;
            Some(Object::Manifest { chain, dataset, manifest_version })
        }
        [file] => {
            let range = file.strip_prefix(dataset.as_str())?.strip_prefix('_')?.strip_suffix(".parquet")?;
            let (first, last) = range.split_once('_')?;
            let (first, last) = (first.parse().ok()?, last.parse::<u64>().ok().filter(|last| *last < u64::MAX)?);
            let blocks = BlockRange::inclusive(BlockNumber(first), BlockNumber(last)).ok()?;
            Some(Object::Data { chain, dataset, blocks })
        }
        _ => None,
    }
}

/// A name that has no place in the layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A chain's name that may not stand in a key.
    #[error("chain name {name:?} is not a lower-case letter or digit followed by at most 62 of a-z, 0-9, _ and -")]
    ChainName {
        /// The name that was given.
        name: String,
    },
    /// A key that names neither a data file nor a manifest.
    #[error("key {key:?} is not one of cold storage")]
    Key {
        /// The key that was given.
        key: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> ChainName {
        ChainName::new("monad-testnet").unwrap()
    }

    #[test]
    fn names_are_those_of_the_layout() {
        let blocks = BlockRange::new(BlockNumber(0), BlockNumber(100)).unwrap();
        let key = data_key(&chain(), Dataset::Logs, blocks);
        assert_eq!(key, "cold/monad-testnet/logs/logs_0000000000_0000000099.parquet");
        assert_eq!(manifest_key(&chain(), Dataset::Logs, 7), "cold/monad-testnet/logs/manifests/0000000007.json");
    }

    #[test]
    fn evidence_is_named_by_its_place_and_its_bytes_and_is_no_object_of_the_layout() {
        let blocks = BlockRange::new(BlockNumber(0), BlockNumber(100)).unwrap();
        let partition = Partition { chain_id: ChainId(1), chain: chain(), dataset: Dataset::Logs, blocks };
        let found = Sha256Digest::of(b"damaged");
        let key = evidence_key(&partition, found);
        let expected = format!("cold/monad-testnet/evidence/logs/logs_0000000000_0000000099.parquet.{found}.damaged");
        assert_eq!(key, expected);
        assert_eq!(Object::parse(&key), Err(LayoutError::Key { key }));
    }

    #[test]
    fn only_a_key_in_its_one_spelling_is_read() {
        for wrong in [
            "",
            "cold/x/logs/logs_0_99.parquet",
            "cold/x/logs/blocks_0000000000_0000000099.parquet",
            "cold/x/logs/logs_0000000100_0000000099.parquet",
            "cold/x/logs/logs_+000000000_0000000099.parquet",
            "cold/x/logs/logs_0000000000_18446744073709551615.parquet",
            "cold/../logs/logs_0000000000_0000000099.parquet",
            "cold/x/logs/manifests/7.json",
            "cold/x/logs/manifests/0000000007.json/",
            "warm/x/logs/manifests/0000000007.json",
        ] {
            assert!(Object::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_chain_name_cannot_leave_its_folder() {
        for wrong in ["", "..", "a/b", "A", "-a", "a b", &"a".repeat(64)] {
            assert!(ChainName::new(wrong).is_err(), "{wrong}");
        }
        assert!(ChainName::new(&"a".repeat(63)).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn a_key_reads_back_and_keys_sort_like_their_blocks(
            first in 0u64..10_000_000_000, count in 1u64..1_000_000, other in 0u64..9_000_000_000, dataset in 0usize..4,
        ) {
            let dataset = Dataset::ALL[dataset];
            let blocks = BlockRange::new(BlockNumber(first), BlockNumber(first + count)).unwrap();
            let object = Object::Data { chain: chain(), dataset, blocks };
            proptest::prop_assert_eq!(Object::parse(&object.key()), Ok(object));
            let manifest = Object::Manifest { chain: chain(), dataset, manifest_version: count };
            proptest::prop_assert_eq!(Object::parse(&manifest.key()), Ok(manifest));

            let left = data_key(&chain(), dataset, BlockRange::single(BlockNumber(first)));
            let right = data_key(&chain(), dataset, BlockRange::single(BlockNumber(other)));
            proptest::prop_assert_eq!(left.cmp(&right), first.cmp(&other));
        }
    }
}
