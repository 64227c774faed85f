//! Finds out what a query reads, before anything is fetched: `EXPLAIN` over empty tables with the right columns.
//!
//! What comes out is only used to fetch less; DuckDB applies every filter again when the query runs.

use duckdb::Connection;
use serde_json::Value;

use crate::engine::text_of;
use crate::error::{SandboxError, read_user_error};
use crate::relations::{self, Shown};
use isotherm_types::sandbox::{Relation, Scan};

/// Schema of the empty tables behind the views.
const STUB_SCHEMA: &str = "isotherm_stub";

/// Begins the name of each of them.
const STUB: &str = "relation_";

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
    collect(&plan, relations, &mut found);
    Ok(found)
}

/// Without these two optimizers off, scans of empty tables vanish from the plan. A stub is called by the place of its
/// relation in the list.
fn stubs(relations: &[Relation]) -> Result<String, SandboxError> {
    let mut sql = format!(
        "SET disabled_optimizers = 'statistics_propagation,empty_result_pullup'; CREATE SCHEMA {STUB_SCHEMA};\n"
    );
    let all = Shown { chain_id: None, columns: None };
    for (i, relation) in relations.iter().enumerate() {
        sql.push_str(&relations::create_schema(relation)?);
        sql.push_str(&format!(
            "CREATE TABLE {STUB_SCHEMA}.{STUB}{i} ({}); CREATE VIEW {} AS SELECT {} FROM {STUB_SCHEMA}.{STUB}{i};\n",
            relations::definitions(&relation.columns)?,
            relations::qualified(relation)?,
            relations::list(relation, &all)?,
        ));
    }
    Ok(sql)
}

fn collect(node: &Value, relations: &[Relation], found: &mut Vec<Scan>) {
    match node {
        Value::Array(nodes) => nodes.iter().for_each(|node| collect(node, relations, found)),
        Value::Object(fields) => {
            found.extend(fields.get("extra_info").and_then(|info| scan(info, relations)));
            if let Some(children) = fields.get("children") {
                collect(children, relations, found);
            }
        }
        _ => {}
    }
}

fn scan(info: &Value, relations: &[Relation]) -> Option<Scan> {
    let table = info.get("Table")?.as_str()?;
    let (_, place) = table.rsplit_once(&format!("{STUB_SCHEMA}.{STUB}"))?;
    Some(Scan {
        relation: relations.get(place.parse::<usize>().ok()?)?.full_name(),
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
