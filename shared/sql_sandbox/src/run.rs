//! Runs a checked tree and streams its rows, with an eye on the clock.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use arrow::array::RecordBatch;
use duckdb::{Connection, InterruptHandle};

use crate::engine::text_of;
use crate::error::{SandboxError, read_user_error};
use crate::frames;
use crate::row_frames::{RowFrames, halves};
use isotherm_types::sandbox::{RelationColumn, Response};

/// How long an interrupt may take to land before the process ends itself. The parent's hard kill comes after it
/// (`HARD_KILL_AFTER` in `shared/query/src/engine.rs`).
const INTERRUPT_GRACE: Duration = Duration::from_millis(200);

/// Exit status of a process that ended itself at its time-out.
const EXIT_TIMED_OUT: i32 = 124;

/// Where an answer is cut off.
#[derive(Clone, Copy, Debug)]
pub struct AnswerLimits {
    /// Rows at most.
    pub max_rows: u64,
    /// Bytes of Arrow IPC at most.
    pub max_bytes: u64,
    /// Time at most.
    pub timeout: Duration,
}

/// Runs `tree` on a locked instance: writes `columns`, the rows as Arrow IPC, and `done`.
///
/// # Errors
/// [`SandboxError::Query`] if the query fails, is interrupted at the time-out, or has a row that is too large.
pub fn answer(
    connection: &Connection,
    tree: &str,
    limits: AnswerLimits,
    output: &mut impl Write,
) -> Result<(), SandboxError> {
    let _watch = Watch::start(connection.interrupt_handle(), limits.timeout);
    let sql = text_of(connection, tree)?;
    let columns = describe(connection, &sql)?;
    frames::write_response(output, &Response::Columns { columns: columns.clone() })?;

    let wrapped = in_plain_types(&sql, &columns);
    let mut statement = connection.prepare(&wrapped).map_err(|error| read_user_error(&error, &wrapped))?;
    drop(statement.stream_arrow([]).map_err(|error| read_user_error(&error, &wrapped))?);
    let mut row_frames = RowFrames::begin(&statement.schema(), output)?;
    let (mut rows, mut bytes, mut truncated) = (0u64, 0u64, false);
    'answer: while let Some(chunk) = statement.step().map_err(|error| read_user_error(&error, &wrapped))? {
        // What is next stands last.
        let mut pieces = vec![RecordBatch::from(&chunk)];
        while let Some(piece) = pieces.pop() {
            let room = usize::try_from(limits.max_rows - rows).unwrap_or(usize::MAX);
            truncated = piece.num_rows() > room || bytes > limits.max_bytes;
            if truncated {
                break 'answer;
            }
            match row_frames.write(&piece)? {
                Some(frame_bytes) => {
                    rows += piece.num_rows() as u64;
                    bytes += frame_bytes;
                }
                None => {
                    let [first, second] = halves(&piece)?;
                    pieces.extend([second, first]);
                }
            }
        }
    }
    row_frames.finish()?;
    frames::write_response(output, &Response::Done { rows, truncated })
}

/// Names and types of the answer's columns, in DuckDB's words.
fn describe(connection: &Connection, sql: &str) -> Result<Vec<RelationColumn>, SandboxError> {
    let describe = format!("DESCRIBE {sql}");
    let read = || -> Result<Vec<RelationColumn>, duckdb::Error> {
        let mut statement = connection.prepare(&describe)?;
        let rows = statement.query_map([], |row| Ok(RelationColumn { name: row.get(0)?, sql_type: row.get(1)? }))?;
        rows.collect()
    };
    read().map_err(|error| read_user_error(&error, &describe))
}

/// Wraps a query so that only types with an exact Arrow form leave the engine; all others leave as text.
fn in_plain_types(sql: &str, columns: &[RelationColumn]) -> String {
    let names: Vec<String> = (0..columns.len()).map(|i| format!("c{i}")).collect();
    let values: Vec<String> = names.iter().zip(columns).map(|(name, column)| plain(name, &column.sql_type)).collect();
    format!("SELECT {} FROM ({sql}) AS answer({})", values.join(", "), names.join(", "))
}

fn plain(name: &str, sql_type: &str) -> String {
    match sql_type {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "UTINYINT" | "USMALLINT" | "UINTEGER"
        | "UBIGINT" | "FLOAT" | "DOUBLE" | "VARCHAR" | "BLOB" | "DATE" | "TIMESTAMP" => name.to_owned(),
        decimal if decimal.starts_with("DECIMAL(") => name.to_owned(),
        // Instants leave as their UTC time.
        "TIMESTAMP WITH TIME ZONE" => format!("timezone('UTC', {name})"),
        "TIMESTAMP_S" | "TIMESTAMP_MS" => format!("CAST({name} AS TIMESTAMP)"),
        _ => format!("CAST({name} AS VARCHAR)"),
    }
}

/// Interrupts a query at its time-out, and ends the process if the interrupt does not land. Dropped, it lets go.
struct Watch {
    _done: std::sync::mpsc::Sender<()>,
}

impl Watch {
    fn start(handle: Arc<InterruptHandle>, timeout: Duration) -> Self {
        let (done, stopped) = channel::<()>();
        std::thread::spawn(move || {
            if stopped.recv_timeout(timeout) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            handle.interrupt();
            if stopped.recv_timeout(INTERRUPT_GRACE) == Err(RecvTimeoutError::Timeout) {
                std::process::exit(EXIT_TIMED_OUT);
            }
        });
        Self { _done: done }
    }
}
