//! The datasets, each a table in hot storage, a folder in cold storage and a view in SQL.

use serde::{Deserialize, Serialize};

/// What the platform stores of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dataset {
    /// One row a block: the header.
    Blocks,
    /// One row a transaction, its receipt's fields beside it.
    Transactions,
    /// One row a log.
    Logs,
    /// One row a call frame.
    Traces,
}

impl Dataset {
    /// All datasets, in the order in which one block's rows are written.
    pub const ALL: [Self; 4] = [Self::Blocks, Self::Transactions, Self::Logs, Self::Traces];

    /// Name of the table, the folder and the view.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Transactions => "transactions",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }

    /// Columns by which rows are sorted within a block range, `block_number` first. Together they are unique on one chain.
    pub fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Self::Blocks => &["block_number"],
            Self::Transactions => &["block_number", "transaction_index"],
            Self::Logs => &["block_number", "log_index"],
            Self::Traces => &["block_number", "trace_index"],
        }
    }
}

impl std::fmt::Display for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Dataset {
    type Err = UnknownDataset;

    fn from_str(name: &str) -> Result<Self, UnknownDataset> {
        Self::ALL
            .into_iter()
            .find(|dataset| dataset.as_str() == name)
            .ok_or_else(|| UnknownDataset { name: name.to_owned() })
    }
}

/// A name that is no dataset's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no dataset is called {name:?}; the datasets are blocks, transactions, logs and traces")]
pub struct UnknownDataset {
    /// The name that was given.
    pub name: String,
}
