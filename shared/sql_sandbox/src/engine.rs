//! DuckDB instances: a locked one that parses and plans, and one that runs the query.

use duckdb::{Config, Connection};
use serde::Deserialize;

use crate::error::{SandboxError, read_user_error};
use crate::functions;
use isotherm_types::sandbox::{DUCKDB_VERSION, Failure, FailureReason, Limits, Spill};

/// Opens an instance in memory that installs and loads nothing by itself and holds nothing but the functions for chain
/// data; and the extension for cold files, where `limits` name it.
///
/// The signature of the extension is not looked at: that costs 100 ms of CPU time a query, and the file is one that was checked when it
/// was packed and that this process cannot write. No other one is taken without a signature afterwards.
///
/// # Errors
/// [`SandboxError::Version`] if the library is not the pinned one; else [`SandboxError::Engine`], also if it does not take
/// the extension.
pub fn open(limits: &Limits) -> Result<Connection, SandboxError> {
    let connection = open_with(limits, &[("allow_unsigned_extensions", "true".to_owned())])?;
    if let Some(path) = &limits.httpfs {
        let sql = format!("LOAD {}; SET enable_http_metadata_cache = true;", literal(path));
        connection.execute_batch(&sql).map_err(SandboxError::engine("load httpfs"))?;
    }
    let signed_only = "SET allow_unsigned_extensions = false;";
    connection.execute_batch(signed_only).map_err(SandboxError::engine("have signatures looked at"))?;
    Ok(connection)
}

fn open_with(limits: &Limits, more: &[(&'static str, String)]) -> Result<Connection, SandboxError> {
    let settings = [
        ("autoinstall_known_extensions", "false".to_owned()),
        ("autoload_known_extensions", "false".to_owned()),
        ("allow_community_extensions", "false".to_owned()),
        ("allow_persistent_secrets", "false".to_owned()),
        ("memory_limit", format!("{}B", limits.memory_bytes)),
        ("threads", limits.threads.max(1).to_string()),
        ("temp_directory", String::new()),
    ];
    let config = settings
        .iter()
        .chain(more)
        .try_fold(Config::default(), |config, (name, value)| config.with(name, value))
        .map_err(SandboxError::engine("configure DuckDB"))?;
    let connection = Connection::open_in_memory_with_flags(config).map_err(SandboxError::engine("open DuckDB"))?;
    let found = connection.version().map_err(SandboxError::engine("ask DuckDB for its version"))?;
    if found != DUCKDB_VERSION {
        return Err(SandboxError::Version { found, expected: DUCKDB_VERSION });
    }
    let mut sql = "SET TimeZone = 'UTC'; SET errors_as_json = true; SET enable_progress_bar = false;".to_owned();
    if let Some(Spill { folder, bytes }) = &limits.spill {
        // Given at the opening, the size would be shown but not kept (DuckDB 1.5.5).
        let folder = literal(folder);
        sql.push_str(&format!(" SET temp_directory = {folder}; SET max_temp_directory_size = '{bytes}B';"));
    }
    connection.execute_batch(&sql).map_err(SandboxError::engine("configure DuckDB"))?;
    functions::register(&connection)?;
    Ok(connection)
}

/// Opens an instance that reads no file from the start: for parsing and planning.
///
/// # Errors
/// As [`open`].
pub fn open_locked(limits: &Limits) -> Result<Connection, SandboxError> {
    // One thread: it runs nothing.
    let connection = open_with(limits, &[("threads", "1".to_owned())])?;
    connection.execute_batch("SET enable_external_access = false;").map_err(SandboxError::engine("lock DuckDB"))?;
    Ok(connection)
}

/// Returns DuckDB's tree of `sql`, as JSON text. Runs nothing.
///
/// # Errors
/// [`SandboxError::Query`] with [`FailureReason::Syntax`] and a position if the text does not parse, with
/// [`FailureReason::NotAQuery`] if it is anything else than SELECT.
pub fn parse(connection: &Connection, sql: &str) -> Result<String, SandboxError> {
    let tree: String = connection
        .query_row("SELECT json_serialize_sql(?::VARCHAR)", [sql], |row| row.get(0))
        .map_err(|error| read_user_error(&error, ""))?;
    match refusal(&tree) {
        Some(failure) => Err(SandboxError::Query(failure)),
        None => Ok(tree),
    }
}

/// What `json_serialize_sql` answers, as far as it is read here: a tree of twenty megabytes is passed over.
#[derive(Deserialize)]
struct Serialized {
    error: bool,
    error_type: Option<String>,
    error_message: Option<String>,
    position: Option<String>,
}

/// The failure that `json_serialize_sql` reports inside its answer.
fn refusal(tree: &str) -> Option<Failure> {
    // A tree too deep for this reader, or with a number that JSON has not, is left for the parent to refuse.
    let Serialized { error, error_type, error_message, position } = serde_json::from_str(tree).ok()?;
    if !error {
        return None;
    }
    let is_parser = error_type.as_deref() == Some("parser");
    Some(Failure {
        reason: if is_parser { FailureReason::Syntax } else { FailureReason::NotAQuery },
        message: error_message.unwrap_or_else(|| "the engine gave no reason".to_owned()),
        position: position.and_then(|position| position.parse().ok()),
        near: None,
    })
}

/// Returns the SQL text of a tree.
///
/// # Errors
/// [`SandboxError::Query`] if the tree is none of DuckDB's.
pub fn text_of(connection: &Connection, tree: &str) -> Result<String, SandboxError> {
    connection
        .query_row("SELECT json_deserialize_sql(?::JSON)", [tree], |row| row.get(0))
        .map_err(|error| read_user_error(&error, ""))
}

/// Puts a name between double quotes.
///
/// # Errors
/// [`SandboxError::Protocol`] unless it is made of lower-case letters, digits and `_`.
pub(crate) fn identifier(name: &str) -> Result<String, SandboxError> {
    let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if name.is_empty() || !plain {
        return Err(SandboxError::Protocol { what: "a name holds other than lower-case letters, digits and _" });
    }
    Ok(format!("\"{name}\""))
}

/// Checks the spelling of a column's type.
///
/// # Errors
/// [`SandboxError::Protocol`] if it holds other than letters, digits, spaces, commas and parentheses.
pub(crate) fn sql_type(text: &str) -> Result<&str, SandboxError> {
    let plain = text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b' ' | b',' | b'(' | b')'));
    if text.is_empty() || !plain {
        return Err(SandboxError::Protocol { what: "a type is not spelled as a type" });
    }
    Ok(text)
}

/// Writes a text literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
