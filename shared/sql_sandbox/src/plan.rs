//! Finds out what a query reads, before anything is fetched: `EXPLAIN` over empty tables with the right columns.
//!
//! What comes out is only used to fetch less; DuckDB applies every filter again when the query runs.

use duckdb::Connection;
use serde_json::Value;

use crate::engine::{identifier, sql_type, text_of};
use crate::error::{SandboxError, read_user_error};
use isotherm_types::sandbox::{Relation, Scan};

/// Schema of the empty tables behind the views.
const STUB_SCHEMA: &str = "isotherm_stub";

/// Plans `tree` over empty relations and returns every scan in the plan.
///
/// # Errors
/// [`SandboxError::Query`] if the tree does not bind: an unknown column, function or relation, types that do not fit.
pub fn scans(connection: &Connection, tree: &str, relations: &[Relation]) -> Result<Vec<Scan>, SandboxError> {
    connection.execute_batch(&stubs(relations)?).map_err(SandboxError::engine("make stub relations"))?;
    let explain = format!("EXPLAIN (FORMAT json) {}", text_of(connection, tree)?);
    let plan: String =
        connection.query_row(&explain, [], |row| row.get(1)).map_err(|error| read_user_error(&error, &explain))?;
    let plan: Value = serde_json::from_str(&plan)
        .map_err(|_| SandboxError::Protocol { what: "the plan is not JSON or is too deep" })?;
    let mut found = Vec::new();
    collect(&plan, &mut found);
    Ok(found)
}

/// Without these two optimizers off, scans of empty tables vanish from the plan.
fn stubs(relations: &[Relation]) -> Result<String, SandboxError> {
    let mut sql = format!(
        "SET disabled_optimizers = 'statistics_propagation,empty_result_pullup'; CREATE SCHEMA {STUB_SCHEMA};\n"
    );
    for relation in relations {
        let name = identifier(&relation.name)?;
        let columns = relation
            .columns
            .iter()
            .map(|column| Ok(format!("{} {}", identifier(&column.name)?, sql_type(&column.sql_type)?)))
            .collect::<Result<Vec<_>, SandboxError>>()?
            .join(", ");
        sql.push_str(&format!(
            "CREATE TABLE {STUB_SCHEMA}.{name} ({columns}); CREATE VIEW {name} AS FROM {STUB_SCHEMA}.{name};\n"
        ));
    }
    Ok(sql)
}

fn collect(node: &Value, found: &mut Vec<Scan>) {
    match node {
        Value::Array(nodes) => nodes.iter().for_each(|node| collect(node, found)),
        Value::Object(fields) => {
            found.extend(fields.get("extra_info").and_then(scan));
            if let Some(children) = fields.get("children") {
                collect(children, found);
            }
        }
        _ => {}
    }
}

fn scan(info: &Value) -> Option<Scan> {
    let table = info.get("Table")?.as_str()?;
    let (_, relation) = table.rsplit_once(&format!("{STUB_SCHEMA}."))?;
    Some(Scan {
        relation: relation.to_owned(),
        columns: texts(info.get("Projections")),
        filters: texts(info.get("Filters")),
    })
}

/// One text, several or none: a plan writes a list of one as the text alone, and an empty one as an empty text.
fn texts(value: Option<&Value>) -> Vec<String> {
    let owned = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match value {
        Some(Value::Array(values)) => values.iter().filter_map(owned).collect(),
        Some(value) => owned(value).into_iter().collect(),
        None => Vec::new(),
    }
}
