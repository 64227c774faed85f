//! The relations of the instance that runs the query: hot rows in tables, cold files behind them, views over both. Rows of
//! the platform's own tables come as hot ones do.
//!
//! A view is one branch for the hot rows of each chain, and one for each group of its cold files. Each branch shows the
//! chain as a constant, so that the planner drops those of chains that a query does not ask for.

use std::io::Cursor;

use arrow::ipc::reader::StreamReader;
use duckdb::Connection;

use crate::engine::{identifier, literal, sql_type};
use crate::error::SandboxError;
use crate::relations::{self, Shown};
use isotherm_types::sandbox::{
    BLOCK_TIME, ColdGroup, Limits, Part, Relation, RelationColumn, Source, TIMESTAMP, port_of,
};

/// Schema of the tables with rows that the parent sends.
const HOT_SCHEMA: &str = "isotherm_hot";

/// Makes the hot tables and the views, in an instance of [`crate::engine::open`] with the same `limits`. Reads no file yet.
///
/// # Errors
/// [`SandboxError::Protocol`] if there are cold files and no `httpfs` to read them with, or if one lies behind a port that
/// the process has given up.
pub fn prepare(connection: &Connection, limits: &Limits, sources: &[Source]) -> Result<(), SandboxError> {
    let mut urls = urls(sources).peekable();
    if urls.peek().is_some() && limits.httpfs.is_none() {
        return Err(SandboxError::Protocol { what: "cold files need the httpfs extension" });
    }
    if urls.any(|url| !port_of(url).is_some_and(|port| limits.ports.contains(&port))) {
        return Err(SandboxError::Protocol { what: "a cold file lies behind a port that was not named" });
    }
    let mut sql = format!("CREATE SCHEMA {HOT_SCHEMA};\n");
    for source in sources {
        for part in &source.parts {
            sql.push_str(&hot_table(&source.relation, part)?);
        }
        sql.push_str(&relations::create_schema(&source.relation)?);
        sql.push_str(&view(source)?);
    }
    connection.execute_batch(&sql).map_err(SandboxError::engine("make the relations"))
}

/// Appends an IPC stream of rows to a hot table.
///
/// # Errors
/// If the bytes are no IPC stream, or their columns are not those announced.
pub fn append(connection: &Connection, hot_table: &str, stream: Vec<u8>) -> Result<(), SandboxError> {
    identifier(hot_table)?;
    let mut appender =
        connection.appender_to_db(hot_table, HOT_SCHEMA).map_err(SandboxError::engine("open a hot table"))?;
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
    let urls = urls(sources).map(|url| literal(url)).collect::<Vec<_>>().join(", ");
    // The secret manager wants its folder on first use, even with persistent secrets off: wake it before the lock.
    let sql = format!(
        "FROM duckdb_secrets(); SET allowed_paths = [{urls}]; SET enable_external_access = false; \
         SET lock_configuration = true;"
    );
    connection.execute_batch(&sql).map_err(SandboxError::engine("lock DuckDB"))
}

fn urls(sources: &[Source]) -> impl Iterator<Item = &String> {
    sources.iter().flat_map(|source| &source.parts).flat_map(|part| &part.cold).flat_map(|group| &group.urls)
}

/// Two relations may show the same rows; the table is made once.
fn hot_table(relation: &Relation, part: &Part) -> Result<String, SandboxError> {
    let columns = part.hot_columns.iter().map(|name| column(relation, name)).collect::<Result<Vec<_>, _>>()?;
    let table = identifier(&part.hot_table)?;
    Ok(format!("CREATE TABLE IF NOT EXISTS {HOT_SCHEMA}.{table} ({});\n", relations::definitions(columns)?))
}

fn view(source: &Source) -> Result<String, SandboxError> {
    let relation = &source.relation;
    let mut branches = Vec::new();
    for part in &source.parts {
        branches.push(hot_branch(relation, part)?);
        for group in &part.cold {
            branches.push(cold_branch(relation, part, group)?);
        }
    }
    if branches.is_empty() {
        branches.push(no_rows(relation)?);
    }
    Ok(format!("CREATE VIEW {} AS {};\n", relations::qualified(relation)?, branches.join("\nUNION ALL\n")))
}

fn hot_branch(relation: &Relation, part: &Part) -> Result<String, SandboxError> {
    let shown = Shown { chain_id: part.chain_id, columns: Some(&part.hot_columns) };
    let table = identifier(&part.hot_table)?;
    Ok(format!("SELECT {} FROM {HOT_SCHEMA}.{table}", relations::list(relation, &shown)?))
}

/// With the schema given, binding asks the object store for nothing; the constant range lets the planner drop the
/// whole branch, and holds back rows above the last block that may be seen.
fn cold_branch(relation: &Relation, part: &Part, group: &ColdGroup) -> Result<String, SandboxError> {
    let mut schema = Vec::new();
    for column in &relation.columns {
        schema.push(format!(
            "{name}: {{'name': {name}, 'type': {sql_type}, 'default_value': NULL}}",
            name = literal(&column.name),
            sql_type = literal(sql_type(&column.sql_type)?),
        ));
    }
    let shown = Shown { chain_id: part.chain_id, columns: None };
    Ok(format!(
        "SELECT {} FROM read_parquet([{}], schema = MAP {{{}}}) WHERE block_number BETWEEN {} AND {}",
        relations::list(relation, &shown)?,
        group.urls.iter().map(|url| literal(url)).collect::<Vec<_>>().join(", "),
        schema.join(", "),
        group.first_block,
        group.last_block,
    ))
}

/// A relation that no chain gives rows to.
fn no_rows(relation: &Relation) -> Result<String, SandboxError> {
    let computed = RelationColumn { name: BLOCK_TIME.to_owned(), sql_type: "TIMESTAMP".to_owned() };
    let has_time = relation.columns.iter().any(|column| column.name == TIMESTAMP);
    let columns = relation.columns.iter().chain(has_time.then_some(&computed));
    let nothing = |column: &RelationColumn| -> Result<String, SandboxError> {
        Ok(format!("CAST(NULL AS {}) AS {}", sql_type(&column.sql_type)?, identifier(&column.name)?))
    };
    Ok(format!("SELECT {} WHERE false", columns.map(nothing).collect::<Result<Vec<_>, _>>()?.join(", ")))
}

fn column<'a>(relation: &'a Relation, name: &str) -> Result<&'a RelationColumn, SandboxError> {
    relation
        .columns
        .iter()
        .find(|candidate| candidate.name == name)
        .ok_or(SandboxError::Protocol { what: "a hot column is none of the relation's" })
}
