//! Runs any SQL, past the gate, in an engine that is locked or open, in a process that is confined or bare.
//!
//! No part of the product: the experiment `sql_escapes` asks with it what each layer holds alone. Its words are
//! `locked` or `open`, and `confined` or `bare`. On standard input come frames: the messages `open` and `prepare`, then
//! one JSON text an attempt, each of which runs in an instance of its own. The answers are frames too: `opened`, then
//! `{"answered": …, "text": …}` an attempt, in which everything stands that came out of it.

use std::process::ExitCode;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use duckdb::Connection;
use isotherm_sql_sandbox::frames::{self, Frame};
use isotherm_sql_sandbox::{SandboxError, confine, engine, limits, sources};
use isotherm_types::sandbox::{DUCKDB_VERSION, KIND_JSON, Limits, Request, Response, Source};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [engine @ ("locked" | "open"), process @ ("confined" | "bare")] => {
            serve(*engine == "locked", *process == "confined")
        }
        _ => Err(SandboxError::Protocol { what: "the words are: locked or open, confined or bare" }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.failure().message);
            ExitCode::FAILURE
        }
    }
}

fn serve(is_locked: bool, is_confined: bool) -> Result<(), SandboxError> {
    if is_confined {
        confine::close_inherited()?;
    }
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let Some(Request::Open(limits)) = frames::read_request(&mut input)? else { return Err(OUT_OF_TURN) };
    let Some(Request::Prepare { sources }) = frames::read_request(&mut input)? else { return Err(OUT_OF_TURN) };
    let mut open_doors = Vec::new();
    if is_confined {
        // As the product's session does it, in the same order.
        limits::apply(&limits)?;
        open_doors = confine::files(&limits)?;
        confine::connections(&limits.ports, &open_doors)?;
    }
    let opened = Response::Opened { version: DUCKDB_VERSION.to_owned(), open_doors };
    frames::write_response(&mut output, &opened)?;
    while let Some(frame) = frames::read(&mut input)? {
        let Frame::Json(payload) = frame else { return Err(OUT_OF_TURN) };
        let sql: String = serde_json::from_slice(&payload).map_err(|_| OUT_OF_TURN)?;
        let connection = open(&limits, &sources, is_locked)?;
        let (answered, text) = match rows(&connection, &sql) {
            Ok(text) => (true, text),
            Err(error) => (false, error.to_string()),
        };
        let outcome = serde_json::json!({"answered": answered, "text": text});
        frames::write(&mut output, KIND_JSON, outcome.to_string().as_bytes())?;
    }
    Ok(())
}

const OUT_OF_TURN: SandboxError = SandboxError::Protocol { what: "a message came out of turn" };

fn open(limits: &Limits, sources: &[Source], is_locked: bool) -> Result<Connection, SandboxError> {
    let connection = engine::open(limits)?;
    sources::prepare(&connection, limits, sources)?;
    // An address that does not answer is asked once: hundreds of attempts have to end.
    connection
        .execute_batch("SET http_retries = 0; SET http_timeout = 2;")
        .map_err(|source| SandboxError::Engine { step: "shorten the time for connections", source })?;
    if is_locked {
        sources::lock(&connection, sources)?;
    }
    Ok(connection)
}

/// Runs all statements of `sql` and writes the rows of the last.
fn rows(connection: &Connection, sql: &str) -> Result<String, duckdb::Error> {
    let mut statement = connection.prepare(sql)?;
    let batches: Vec<RecordBatch> = statement.query_arrow([])?.collect();
    Ok(pretty_format_batches(&batches).map_or_else(|error| error.to_string(), |table| table.to_string()))
}
