//! Decides whether a query may run, from the tree that DuckDB's own parser made of it.
//!
//! The tree is `json_serialize_sql` of DuckDB 1.5.5. Everything in it is allowed by name or refused: node types with
//! their fields (`shapes`), relations, table functions and functions ([`functions`]), wherever they can stand. What
//! this module does not know, it refuses. Pure: it never looks a name up anywhere.

pub mod functions;
mod shapes;
mod tree;

use std::collections::BTreeSet;

use isotherm_types::Dataset;
use serde_json::Value;

/// Datasets that a query can name.
pub const RELATIONS: [Dataset; 3] = [Dataset::Blocks, Dataset::Transactions, Dataset::Logs];

/// A tree that may run. Only [`check`] makes one.
#[derive(Clone, Debug)]
pub struct CheckedTree {
    text: String,
    tree: Value,
    relations: BTreeSet<Dataset>,
}

impl CheckedTree {
    /// The tree as the parser wrote it, byte for byte.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Datasets that the query names.
    pub fn relations(&self) -> &BTreeSet<Dataset> {
        &self.relations
    }

    /// Whether the query may depend on the time at which it is planned. Says yes too often rather than too seldom: a
    /// column or a text of such a name counts as well.
    pub fn reads_the_clock(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        CLOCK_NAMES.iter().any(|name| text.contains(&format!("\"{name}\"")))
    }

    /// Byte of the user's text at which `name` first stands as a column, a function or a relation.
    pub fn position_of(&self, name: &str) -> Option<u64> {
        tree::position_of(&self.tree, name)
    }
}

/// Functions and keywords of DuckDB that stand for the present. `age` of one argument counts from today.
const CLOCK_NAMES: [&str; 15] = [
    "age",
    "ago",
    "current_date",
    "current_localtime",
    "current_localtimestamp",
    "current_time",
    "current_timestamp",
    "get_current_date",
    "get_current_time",
    "get_current_timestamp",
    "localtime",
    "localtimestamp",
    "now",
    "today",
    "transaction_timestamp",
];

/// Checks `text`, a tree of one or more statements.
///
/// # Errors
/// [`Refusal`] for the first thing that is not allowed.
pub fn check(text: String) -> Result<CheckedTree, Refusal> {
    let tree: Value = serde_json::from_str(&text).map_err(|_| Refusal::Unreadable)?;
    let relations = tree::walk(&tree)?;
    Ok(CheckedTree { text, tree, relations })
}

/// Why a query may not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// None or several statements.
    #[error("a query is one statement; this text has {count}")]
    StatementCount {
        /// Statements in the text.
        count: usize,
    },
    /// The tree is nested too deeply, or holds a number that JSON does not have.
    #[error("the query is nested too deeply, or holds a number that is not finite")]
    Unreadable,
    /// A relation that is none of ours.
    #[error("there is no relation {name:?}; the relations are blocks, transactions and logs")]
    Relation {
        /// Its name as written.
        name: String,
        /// Where it stands.
        position: Option<u64>,
    },
    /// A dataset that is not collected.
    #[error("{dataset} are not collected, so they cannot be queried")]
    NotCollected {
        /// The dataset.
        dataset: Dataset,
        /// Where it stands.
        position: Option<u64>,
    },
    /// A function that is not on the list.
    #[error("the function {name:?} is not allowed")]
    Function {
        /// Its name as written.
        name: String,
        /// Where it stands.
        position: Option<u64>,
    },
    /// A table function that is not on the list.
    #[error("the table function {name:?} is not allowed; allowed are range, generate_series and unnest")]
    TableFunction {
        /// Its name as written.
        name: String,
        /// Where it stands.
        position: Option<u64>,
    },
    /// A part of SQL that is not offered.
    #[error("{what} cannot be used here")]
    Construct {
        /// The part, in words.
        what: &'static str,
        /// Where it stands.
        position: Option<u64>,
    },
    /// A name with a character that no name needs.
    #[error("the name {name:?} holds other than letters, digits and _")]
    Name {
        /// The name.
        name: String,
    },
    /// A node or a field that this program does not know.
    #[error("the query holds a part that is not known here: {what}")]
    Unknown {
        /// The node or the field.
        what: String,
        /// Where it stands.
        position: Option<u64>,
    },
}

impl Refusal {
    /// Byte of the user's text, from 0.
    pub fn position(&self) -> Option<u64> {
        match self {
            Self::StatementCount { .. } | Self::Unreadable | Self::Name { .. } => None,
            Self::Relation { position, .. }
            | Self::NotCollected { position, .. }
            | Self::Function { position, .. }
            | Self::TableFunction { position, .. }
            | Self::Construct { position, .. }
            | Self::Unknown { position, .. } => *position,
        }
    }
}
