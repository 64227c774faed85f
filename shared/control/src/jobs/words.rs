//! The closed vocabularies of a job: where it runs, how events become tasks, and which datasets it names.

use isotherm_types::{ChainId, Dataset};
use serde::{Deserialize, Serialize};

/// Where a job's operator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// A Lambda that reads the operator's queue: capacity comes by itself.
    Lambda,
    /// An ECS task that the dispatcher launches.
    Fargate,
}

impl Runtime {
    /// The word in the database and in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Fargate => "fargate",
        }
    }
}

/// How events about a job's input datasets become tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// One task an event.
    PerUpdate,
    /// One task a partition, however often it is announced.
    PerPartition,
    /// One waiting task for everything that is pending.
    Bulk,
}

impl Strategy {
    /// The word in the database and in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PerUpdate => "per_update",
            Self::PerPartition => "per_partition",
            Self::Bulk => "bulk",
        }
    }
}

/// A dataset of one chain (`143/logs`) or of every chain (`logs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatasetName {
    /// The chain; every one if absent.
    pub chain_id: Option<ChainId>,
    /// The dataset.
    pub dataset: Dataset,
}

impl DatasetName {
    /// Whether the name covers `dataset` of `chain_id`.
    pub fn matches(self, chain_id: ChainId, dataset: Dataset) -> bool {
        self.dataset == dataset && self.chain_id.is_none_or(|named| named == chain_id)
    }
}

/// A word of a job that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no {kind}; {allowed}")]
pub struct UnknownJobWord {
    /// The word that was given.
    pub word: String,
    /// What it was to be.
    pub kind: &'static str,
    /// What is allowed.
    pub allowed: &'static str,
}

impl std::str::FromStr for Runtime {
    type Err = UnknownJobWord;

    fn from_str(word: &str) -> Result<Self, UnknownJobWord> {
        [Self::Lambda, Self::Fargate].into_iter().find(|known| known.as_str() == word).ok_or_else(|| UnknownJobWord {
            word: word.to_owned(),
            kind: "runtime",
            allowed: "write lambda or fargate",
        })
    }
}

impl std::str::FromStr for Strategy {
    type Err = UnknownJobWord;

    fn from_str(word: &str) -> Result<Self, UnknownJobWord> {
        [Self::PerUpdate, Self::PerPartition, Self::Bulk].into_iter().find(|known| known.as_str() == word).ok_or_else(
            || UnknownJobWord {
                word: word.to_owned(),
                kind: "strategy",
                allowed: "write per_update, per_partition or bulk",
            },
        )
    }
}

impl std::str::FromStr for DatasetName {
    type Err = UnknownJobWord;

    fn from_str(word: &str) -> Result<Self, UnknownJobWord> {
        let unknown = || UnknownJobWord {
            word: word.to_owned(),
            kind: "dataset",
            allowed: "write blocks, transactions, logs or traces, with a chain id and a slash before it for one chain only",
        };
        let (chain_id, dataset) = match word.split_once('/') {
            Some((chain, dataset)) => (Some(ChainId(chain.parse().map_err(|_not_a_number| unknown())?)), dataset),
            None => (None, word),
        };
        Ok(Self { chain_id, dataset: dataset.parse().map_err(|_no_dataset| unknown())? })
    }
}

impl std::fmt::Display for DatasetName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.chain_id {
            Some(chain_id) => write!(f, "{chain_id}/{}", self.dataset),
            None => self.dataset.fmt(f),
        }
    }
}

impl TryFrom<String> for DatasetName {
    type Error = UnknownJobWord;

    fn try_from(word: String) -> Result<Self, UnknownJobWord> {
        word.parse()
    }
}

impl From<DatasetName> for String {
    fn from(name: DatasetName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_named_for_one_chain_or_for_all() {
        let one: DatasetName = "143/logs".parse().unwrap();
        assert!(one.matches(ChainId(143), Dataset::Logs));
        assert!(!one.matches(ChainId(144), Dataset::Logs));
        let all: DatasetName = "logs".parse().unwrap();
        assert!(all.matches(ChainId(144), Dataset::Logs) && !all.matches(ChainId(144), Dataset::Blocks));
        assert_eq!((one.to_string(), all.to_string()), ("143/logs".to_owned(), "logs".to_owned()));
        assert!("monad/logs".parse::<DatasetName>().is_err());
    }
}
