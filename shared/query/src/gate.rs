//! Decides whether a query may run, from the tree that DuckDB's own parser made of it.
//!
//! The tree is `json_serialize_sql` of DuckDB 1.5.5. Everything in it is allowed by name or refused: node types with
//! their fields (`shapes`), relations, table functions and functions ([`functions`]), wherever they can stand. What
//! this module does not know, it refuses. Before that, parameters and the present become constants (`substitute`).
//! Pure: it never looks a name up anywhere, and never at a clock.

mod constants;
pub mod functions;
mod shapes;
mod substitute;
mod tree;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::literals::Rewritten;
use crate::parameters::{ParameterError, Parameters};
use crate::platform_tables::PlatformTable;
use crate::relation::RelationName;

/// Relations over chains that a query names, each with the byte of the user's text at which it first stands. They are spelled as
/// relations are: whether they are there, [`crate::scope`] says.
pub type NamedRelations = BTreeMap<RelationName, Option<u64>>;

/// Tables of the platform's own that a query names, likewise.
pub type NamedTables = BTreeMap<&'static PlatformTable, Option<u64>>;

/// Longest tree that is read: reading one takes ten times its length, and a text of 256 KiB may have one of 20 MB.
pub const MAX_TREE_BYTES: usize = 16 << 20;

/// All that a query names.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Named {
    /// Relations over chains.
    pub relations: NamedRelations,
    /// The platform's own tables.
    pub tables: NamedTables,
}

/// What comes with a tree.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The text that the tree was made of; the tree's places become places in the user's text.
    pub statement: &'a Rewritten<'a>,
    /// Values of the parameters.
    pub parameters: &'a Parameters,
    /// The present, for plan and run alike.
    pub now: DateTime<Utc>,
}

/// A tree that may run. Only [`check`] makes one.
#[derive(Clone, Debug)]
pub struct CheckedTree {
    text: String,
    tree: Value,
    named: Named,
}

impl CheckedTree {
    /// The tree as the parser wrote it, byte for byte, unless something in it was replaced by a constant.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All that the query names.
    pub fn named(&self) -> &Named {
        &self.named
    }

    /// Relations over chains that the query names.
    pub fn relations(&self) -> &NamedRelations {
        &self.named.relations
    }

    /// Tables of the platform's own that the query names.
    pub fn tables(&self) -> &NamedTables {
        &self.named.tables
    }

    /// Whether the query may still depend on the time at which it is planned: on a name of the clock that no constant
    /// stands for exactly. Says yes too often rather than too seldom.
    pub fn reads_the_clock(&self) -> bool {
        substitute::reads_the_clock(&self.tree)
    }

    /// Byte of the user's text at which `name` first stands as a column, a function or a relation.
    pub fn position_of(&self, name: &str) -> Option<u64> {
        tree::position_of(&self.tree, name)
    }
}

/// Checks `text`, a tree of one or more statements, with constants in the place of parameters and of the present.
///
/// # Errors
/// [`Refusal`] for the first thing that is not allowed.
pub fn check(text: String, given: &Given<'_>) -> Result<CheckedTree, Refusal> {
    if text.len() > MAX_TREE_BYTES {
        return Err(Refusal::TooManyParts);
    }
    let mut tree: Value = serde_json::from_str(&text).map_err(|_| Refusal::Unreadable)?;
    let is_changed = substitute::substitute(&mut tree, given)?;
    let named = tree::walk(&tree)?;
    let text = if is_changed { tree.to_string() } else { text };
    Ok(CheckedTree { text, tree, named })
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
    /// The tree is longer than is read.
    #[error("the query has too many parts: put long lists into fewer queries, or compare with ranges")]
    TooManyParts,
    /// A relation that is none of ours.
    #[error(
        "there is no relation {name:?}; the relations are blocks, transactions, logs and traces, \
         each also of one chain, as in monad.logs, and those of schema isotherm, as isotherm.tasks"
    )]
    Relation {
        /// Its name as written.
        name: String,
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
    /// Parameters and their values do not fit.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
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
            Self::StatementCount { .. }
            | Self::Unreadable
            | Self::TooManyParts
            | Self::Name { .. }
            | Self::Parameter(_) => None,
            Self::Relation { position, .. }
            | Self::Function { position, .. }
            | Self::TableFunction { position, .. }
            | Self::Construct { position, .. }
            | Self::Unknown { position, .. } => *position,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_would_take_hundreds_of_megabytes_is_not_read() {
        let statement = crate::literals::rewrite("select 1").unwrap();
        let given = Given { statement: &statement, parameters: &Parameters::default(), now: DateTime::UNIX_EPOCH };
        let refusal = |text: String| check(text, &given).unwrap_err();
        assert_eq!(refusal(" ".repeat(MAX_TREE_BYTES + 1)), Refusal::TooManyParts);
        assert_eq!(refusal(" ".repeat(MAX_TREE_BYTES)), Refusal::Unreadable);
    }
}
