//! What there is to ask for: relations and their columns, as the platform defines them.

use isotherm_types::Dataset;

use super::words::{BLOCK_TIME, Relation};
use crate::output;

/// The relations as a table.
pub(super) fn relations() -> String {
    let mut table = output::table(&["relation", "columns", "one row"], &["columns"]);
    for relation in Relation::all() {
        let row = match relation {
            Relation::Chains(Dataset::Blocks) => "a block: its header",
            Relation::Chains(Dataset::Transactions) => "a transaction, with what its receipt says",
            Relation::Chains(Dataset::Logs) => "a log",
            Relation::Chains(Dataset::Traces) => "a call frame",
            Relation::Platform(table) => table.doc,
        };
        table.add_row([relation.name().as_str(), &relation.columns().len().to_string(), row]);
    }
    table.to_string()
}

/// The columns of the relation called `name` as a table.
///
/// # Errors
/// A sentence, if there is none of this name.
pub(super) fn columns(name: &str) -> Result<String, String> {
    let (schema, plain) = name.split_once('.').map_or((None, name), |(schema, name)| (Some(schema), name));
    let relation = Relation::named(schema, plain).ok_or_else(|| {
        format!("there is no relation {name:?}; \\d lists them: blocks, logs, isotherm.tasks and more")
    })?;
    let mut table = output::table(&["column", "type", "null", "what it holds"], &[]);
    let null = |nullable| if nullable { "may be" } else { "" };
    match relation {
        Relation::Chains(dataset) => {
            for column in dataset.columns() {
                table.add_row([column.name, column.column_type.sql(), null(column.nullable), column.doc]);
            }
            table.add_row([BLOCK_TIME, "TIMESTAMP", "", "time of the block, UTC"]);
        }
        Relation::Platform(own) => {
            for column in own.columns {
                table.add_row([column.name, column.column_type.sql(), null(column.nullable), column.doc]);
            }
        }
    }
    Ok(table.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_relation_and_every_column_is_shown() {
        let all = relations();
        for relation in Relation::all() {
            assert!(all.contains(&relation.name()));
            let shown = columns(&relation.name().to_uppercase()).unwrap();
            for name in relation.columns() {
                assert!(shown.contains(name), "{}.{name}", relation.name());
            }
        }
        for nothing in ["nope", "isotherm.nope", "tasks"] {
            assert!(columns(nothing).unwrap_err().contains("isotherm.tasks"), "{nothing}");
        }
    }
}
