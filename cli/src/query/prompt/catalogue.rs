//! What there is to ask for: relations and their columns, as the platform defines them.

use isotherm_types::Dataset;

use super::words::{self, BLOCK_TIME};
use crate::output;

/// The relations as a table.
pub(super) fn relations() -> String {
    let mut table = output::table(&["relation", "columns", "one row"], &["columns"]);
    for dataset in Dataset::ALL {
        let row = match dataset {
            Dataset::Blocks => "a block: its header",
            Dataset::Transactions => "a transaction, with what its receipt says",
            Dataset::Logs => "a log",
            Dataset::Traces => "a call frame",
        };
        table.add_row([dataset.as_str(), &words::columns(dataset).count().to_string(), row]);
    }
    table.to_string()
}

/// The columns of the relation called `name` as a table.
///
/// # Errors
/// A sentence, if there is none of this name.
pub(super) fn columns(name: &str) -> Result<String, String> {
    let dataset = words::relation(name)
        .ok_or_else(|| format!("there is no relation {name:?}; there are blocks, transactions, logs and traces"))?;
    let mut table = output::table(&["column", "type", "null", "what it holds"], &[]);
    for column in dataset.columns() {
        let null = if column.nullable { "may be" } else { "" };
        table.add_row([column.name, column.column_type.sql(), null, column.doc]);
    }
    table.add_row([BLOCK_TIME, "TIMESTAMP", "", "time of the block, UTC"]);
    Ok(table.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_relation_and_every_column_is_shown() {
        let all = relations();
        for dataset in Dataset::ALL {
            assert!(all.contains(dataset.as_str()));
            let shown = columns(&dataset.as_str().to_uppercase()).unwrap();
            for name in words::columns(dataset) {
                assert!(shown.contains(name), "{dataset}.{name}");
            }
        }
        assert!(columns("nope").unwrap_err().contains("traces"));
    }
}
