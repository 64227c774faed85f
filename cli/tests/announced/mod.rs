//! A database that looks like a running stack to the command, which runs as a process of its own.

use std::fs::{self, File};
use std::process::Stdio;

use isotherm_lab::postgres::TestDatabase;
use nix::fcntl::{Flock, FlockArg};
use serde_json::json;
use sqlx::PgConnection;
use tempfile::TempDir;
use tokio::process::Command;

/// Migrated and empty; the AWS endpoint that it announces does not answer.
pub(crate) struct Announced {
    folder: TempDir,
    database: TestDatabase,
    _lock: Flock<File>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Announced {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("lock")).unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
        let stack = json!({
            "pid": std::process::id(), "kind": "demo", "chain": "demo", "endpoint_url": "http://127.0.0.1:1",
            "api_url": "http://127.0.0.1:1", "database_url": database.url,
            "cron_target": {
                "group": "isotherm-triggers", "function_arn": "arn:aws:lambda:us-east-1:000000000000:function:x",
                "role_arn": "arn:aws:iam::000000000000:role/x", "retry_attempts": 3, "max_event_age_seconds": 3600,
            },
        });
        fs::write(folder.path().join("running.json"), stack.to_string()).unwrap();
        Self { folder, database, _lock: lock }
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        self.database.connect().await.unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
        command.arg("--data").arg(self.folder.path()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().await.unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
