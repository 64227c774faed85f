//! One sandbox process and the conversation with it ([`isotherm_types::sandbox`]).
//!
//! The process gets nothing but its arguments on the pipe: no environment, no inherited file but the three standard
//! ones, a process group of its own. Dropping it kills it.

use std::path::PathBuf;
use std::process::Stdio;

use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::answer::RowSink;
use crate::error::QueryError;
use crate::shield;
use isotherm_types::sandbox::{
    FRAME_HEADER_BYTES, Failure, KIND_ARROW, KIND_JSON, MAX_FRAME_BYTES, RelationColumn, Request, Response,
};

/// A running sandbox.
#[derive(Debug)]
pub struct SandboxProcess {
    /// Killed when dropped.
    _child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// What a session step came to.
pub type Step<T> = Result<T, StepError>;

/// Why a step of the session failed.
#[derive(Debug)]
pub enum StepError {
    /// The sandbox says why.
    Failure(Failure),
    /// The conversation itself broke.
    Broken(QueryError),
}

impl<E: Into<QueryError>> From<E> for StepError {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

/// What was handed on of an answer.
#[derive(Debug)]
pub struct HandedOn {
    /// Names and DuckDB types.
    pub columns: Vec<RelationColumn>,
    /// Rows.
    pub row_count: u64,
    /// Their bytes as Arrow IPC.
    pub bytes: u64,
    /// Whether the answer was cut off.
    pub truncated: bool,
}

impl SandboxProcess {
    /// Starts the program.
    ///
    /// # Errors
    /// [`QueryError::Sandbox`] if it cannot be started.
    pub fn start(program: &PathBuf) -> Result<Self, QueryError> {
        shield::raise();
        let failed = |source| QueryError::Sandbox { action: "started", source };
        let mut child = Command::new(program)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let missing = || failed(std::io::Error::other("a pipe is missing"));
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Self { _child: child, stdin, stdout })
    }

    /// Sends `request` and returns the answer.
    ///
    /// # Errors
    /// The sandbox's failure, or a broken conversation.
    pub async fn ask(&mut self, request: &Request) -> Step<Response> {
        if let Err(error) = self.send(request).await {
            // A sandbox that has just failed is gone, but what it said is still in the pipe.
            return Err(self.last_words().await.map_or_else(|| error.into(), StepError::Failure));
        }
        match self.receive().await? {
            Frame::Json(Response::Failed(failure)) => Err(StepError::Failure(failure)),
            Frame::Json(response) => Ok(response),
            Frame::Arrow(_) => Err(out_of_turn("rows").into()),
        }
    }

    /// Sends rows, one IPC stream. Nothing is answered; a failure shows at the next question.
    ///
    /// # Errors
    /// A sandbox that ended.
    pub async fn send_rows(&mut self, hot_table: &str, stream: &[u8]) -> Result<(), QueryError> {
        self.send(&Request::Rows { hot_table: hot_table.to_owned() }).await?;
        self.write(KIND_ARROW, stream).await
    }

    /// What sending rows came to: where the sandbox hung up, its own words stand in the place of a broken pipe.
    ///
    /// # Errors
    /// The sandbox's failure, or that of `outcome`.
    pub async fn explained<T>(&mut self, outcome: Result<T, QueryError>) -> Step<T> {
        match outcome {
            Err(error @ QueryError::Sandbox { .. }) => {
                Err(self.last_words().await.map_or(StepError::Broken(error), StepError::Failure))
            }
            outcome => Ok(outcome?),
        }
    }

    /// What the sandbox said before it hung up, if it said why.
    pub async fn last_words(&mut self) -> Option<Failure> {
        match self.receive().await {
            Ok(Frame::Json(Response::Failed(failure))) => Some(failure),
            _ => None,
        }
    }

    /// Runs a checked tree and hands its rows on, one batch after the other: no more than one is held here.
    ///
    /// # Errors
    /// The sandbox's failure, a broken conversation, or what `sink` says.
    pub async fn run(&mut self, request: &Request, sink: &mut (dyn RowSink + Send)) -> Step<HandedOn> {
        let Response::Columns { columns } = self.ask(request).await? else {
            return Err(out_of_turn("no columns").into());
        };
        let mut decoder = StreamDecoder::new();
        let (mut row_count, mut bytes, mut has_begun) = (0, 0, false);
        loop {
            match self.receive().await? {
                Frame::Arrow(piece) => {
                    bytes += piece.len() as u64;
                    let mut piece = Buffer::from_vec(piece);
                    loop {
                        let batch = decoder.decode(&mut piece)?;
                        if let Some(schema) = decoder.schema().filter(|_| !has_begun) {
                            sink.begin(&columns, &schema)?;
                            has_begun = true;
                        }
                        let Some(batch) = batch else { break };
                        row_count += batch.num_rows() as u64;
                        sink.rows(&batch)?;
                    }
                }
                Frame::Json(Response::Done { rows, truncated }) => {
                    if !has_begun || rows != row_count {
                        return Err(out_of_turn("fewer rows than it counted").into());
                    }
                    return Ok(HandedOn { columns, row_count, bytes, truncated });
                }
                Frame::Json(Response::Failed(failure)) => return Err(StepError::Failure(failure)),
                Frame::Json(_) => return Err(out_of_turn("an answer to nothing").into()),
            }
        }
    }

    async fn send(&mut self, request: &Request) -> Result<(), QueryError> {
        let payload = serde_json::to_vec(request)
            .map_err(|source| QueryError::Sandbox { action: "written to", source: source.into() })?;
        self.write(KIND_JSON, &payload).await
    }

    async fn write(&mut self, kind: u8, payload: &[u8]) -> Result<(), QueryError> {
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|_| payload.len() <= MAX_FRAME_BYTES)
            .ok_or_else(|| QueryError::TooLarge { limit: format!("{MAX_FRAME_BYTES} bytes a message") })?;
        let mut header = Vec::with_capacity(FRAME_HEADER_BYTES);
        header.extend(length.to_le_bytes());
        header.push(kind);
        let failed = |source| QueryError::Sandbox { action: "written to", source };
        self.stdin.write_all(&header).await.map_err(failed)?;
        self.stdin.write_all(payload).await.map_err(failed)?;
        self.stdin.flush().await.map_err(failed)
    }

    async fn receive(&mut self) -> Result<Frame, QueryError> {
        let failed = |source| QueryError::Sandbox { action: "read from", source };
        let length = self.stdout.read_u32_le().await.map_err(failed)? as usize;
        let kind = self.stdout.read_u8().await.map_err(failed)?;
        if length > MAX_FRAME_BYTES {
            return Err(out_of_turn("a frame that is too long"));
        }
        let mut payload = vec![0; length];
        self.stdout.read_exact(&mut payload).await.map_err(failed)?;
        match kind {
            KIND_ARROW => Ok(Frame::Arrow(payload)),
            KIND_JSON => serde_json::from_slice(&payload)
                .map(Frame::Json)
                .map_err(|_| out_of_turn("a message that is not understood")),
            _ => Err(out_of_turn("a frame of an unknown kind")),
        }
    }
}

enum Frame {
    Json(Response),
    Arrow(Vec<u8>),
}

fn out_of_turn(what: &str) -> QueryError {
    QueryError::SandboxProtocol { message: format!("it sent {what}") }
}
