//! The follower's own program, and what it says.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use isotherm_types::{Fence, OperatorLine, OperatorResult};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::stage::Stage;

/// A follower's process. Dropping it kills it.
pub(crate) struct Program {
    child: Child,
    pid: Pid,
    said: Arc<Said>,
    reading: JoinSet<()>,
}

/// An error that its log names.
#[derive(Clone, Debug)]
pub(crate) struct LoggedError {
    /// Its stable name.
    pub(crate) code: String,
    /// The endpoint that is said to have told something untrue, if that is the error.
    pub(crate) liar: Option<String>,
}

#[derive(Debug, Default)]
struct Said {
    /// The last block that it said was stored; -1 before the first.
    stored: AtomicI64,
    was_released: AtomicBool,
    /// When it said anything, logs included.
    at: Mutex<Vec<Instant>>,
    /// Errors in its log, in order.
    errors: Mutex<Vec<LoggedError>>,
}

impl Program {
    /// Starts it under a new claim of the stage's task.
    pub(crate) async fn start(stage: &Stage, changes: &Value, variables: &[(&str, &str)]) -> Self {
        let claim = "UPDATE control.tasks SET fence = fence + 1 WHERE id = $1 RETURNING fence";
        let fence: i64 = sqlx::query_scalar(claim).bind(stage.task_id.0).fetch_one(&stage.pool).await.unwrap();
        let mut spec = stage.spec(changes);
        spec.fence = Fence(fence);
        let mut child = Command::new(env!("CARGO_BIN_EXE_operator-block_follower"))
            .env_clear()
            .env("DATABASE_URL", &stage.database.url)
            .env("RPC_URLS", stage.chain.rpc_url())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().unwrap().cast_signed());
        let mut line = serde_json::to_string(&spec).unwrap();
        line.push('\n');
        child.stdin.take().unwrap().write_all(line.as_bytes()).await.unwrap();
        let said = Arc::new(Said { stored: AtomicI64::new(-1), ..Said::default() });
        let mut reading = JoinSet::new();
        reading.spawn(listen(child.stdout.take().unwrap(), said.clone(), Said::hear));
        reading.spawn(listen(child.stderr.take().unwrap(), said.clone(), Said::overhear));
        Self { child, pid, said, reading }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    /// The signal that ended it, if one did, once it has ended and everything it said was heard.
    pub(crate) async fn end(&mut self) -> Option<i32> {
        let status = self.child.wait().await.unwrap();
        while self.reading.join_next().await.is_some() {}
        status.signal()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// The last block that it said was stored; -1 before the first.
    pub(crate) fn last_stored(&self) -> i64 {
        self.said.stored.load(Ordering::Relaxed)
    }

    /// Whether its last word was that it has given its task back.
    pub(crate) fn was_released(&self) -> bool {
        self.said.was_released.load(Ordering::Relaxed)
    }

    /// Errors that its log has named, the first `known` ones left out.
    pub(crate) fn errors_after(&self, known: usize) -> Vec<LoggedError> {
        self.said.errors.lock().unwrap().iter().skip(known).cloned().collect()
    }

    /// Longest silence between `start` and now.
    pub(crate) fn longest_silence_since(&self, start: Instant) -> Duration {
        let mut at = self.said.at.lock().unwrap().clone();
        at.retain(|instant| *instant > start);
        at.extend([start, Instant::now()]);
        at.sort_unstable();
        at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

impl Said {
    fn hear(&self, line: &str) {
        match serde_json::from_str(line).unwrap() {
            OperatorLine::Progress { done, .. } => self.stored.store(done.cast_signed(), Ordering::Relaxed),
            OperatorLine::Waiting => {}
            OperatorLine::Result(result) => {
                self.was_released.store(result == OperatorResult::Released, Ordering::Relaxed);
            }
        }
    }

    /// Takes note of a line of the log.
    fn overhear(&self, line: &str) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        let Some(code) = event["error.code"].as_str() else { return };
        let endpoint = event["rpc.endpoint"].as_str().filter(|_| event.get("rpc.answer_sha256").is_some());
        let error = LoggedError { code: code.to_owned(), liar: endpoint.map(str::to_owned) };
        self.errors.lock().unwrap().push(error);
    }
}

async fn listen(output: impl AsyncRead + Unpin, said: Arc<Said>, hear: impl Fn(&Said, &str)) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        said.at.lock().unwrap().push(Instant::now());
        hear(&said, &line);
    }
}
