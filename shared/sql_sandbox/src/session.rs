//! One session: messages in their order, one process a query.

use std::io::{Read, Write};
use std::thread::JoinHandle;
use std::time::Duration;

use duckdb::Connection;

use crate::error::SandboxError;
use crate::frames::{self, Frame};
use crate::run::{self, AnswerLimits};
use crate::{confine, engine, limits, plan, sources};
use isotherm_types::sandbox::{DUCKDB_VERSION, Limits, OpenDoor, Request, Response, Source};

/// Serves one session until the parent closes the stream, the query is answered, or something fails.
///
/// # Errors
/// Whatever ended the session early. The parent has been told, if the stream still held.
pub fn serve(input: &mut impl Read, output: &mut impl Write) -> Result<(), SandboxError> {
    let outcome = Session::default().serve(input, output);
    if let Err(error) = &outcome
        && !matches!(error, SandboxError::Stream(_))
    {
        frames::write_response(output, &Response::Failed(error.failure()))?;
    }
    outcome
}

#[derive(Default)]
struct Session {
    limits: Option<Limits>,
    open_doors: Vec<OpenDoor>,
    /// Parses and plans; sees no rows and no files.
    planner: Option<Connection>,
    /// Opens the instance that runs the query, beside the other one.
    opening: Option<JoinHandle<Result<Connection, SandboxError>>>,
    /// Holds the relations and runs the query.
    runner: Option<Runner>,
}

struct Runner {
    connection: Connection,
    sources: Vec<Source>,
}

impl Session {
    fn serve(&mut self, input: &mut impl Read, output: &mut impl Write) -> Result<(), SandboxError> {
        while let Some(request) = frames::read_request(input)? {
            match request {
                Request::Open(limits) => {
                    self.open(limits)?;
                    let open_doors = self.open_doors.clone();
                    let opened = Response::Opened { version: DUCKDB_VERSION.to_owned(), open_doors };
                    frames::write_response(output, &opened)?;
                }
                Request::Parse { sql } => {
                    let tree = engine::parse(self.planner()?, &sql)?;
                    frames::write_response(output, &Response::Parsed { tree })?;
                }
                Request::Plan { tree, relations } => {
                    let scans = plan::scans(self.planner()?, &tree, &relations)?;
                    frames::write_response(output, &Response::Planned { scans })?;
                }
                Request::Prepare { sources } => {
                    self.prepare(sources)?;
                    frames::write_response(output, &Response::Prepared {})?;
                }
                Request::Rows { hot_table } => self.append(&hot_table, input)?,
                Request::Run { tree, max_rows, max_bytes, timeout_ms } => {
                    let runner = self.runner.take().ok_or(OUT_OF_TURN)?;
                    sources::lock(&runner.connection, &runner.sources)?;
                    let limits = AnswerLimits { max_rows, max_bytes, timeout: Duration::from_millis(timeout_ms) };
                    return run::answer(&runner.connection, &tree, limits, output);
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, limits: Limits) -> Result<(), SandboxError> {
        if self.limits.is_some() {
            return Err(OUT_OF_TURN);
        }
        limits::apply(&limits)?;
        // Before DuckDB starts its threads: they have what this one has.
        self.open_doors = confine::files(&limits)?;
        confine::connections(&limits.ports, &self.open_doors)?;
        let own = limits.clone();
        self.opening = Some(std::thread::spawn(move || engine::open(&own)));
        self.planner = Some(engine::open_locked(&limits)?);
        self.limits = Some(limits);
        Ok(())
    }

    fn prepare(&mut self, sources: Vec<Source>) -> Result<(), SandboxError> {
        let limits = self.limits.as_ref().ok_or(OUT_OF_TURN)?;
        // There is none once the relations were made.
        let opening = self.opening.take().ok_or(OUT_OF_TURN)?;
        self.planner = None;
        let connection = opening.join().map_err(|_| SandboxError::Protocol { what: "the engine did not open" })??;
        sources::prepare(&connection, limits, &sources)?;
        self.runner = Some(Runner { connection, sources });
        Ok(())
    }

    fn append(&mut self, hot_table: &str, input: &mut impl Read) -> Result<(), SandboxError> {
        let runner = self.runner.as_ref().ok_or(OUT_OF_TURN)?;
        match frames::read(input)? {
            Some(Frame::Arrow(stream)) => sources::append(&runner.connection, hot_table, stream),
            _ => Err(SandboxError::Protocol { what: "rows were announced and did not come" }),
        }
    }

    fn planner(&self) -> Result<&Connection, SandboxError> {
        self.planner.as_ref().ok_or(OUT_OF_TURN)
    }
}

impl Drop for Session {
    /// Waits for the thread that opens an instance. A process that ends under it destroys DuckDB's globals while it works
    /// with them, and dies by SIGSEGV.
    fn drop(&mut self) {
        if let Some(opening) = self.opening.take() {
            // What it says is of no use any more.
            let _ = opening.join();
        }
    }
}

const OUT_OF_TURN: SandboxError = SandboxError::Protocol { what: "a message came out of turn" };
