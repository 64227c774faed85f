//! A running `isotherm` process and what can be asked of it.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use isotherm_lab::process::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

/// A data folder of its own and the stack that runs in it, if one does.
pub(crate) struct Stack {
    data: TempDir,
    process: Option<Child>,
    environment: Vec<(String, OsString)>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Stack {
    pub(crate) fn new() -> Self {
        Self { data: tempfile::tempdir().unwrap(), process: None, environment: Vec::new() }
    }

    /// The same, whose commands have these variables besides.
    #[allow(dead_code, reason = "most stacks are as they are")]
    pub(crate) fn with(self, environment: Vec<(String, OsString)>) -> Self {
        Self { environment, ..self }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
        command.arg("--data").arg(self.data.path()).args(arguments).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().await.unwrap())
    }

    /// Runs a command that reads `input`.
    pub(crate) async fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        Ended::of(child.wait_with_output().await.unwrap())
    }

    /// What a command that takes `--output json` prints; it must end well.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--output", "json"]].concat()).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Starts a stack and waits until it is announced.
    pub(crate) async fn start(&mut self, arguments: &[&str]) {
        let log = |name: &str| fs::File::create(self.data.path().join(name)).unwrap();
        let mut command = self.command(arguments);
        command.stdout(log("stdout")).stderr(log("stderr")).kill_on_drop(true);
        self.process = Some(command.spawn().unwrap());
        let announced = eventually("the stack to start", async || {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the stack ended early: {}", self.log());
            self.running().is_some()
        });
        announced.await.unwrap();
    }

    /// What `running.json` says.
    pub(crate) fn running(&self) -> Option<Value> {
        serde_json::from_str(&fs::read_to_string(self.data.path().join("running.json")).ok()?).ok()
    }

    /// What the stack has printed.
    pub(crate) fn log(&self) -> String {
        ["stdout", "stderr"].map(|name| fs::read_to_string(self.data.path().join(name)).unwrap_or_default()).concat()
    }

    /// Waits for the end of the stack that was started.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        self.process.take().unwrap().wait().await.unwrap().code()
    }

    /// `isotherm status --output json`.
    pub(crate) async fn status(&self) -> Value {
        let ended = self.run(&["status", "--output", "json"]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Number of the tip; 0 while there is none.
    pub(crate) async fn tip(&self) -> u64 {
        self.status().await["chains"][0]["tip"]["number"].as_u64().unwrap_or(0)
    }

    /// Rows of `isotherm query --format json`.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Value> {
        let ended = self.run(&["query", "--format", "json", sql]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
        answer["rows"].as_array().unwrap().clone()
    }

    /// The one live task of the job.
    pub(crate) async fn running_task(&self, job: &str) -> Option<Value> {
        let ended = self.run(&["tasks", "list", "--state", "running", "--output", "json"]).await;
        let tasks: Vec<Value> = serde_json::from_str(&ended.stdout).ok()?;
        tasks.into_iter().find(|task| task["job"] == job)
    }

    /// The stack's own processes of the program `name`.
    pub(crate) fn processes(&self, name: &str) -> Vec<Pid> {
        let stack = self.process.as_ref().and_then(Child::id).unwrap();
        let all =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        all.filter(|pid| program(*pid).as_deref() == Some(name) && descends_from(*pid, stack))
            .map(|pid| Pid::from_raw(pid.cast_signed()))
            .collect()
    }

    /// Kills the one process of the program `name`, as `kill -9` does.
    pub(crate) fn kill_process(&self, name: &str) {
        let found = self.processes(name);
        assert_eq!(found.len(), 1, "processes of {name}: {found:?}");
        kill(found[0], Signal::SIGKILL).unwrap();
    }

    /// The data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.data.path()
    }
}

fn program(pid: u32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(path.file_name()?.to_str()?.to_owned())
}

fn descends_from(pid: u32, ancestor: u32) -> bool {
    let mut current = pid;
    while current > 1 {
        if current == ancestor {
            return true;
        }
        let Some(parent) = parent(current) else { return false };
        current = parent;
    }
    false
}

/// Fourth field of `/proc/<pid>/stat`; the second, the name, stands in brackets and may hold anything.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
