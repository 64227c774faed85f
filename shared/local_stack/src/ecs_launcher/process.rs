//! One worker process: its start, its signals, its end.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getpid, getppid};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::LauncherOptions;
use super::tasks::Launch;
use crate::error::LocalStackError;

/// What workers find programs by; they inherit nothing else of the launcher's environment.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A running worker. Dropping it kills it.
pub(super) struct TaskProcess {
    child: Child,
    pid: Pid,
    stop_timeout: Duration,
    stop_deadline: Option<Instant>,
}

impl TaskProcess {
    /// Starts the first process of a task of `operator`, such as its worker.
    ///
    /// `variables` lead the AWS SDK to the emulator. Must be called on a thread that lives as long as the worker may.
    pub(super) fn start(
        operator: &str,
        program: &Path,
        launch: Launch,
        variables: &[(String, String)],
        options: &LauncherOptions,
    ) -> Result<Self, LocalStackError> {
        let log = options.logs.join(format!("{operator}-{}.log", launch.task_id()));
        let output = File::options().create(true).append(true).open(&log).map_err(LocalStackError::io("open", &log))?;
        let errors = output.try_clone().map_err(LocalStackError::io("open", &log))?;
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", PATH)
            .envs(launch.variables)
            .env("ISOTHERM_ECS_TASK_ARN", &launch.task_arn)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env("ISOTHERM_OPERATOR_BIN", options.programs.join(format!("operator-{operator}")))
            .envs(options.bundles.get(operator).map(|bundle| ("ISOTHERM_BUNDLE", bundle)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true);
        die_with_parent(&mut command);
        let child = command.spawn().map_err(LocalStackError::io("start", program))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let pid = pid.expect("a child that was just started has an id");
        Ok(Self { child, pid, stop_timeout: launch.stop_timeout, stop_deadline: None })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// The task definition's time between SIGTERM and SIGKILL.
    pub(super) fn stop_timeout(&self) -> Duration {
        self.stop_timeout
    }

    /// When it is to be killed, once it was asked to stop.
    pub(super) fn stop_deadline(&self) -> Option<Instant> {
        self.stop_deadline
    }

    /// How it ended; `None` while it runs.
    pub(super) fn end(&mut self) -> Option<String> {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        if let Ok(WaitStatus::StillAlive) = waitid(Id::Pid(self.pid), look) {
            return None;
        }
        // What it left behind has nobody to report to. Its number is its own until it is waited for.
        self.signal_group(Signal::SIGKILL);
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(describe(status)),
            Err(error) => Some(format!("the worker was lost: {error}")),
        }
    }

    /// Asks it to stop within `grace`.
    pub(super) fn terminate(&mut self, grace: Duration) {
        self.stop_deadline = Some(Instant::now() + grace);
        // As on ECS, only the first process gets the signal. One that is gone already is what is wanted.
        let _ = kill(self.pid, Signal::SIGTERM);
    }

    /// Kills it and its group.
    pub(super) fn kill(&mut self) {
        self.signal_group(Signal::SIGKILL);
    }

    fn signal_group(&self, signal: Signal) {
        // An empty group is what is wanted.
        let _ = killpg(self.pid, signal);
    }
}

impl Drop for TaskProcess {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal_group(Signal::SIGKILL);
        }
    }
}

/// The kernel kills the worker when the thread that starts it ends, whatever ends it.
#[expect(unsafe_code, reason = "there is no safe way to run code between fork and exec")]
fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    let ask = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // A parent that died before the request was made would go unnoticed.
        if getppid() == parent { Ok(()) } else { Err(std::io::ErrorKind::Interrupted.into()) }
    };
    // SAFETY: the closure makes two system calls; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(ask) };
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("the worker exited with code {code}"),
        (None, Some(signal)) => format!("the worker was killed by signal {signal}"),
        (None, None) => "the worker ended".to_owned(),
    }
}
