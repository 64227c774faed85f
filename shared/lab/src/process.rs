//! Child processes that never outlive their owner, not even after a panic or a SIGKILL.
//!
//! A small shell script, the guardian, stands between the owner and the process. It holds the reading end of a pipe;
//! when the writing end closes (the owner dropped it, or died) it sends the stop signal, waits, kills the whole
//! session, and deletes the folder. The kernel closes the pipe whatever happens to the owner, and the guardian is in
//! a process group of its own, so a signal sent to the owner's group does not reach it. A parent-death signal would
//! not do: it fires when the *thread* that started the process ends, and it cannot delete a folder.
//!
//! Never put a shell between caller and arguments here: arguments reach the program as they are.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::LabError;
use crate::folder::Folder;
use crate::tools;

const GUARDIAN: &str = include_str!("guardian.sh");

/// How long a condition is polled for before the test fails.
pub const DEADLINE: Duration = Duration::from_secs(150);

/// A process to start.
#[derive(Debug)]
pub struct ProcessSpec {
    /// Short name; its logs are `<name>.stdout` and `<name>.stderr` in the folder.
    pub name: &'static str,
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// The whole environment, but for `PATH`, which is passed on.
    pub environment: Vec<(OsString, OsString)>,
    /// The process's folder: working directory and logs.
    pub folder: Folder,
    /// What asks it to stop.
    pub stop_signal: Signal,
    /// How long it may take to stop, in whole seconds, before it is killed.
    pub stop_grace: Duration,
}

/// A guardian whose folder exists and whose process has not been started.
#[derive(Debug)]
pub struct Prepared {
    name: &'static str,
    folder: PathBuf,
    stop_grace: Duration,
    guardian: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// A running process under its guardian. Dropping it stops the process and waits until it is gone.
#[derive(Debug)]
pub struct Process {
    prepared: Prepared,
    pid: Pid,
}

impl ProcessSpec {
    /// Starts the guardian, which creates the folder; the caller may then fill the folder.
    ///
    /// # Errors
    /// [`LabError::Io`] if the guardian or the folder could not be made.
    pub fn prepare(self) -> Result<Prepared, LabError> {
        let folder = self.folder.path().to_path_buf();
        let fate = if matches!(self.folder, Folder::Kept(_)) { "keep" } else { "delete" };
        let mut guardian = Command::new("/bin/sh")
            .arg("-c")
            .arg(GUARDIAN)
            .args(["isotherm-guardian", self.name])
            .arg(self.stop_signal.as_str().trim_start_matches("SIG"))
            .arg(self.stop_grace.as_secs().to_string())
            .arg(&folder)
            .arg(fate)
            .args(&self.command)
            .env_clear()
            .env("PATH", tools::search_path())
            .envs(self.environment)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(LabError::io("start the guardian of", &folder))?;
        let orders = guardian.stdin.take();
        let answers = BufReader::new(guardian.stdout.take().expect("standard output was asked for as a pipe"));
        let mut prepared = Prepared { name: self.name, folder, stop_grace: self.stop_grace, guardian, orders, answers };
        prepared.answer()?;
        Ok(prepared)
    }

    /// Prepares and starts at once.
    ///
    /// # Errors
    /// As [`ProcessSpec::prepare`] and [`Prepared::go`].
    pub fn start(self) -> Result<Process, LabError> {
        self.prepare()?.go()
    }
}

impl Prepared {
    /// The folder, which exists now.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts the process.
    ///
    /// # Errors
    /// [`LabError::Io`] if the guardian is gone.
    pub fn go(mut self) -> Result<Process, LabError> {
        let orders = self.orders.as_mut().expect("orders are only taken on drop");
        orders.write_all(b"go\n").map_err(LabError::io("give orders to the guardian of", &self.folder))?;
        let answer = self.answer()?;
        let pid = answer.parse().map_err(|_| LabError::Io {
            action: "read the process id from the guardian of",
            path: self.folder.clone(),
            source: std::io::ErrorKind::InvalidData.into(),
        })?;
        Ok(Process { prepared: self, pid: Pid::from_raw(pid) })
    }

    fn answer(&mut self) -> Result<String, LabError> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(LabError::io("hear from the guardian of", &self.folder))?;
        if line.is_empty() {
            return Err(LabError::Io {
                action: "create",
                path: self.folder.clone(),
                source: std::io::ErrorKind::UnexpectedEof.into(),
            });
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        drop(self.orders.take());
        // The guardian kills after the grace; past this it hangs on something no test can mend.
        let deadline = Instant::now() + self.stop_grace + Duration::from_secs(10);
        while matches!(self.guardian.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                tracing::warn!(process.name = self.name, "guardian did not finish in time");
                return;
            }
            pause();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "drop cannot await; this is the pause between two polls")]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The guardian's process id.
    pub fn guardian_pid(&self) -> u32 {
        self.prepared.guardian.id()
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.prepared.folder
    }

    /// Exit status as the shell reports it, once the process has ended.
    pub fn exit_status(&self) -> Option<String> {
        let file = self.folder().join(format!("{}.exit", self.prepared.name));
        std::fs::read_to_string(file).ok().map(|status| status.trim().to_owned())
    }

    /// Sends a signal to the process alone.
    ///
    /// # Errors
    /// [`LabError::Io`] if it is not there any more.
    pub fn signal(&self, signal: Signal) -> Result<(), LabError> {
        nix::sys::signal::kill(self.pid, signal).map_err(|error| LabError::io("signal", self.folder())(error.into()))
    }

    /// The last lines that it wrote, errors last.
    pub fn log_tail(&self) -> String {
        let mut tail = String::new();
        for stream in ["stdout", "stderr"] {
            let file = self.folder().join(format!("{}.{stream}", self.prepared.name));
            let text = std::fs::read(file).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(20)..] {
                tail.push_str(line);
                tail.push('\n');
            }
        }
        tail
    }

    /// Polls `ready` until it returns true.
    ///
    /// # Errors
    /// [`LabError::Exited`] if the process ends first, [`LabError::NotReady`] after [`DEADLINE`].
    pub async fn wait_until_ready<Ready: AsyncFnMut() -> bool>(&self, mut ready: Ready) -> Result<(), LabError> {
        let started = Instant::now();
        loop {
            let is_ready = ready().await;
            // Looked at after the probe: a probe that hit somebody else's server does not count.
            if let Some(status) = self.exit_status() {
                let name = self.prepared.name.to_owned();
                return Err(LabError::Exited { name, status, log_tail: self.log_tail() });
            }
            if is_ready {
                return Ok(());
            }
            if started.elapsed() > DEADLINE {
                let name = self.prepared.name.to_owned();
                return Err(LabError::NotReady { name, waited: started.elapsed(), log_tail: self.log_tail() });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Polls `condition` every 20 ms until it returns true.
///
/// # Errors
/// [`LabError::TimedOut`], naming `what`, after [`DEADLINE`].
pub async fn eventually<Condition: AsyncFnMut() -> bool>(
    what: impl Into<String>,
    mut condition: Condition,
) -> Result<(), LabError> {
    let started = Instant::now();
    while !condition().await {
        if started.elapsed() > DEADLINE {
            return Err(LabError::TimedOut { condition: what.into(), waited: started.elapsed() });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
