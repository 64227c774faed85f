//! The operator's process: in a process group of its own, killed as a group, never left behind.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use isotherm_types::{Classified, Disposition, Exit, OperatorLine, TaskSpec};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::output::{StderrTail, pass_on_logs, read_protocol};
use super::redaction::Redaction;

/// Why the operator's process could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    #[error("the operator {program} could not be started")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the operator's process could not be waited for")]
    Wait {
        #[source]
        source: std::io::Error,
    },
    #[error("the task cannot be written as JSON")]
    Spec {
        #[source]
        source: serde_json::Error,
    },
}

impl Classified for ChildError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Start { .. } | Self::Wait { .. } => Disposition::Retry,
            Self::Spec { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Start { .. } => "worker.operator_not_started",
            Self::Wait { .. } => "worker.operator_not_waited_for",
            Self::Spec { .. } => "worker.task_not_json",
        }
    }
}

/// A running operator. Dropping it kills its process group.
#[derive(Debug)]
pub(super) struct Operator {
    child: Child,
    group: Pid,
    /// The end of its standard error.
    pub(super) stderr: StderrTail,
    logs: JoinHandle<()>,
}

impl Operator {
    /// Starts `program` with exactly `environment`, and gives it the task. Returns it and what it says.
    ///
    /// # Errors
    /// [`ChildError`]; then no process is left.
    pub(super) fn start(
        program: &Path,
        environment: &BTreeMap<&str, &str>,
        redaction: Redaction,
        spec: &TaskSpec,
    ) -> Result<(Self, mpsc::Receiver<OperatorLine>), ChildError> {
        let mut line = serde_json::to_vec(spec).map_err(|source| ChildError::Spec { source })?;
        line.push(b'\n');
        let failed = |source| ChildError::Start { program: program.display().to_string(), source };
        let mut child = Command::new(program)
            .env_clear()
            .envs(environment)
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let pid =
            child.id().and_then(|id| i32::try_from(id).ok()).expect("a process that was not waited for has an id");
        let stdin = child.stdin.take().expect("standard input was asked for as a pipe");
        let stdout = child.stdout.take().expect("standard output was asked for as a pipe");
        let stderr = child.stderr.take().expect("standard error was asked for as a pipe");
        let (tail, logs) = pass_on_logs(stderr, redaction);
        tokio::spawn(async move {
            let mut stdin = stdin;
            // An operator that ends without reading its task reports that by how it ends.
            let _ = stdin.write_all(&line).await;
        });
        Ok((Self { child, group: Pid::from_raw(pid), stderr: tail, logs }, read_protocol(stdout)))
    }

    /// Asks it to stop at a safe point.
    pub(super) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends it and all that it started, at once.
    pub(super) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Waits for its end; what it started and left behind is killed then. May be cancelled and called again.
    ///
    /// # Errors
    /// [`ChildError::Wait`].
    pub(super) async fn wait(&mut self) -> Result<Exit, ChildError> {
        let status = self.child.wait().await.map_err(|source| ChildError::Wait { source })?;
        self.kill();
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        })
    }

    /// Waits until all that it logged has been read. Call it after its end.
    pub(super) async fn logs_read(&mut self) {
        // The pipe closes with the last process of the group; the time-out is for one that left the group.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), &mut self.logs).await;
    }

    fn signal(&self, signal: Signal) {
        // It may be gone already; that is what was wanted.
        let _ = killpg(self.group, signal);
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.logs.abort();
        if self.child.id().is_some() {
            self.kill();
        }
    }
}
