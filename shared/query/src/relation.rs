//! The relations over chains that SQL can name: a dataset over all chains, or that of one chain. Pure.

use std::fmt;

use isotherm_cold_store::layout::ChainName;
use isotherm_types::sandbox::{PLATFORM_SCHEMA, Relation, RelationColumn};
use isotherm_types::{ChainId, Dataset};

/// Schemas and databases of the sandbox's own, and the schema of the platform's own tables. A chain that is called so can
/// be read through `chain_id` only.
const NOT_CHAINS: [&str; 9] = [
    PLATFORM_SCHEMA,
    "information_schema",
    "isotherm_hot",
    "isotherm_stub",
    "main",
    "memory",
    "pg_catalog",
    "system",
    "temp",
];

/// `logs` over all chains, or `monad.logs` of one. That it is spelled well says nothing of whether it is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelationName {
    /// Its chain; `None` for all that may be read.
    pub chain: Option<ChainName>,
    /// What it shows of them.
    pub dataset: Dataset,
}

impl RelationName {
    /// Takes a name as SQL has it; `schema` is empty for a relation over all chains. The case of ASCII letters does not
    /// matter, as in DuckDB. `None` if it cannot be a relation of ours.
    pub fn of(schema: &str, name: &str) -> Option<Self> {
        let dataset = name.to_ascii_lowercase().parse().ok()?;
        let schema = schema.to_ascii_lowercase();
        if NOT_CHAINS.contains(&schema.as_str()) {
            return None;
        }
        let chain = if schema.is_empty() { None } else { Some(ChainName::new(&schema).ok()?) };
        Some(Self { chain, dataset })
    }

    /// Takes a name as a plan has it, the schema before a dot.
    pub fn of_full_name(name: &str) -> Option<Self> {
        let (schema, name) = name.split_once('.').unwrap_or(("", name));
        Self::of(schema, name)
    }

    /// How the sandbox is told of it.
    pub fn describe(&self) -> Relation {
        let columns = self.dataset.columns().iter().map(|column| RelationColumn {
            name: column.name.to_owned(),
            sql_type: column.column_type.sql().to_owned(),
        });
        Relation {
            schema: self.chain.as_ref().map(|chain| chain.as_str().to_owned()),
            name: self.dataset.as_str().to_owned(),
            columns: columns.collect(),
        }
    }
}

impl fmt::Display for RelationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.chain {
            Some(chain) => write!(f, "{chain}.{}", self.dataset),
            None => self.dataset.fmt(f),
        }
    }
}

/// The sandbox's table of the hot rows of one dataset of a chain.
pub fn hot_table(chain_id: ChainId, dataset: Dataset) -> String {
    format!("{dataset}_{chain_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dataset_with_or_without_a_chain() {
        for (schema, name, expected) in [
            ("", "Logs", Some("logs")),
            ("Monad", "LOGS", Some("monad.logs")),
            ("monad-testnet_2", "traces", Some("monad-testnet_2.traces")),
            ("", "nothing", None),
            ("monad", "nothing", None),
            ("-x", "logs", None),
            ("a b", "logs", None),
            ("a\"b", "logs", None),
            // The sign of the kelvin, whose lower case is a k to Unicode and not to DuckDB.
            ("", "bloc\u{212A}s", None),
            ("\u{212A}ava", "logs", None),
        ] {
            let found = RelationName::of(schema, name);
            assert_eq!(found.as_ref().map(RelationName::to_string).as_deref(), expected, "{schema}.{name}");
            if let Some(found) = found {
                assert_eq!(RelationName::of_full_name(&found.describe().full_name()), Some(found));
            }
        }
        for schema in NOT_CHAINS {
            assert_eq!(RelationName::of(schema, "logs"), None, "{schema}");
            assert_eq!(RelationName::of(&schema.to_uppercase(), "logs"), None, "{schema}");
        }
    }
}
