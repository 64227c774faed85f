//! The relations of the instance that runs the query: hot rows in tables, cold files behind them, one view over both.

use std::io::Cursor;

use arrow::ipc::reader::StreamReader;
use duckdb::Connection;

use crate::engine::{identifier, literal, sql_type};
use crate::error::SandboxError;
use isotherm_types::sandbox::{ColdGroup, Limits, Relation, Source};

/// Schema of the tables with hot rows.
const HOT_SCHEMA: &str = "isotherm_hot";

/// Makes the hot tables and the views. Loads `httpfs` if there are cold files. Reads no file yet.
///
/// # Errors
/// [`SandboxError::Protocol`] if there are cold files and no path to `httpfs`; [`SandboxError::Engine`] if DuckDB
/// refuses the extension.
pub fn prepare(connection: &Connection, limits: &Limits, sources: &[Source]) -> Result<(), SandboxError> {
    if sources.iter().any(|source| !source.cold.is_empty()) {
        load_httpfs(connection, limits)?;
    }
    let mut sql = format!("CREATE SCHEMA {HOT_SCHEMA};\n");
    for source in sources {
        sql.push_str(&hot_table(source)?);
        sql.push_str(&view(source)?);
    }
    connection.execute_batch(&sql).map_err(SandboxError::engine("make the relations"))
}

/// Appends an IPC stream of rows to a relation's hot table.
///
/// # Errors
/// If the bytes are no IPC stream, or their columns are not those announced.
pub fn append(connection: &Connection, relation: &str, stream: Vec<u8>) -> Result<(), SandboxError> {
    identifier(relation)?;
    let mut appender =
        connection.appender_to_db(relation, HOT_SCHEMA).map_err(SandboxError::engine("open a hot table"))?;
    for batch in StreamReader::try_new(Cursor::new(stream), None)? {
        appender.append_record_batch(batch?).map_err(SandboxError::engine("append hot rows"))?;
    }
    appender.flush().map_err(SandboxError::engine("append hot rows"))
}

/// Takes away every access but to the URLs of `sources`, and the way back.
///
/// # Errors
/// [`SandboxError::Engine`] if a lock does not close; the query must not run then.
pub fn lock(connection: &Connection, sources: &[Source]) -> Result<(), SandboxError> {
    let urls = sources.iter().flat_map(|source| &source.cold).flat_map(|group| &group.urls);
    let urls = urls.map(|url| literal(url)).collect::<Vec<_>>().join(", ");
    // The secret manager wants its folder on first use, even with persistent secrets off: wake it before the lock.
    let sql = format!(
        "FROM duckdb_secrets(); SET allowed_paths = [{urls}]; SET enable_external_access = false; \
         SET lock_configuration = true;"
    );
    connection.execute_batch(&sql).map_err(SandboxError::engine("lock DuckDB"))
}

fn load_httpfs(connection: &Connection, limits: &Limits) -> Result<(), SandboxError> {
    let path =
        limits.httpfs.as_deref().ok_or(SandboxError::Protocol { what: "cold files need the httpfs extension" })?;
    let mut sql = format!("LOAD {}; SET enable_http_metadata_cache = true;", literal(path));
    if let Some(bundle) = &limits.ca_bundle {
        sql.push_str(&format!(" SET ca_cert_file = {}; SET enable_server_cert_verification = true;", literal(bundle)));
    }
    connection.execute_batch(&sql).map_err(SandboxError::engine("load httpfs"))
}

fn hot_table(source: &Source) -> Result<String, SandboxError> {
    let columns = source
        .hot_columns
        .iter()
        .map(|name| Ok(format!("{} {}", identifier(name)?, sql_type(type_of(&source.relation, name)?)?)))
        .collect::<Result<Vec<_>, SandboxError>>()?
        .join(", ");
    Ok(format!("CREATE TABLE {HOT_SCHEMA}.{} ({columns});\n", identifier(&source.relation.name)?))
}

fn view(source: &Source) -> Result<String, SandboxError> {
    let mut branches = vec![hot_branch(source)?];
    for group in &source.cold {
        branches.push(cold_branch(&source.relation, group)?);
    }
    Ok(format!("CREATE VIEW {} AS {};\n", identifier(&source.relation.name)?, branches.join("\nUNION ALL\n")))
}

/// Columns that were not fetched raise an error when they are read, so that a wrong plan is never a wrong answer.
fn hot_branch(source: &Source) -> Result<String, SandboxError> {
    let relation = &source.relation;
    let columns = relation
        .columns
        .iter()
        .map(|column| {
            let name = identifier(&column.name)?;
            if source.hot_columns.contains(&column.name) {
                return Ok(name);
            }
            let words = literal(&format!("{}.{} was not fetched", relation.name, column.name));
            Ok(format!("CAST(error({words}) AS {}) AS {name}", sql_type(&column.sql_type)?))
        })
        .collect::<Result<Vec<_>, SandboxError>>()?
        .join(", ");
    Ok(format!("SELECT {columns} FROM {HOT_SCHEMA}.{}", identifier(&relation.name)?))
}

/// With the schema given, binding asks the object store for nothing; the constant range lets the planner drop the
/// whole branch.
fn cold_branch(relation: &Relation, group: &ColdGroup) -> Result<String, SandboxError> {
    let mut names = Vec::new();
    let mut schema = Vec::new();
    for column in &relation.columns {
        names.push(identifier(&column.name)?);
        schema.push(format!(
            "{name}: {{'name': {name}, 'type': {sql_type}, 'default_value': NULL}}",
            name = literal(&column.name),
            sql_type = literal(sql_type(&column.sql_type)?),
        ));
    }
    Ok(format!(
        "SELECT {} FROM read_parquet([{}], schema = MAP {{{}}}) WHERE block_number BETWEEN {} AND {}",
        names.join(", "),
        group.urls.iter().map(|url| literal(url)).collect::<Vec<_>>().join(", "),
        schema.join(", "),
        group.first_block,
        group.last_block,
    ))
}

fn type_of<'a>(relation: &'a Relation, column: &str) -> Result<&'a str, SandboxError> {
    relation
        .columns
        .iter()
        .find(|candidate| candidate.name == column)
        .map(|column| column.sql_type.as_str())
        .ok_or(SandboxError::Protocol { what: "a hot column is none of the relation's" })
}
