//! One sandbox process and the conversation with it ([`isotherm_types::sandbox`]).
//!
//! The process gets nothing but its arguments on the pipe: no environment but a setting of its allocator, no inherited
//! file but the three standard ones, a process group of its own. Holding more memory than it may kills it, and so does
//! dropping it.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::answer::RowSink;
use crate::error::QueryError;
use crate::memory_watch::{Killed, MemoryWatch};
use crate::shield;
use isotherm_types::sandbox::{
    ALLOCATOR_SETTINGS, FRAME_HEADER_BYTES, Failure, KIND_ARROW, KIND_JSON, MAX_FRAME_BYTES, MAX_ROWS_FRAME_BYTES,
    RelationColumn, Request, Response,
};

/// How long a process that has hung up may take to be gone.
const TO_END: Duration = Duration::from_millis(200);

/// What helps a query that wants too much memory.
const ADVICE: &str = "bound block_number, read fewer or shorter values, or aggregate in steps";

/// A running sandbox.
#[derive(Debug)]
pub struct SandboxProcess {
    /// Over before the child is dropped and its number another's.
    watch: Option<MemoryWatch>,
    /// Killed when dropped.
    child: Child,
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
    /// Starts the program, and kills it when it has more than `resident_bytes` resident.
    ///
    /// # Errors
    /// [`QueryError::Sandbox`] if it cannot be started or watched.
    pub fn start(program: &PathBuf, resident_bytes: u64) -> Result<Self, QueryError> {
        shield::raise();
        let failed = |source| QueryError::Sandbox { action: "started", source };
        let mut child = Command::new(program)
            .env_clear()
            .envs([ALLOCATOR_SETTINGS])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let missing = || failed(io::Error::other("a pipe is missing"));
        let process = child.id().ok_or_else(|| failed(io::Error::other("it has ended already")))?;
        let watch = MemoryWatch::start(process, resident_bytes)
            .map_err(|source| QueryError::Sandbox { action: "watched", source })?;
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Self { watch: Some(watch), child, stdin, stdout })
    }

    /// Its number; `None` if it has ended and was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
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
        match write_all(&mut self.stdin, &header, payload).await {
            Ok(()) => Ok(()),
            Err(source) => Err(self.broken("written to", source).await),
        }
    }

    async fn receive(&mut self) -> Result<Frame, QueryError> {
        let mut header = [0u8; FRAME_HEADER_BYTES];
        if let Err(source) = self.stdout.read_exact(&mut header).await {
            return Err(self.broken("read from", source).await);
        }
        let [a, b, c, d, kind] = header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let longest = if kind == KIND_ARROW { MAX_ROWS_FRAME_BYTES } else { MAX_FRAME_BYTES };
        if length > longest {
            return Err(out_of_turn("a frame that is too long"));
        }
        let mut payload = vec![0; length];
        if let Err(source) = self.stdout.read_exact(&mut payload).await {
            return Err(self.broken("read from", source).await);
        }
        match kind {
            KIND_ARROW => Ok(Frame::Arrow(payload)),
            KIND_JSON => serde_json::from_slice(&payload)
                .map(Frame::Json)
                .map_err(|_| out_of_turn("a message that is not understood")),
            _ => Err(out_of_turn("a frame of an unknown kind")),
        }
    }

    /// Why the conversation broke: the process was killed by its watch, died of want of memory, or else `source`.
    async fn broken(&mut self, action: &'static str, source: io::Error) -> QueryError {
        match self.watch.take().and_then(MemoryWatch::stop) {
            Some(Killed::Overgrown { held_bytes, cap_bytes }) => {
                let (held, cap) = (held_bytes >> 20, cap_bytes >> 20);
                let message = format!("its process held {held} MiB, more than the {cap} that it may; {ADVICE}");
                return QueryError::OutOfMemory { message };
            }
            Some(Killed::Unseen { fault }) => {
                let told =
                    format!("what it holds cannot be read in /proc ({fault}), so that it was killed; see ADR 26");
                return QueryError::Sandbox { action: "watched", source: io::Error::other(told) };
            }
            None => {}
        }
        match tokio::time::timeout(TO_END, self.child.wait()).await {
            // What a program does to which the system gives no memory, in Rust as in C++.
            Ok(Ok(status)) if status.signal() == Some(Signal::SIGABRT as i32) => {
                QueryError::OutOfMemory { message: format!("its process got no more; {ADVICE}") }
            }
            _ => QueryError::Sandbox { action, source },
        }
    }
}

async fn write_all(stdin: &mut ChildStdin, header: &[u8], payload: &[u8]) -> io::Result<()> {
    stdin.write_all(header).await?;
    stdin.write_all(payload).await?;
    stdin.flush().await
}

enum Frame {
    Json(Response),
    Arrow(Vec<u8>),
}

fn out_of_turn(what: &str) -> QueryError {
    QueryError::SandboxProtocol { message: format!("it sent {what}") }
}
