//! A data folder that looks like a running stack to the command.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::fcntl::{Flock, FlockArg};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::server::Server;

/// The folder, its lock held, and the server that it announces.
pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) server: Server,
    _lock: Flock<File>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let server = Server::start().await;
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("lock")).unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
        let stack = json!({
            "pid": std::process::id(), "kind": "demo", "chain": "demo", "endpoint_url": server.url,
            "api_url": server.url, "database_url": "postgres://127.0.0.1:1/none",
            "cron_target": {
                "group": "isotherm-triggers", "function_arn": "arn:aws:lambda:us-east-1:000000000000:function:x",
                "role_arn": "arn:aws:iam::000000000000:role/x", "retry_attempts": 3, "max_event_age_seconds": 3600,
            },
        });
        fs::write(folder.path().join("running.json"), stack.to_string()).unwrap();
        Self { folder, server, _lock: lock }
    }

    /// The data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file of this name in the data folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `isotherm query` with these arguments, its output caught.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
        command.arg("--data").arg(self.folder.path()).arg("query").args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().await.unwrap())
    }

    /// Runs it with `input` to its end.
    pub(crate) async fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        Ended::of(child.wait_with_output().await.unwrap())
    }
}
