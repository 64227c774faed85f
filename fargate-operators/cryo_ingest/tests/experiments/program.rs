//! The real program, started as a worker starts it, and how it ended.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use isotherm_types::operator::{EXIT_FAILED, EXIT_OK, MMAP_THRESHOLD};
use isotherm_types::{BlockRange, Disposition, OperatorLine, OperatorResult, TaskSpec};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::world::{SECRET_ACCESS_KEY, World, config_json};

const DOCUMENTED_ERRORS: &str = include_str!("../../../../docs/errors.md");

/// A new task of `blocks`, claimed as a worker does, of a job with `changes` to its settings.
pub(crate) async fn claim(world: &World, blocks: BlockRange, changes: &Value) -> TaskSpec {
    let mut spec = world.claim().await;
    spec.config = config_json(changes);
    spec.input = json!({ "blocks": blocks });
    spec
}

/// Takes the part of the endpoint's rate from a program that has died: others would wait for ten seconds to see whether
/// it lives.
pub(crate) async fn bury(world: &World, spec: &TaskSpec) {
    let sql = "DELETE FROM control.rate_shares WHERE holder = $1";
    sqlx::query(sql).bind(rate_share_holder(spec)).execute(&world.pool).await.unwrap();
}

/// Name of a task in `control.rate_shares`.
pub(crate) fn rate_share_holder(spec: &TaskSpec) -> String {
    spec.task_id.to_string()
}

/// How the program is started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    variables: Vec<(&'static str, String)>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    lines: Vec<OperatorLine>,
    /// From its first line to its end.
    pub(crate) worked: Duration,
}

impl Program {
    /// With the variables that a worker gives it; S3 is the emulator's.
    pub(crate) fn of(world: &World) -> Self {
        let (threshold, bytes) = MMAP_THRESHOLD;
        let variables = vec![
            (threshold, bytes.to_owned()),
            ("DATABASE_URL", world.database.url.clone()),
            ("RPC_URLS", world.chain.url().to_owned()),
            ("ISOTHERM_BUCKET_COLD", world.objects.bucket().to_owned()),
            ("ISOTHERM_LOG", "off".to_owned()),
            ("AWS_ENDPOINT_URL", world.endpoint_url.clone()),
            ("AWS_REGION", isotherm_lab::ministack::REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", world.account.clone()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
        ];
        Self { variables }
    }

    /// With a variable more, or another value of one.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Runs it with one task to its end.
    pub(crate) async fn run(&self, spec: &TaskSpec) -> Ended {
        self.run_for(spec, None).await
    }

    /// The same, but SIGKILL ends it if it still is there so long after its first line.
    pub(crate) async fn run_for(&self, spec: &TaskSpec, life: Option<Duration>) -> Ended {
        let mut child = Command::new(env!("CARGO_BIN_EXE_operator-cryo_ingest"))
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut task = serde_json::to_string(spec).unwrap();
        task.push('\n');
        let mut stdin = child.stdin.take().unwrap();
        // One that dies at once does not read it.
        let _ = stdin.write_all(task.as_bytes()).await;
        drop(stdin);

        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines: Vec<OperatorLine> = Vec::new();
        lines.extend(output.next_line().await.unwrap().map(|line| said(&line)));
        let began = Instant::now();
        let listening = async {
            while let Some(line) = output.next_line().await.unwrap() {
                lines.push(said(&line));
            }
        };
        match life {
            None => listening.await,
            Some(life) => {
                if timeout(life, listening).await.is_err() {
                    child.start_kill().unwrap();
                }
            }
        }
        let status = child.wait().await.unwrap();
        Ended { status, lines, worked: began.elapsed() }
    }
}

fn said(line: &str) -> OperatorLine {
    serde_json::from_str(line).unwrap()
}

impl Ended {
    pub(crate) fn is_complete(&self) -> bool {
        self.output().is_some()
    }

    /// Files that it has recorded; 0 if it has not completed.
    pub(crate) fn file_count(&self) -> i64 {
        let datasets = self.output().and_then(|output| output["datasets"].as_array()).into_iter().flatten();
        datasets.map(|dataset| dataset["file_count"].as_i64().unwrap()).sum()
    }

    /// Code, message and advice, if it says that it failed.
    pub(crate) fn failure(&self) -> Option<(&str, &str, Disposition)> {
        match self.lines.last() {
            Some(OperatorLine::Result(OperatorResult::Failed { code, message, disposition })) => {
                Some((code.as_str(), message.as_str(), *disposition))
            }
            _ => None,
        }
    }

    /// Whether it is known under a code of `docs/errors.md` why it failed, with the advice to try again.
    pub(crate) fn is_clear_and_retryable(&self) -> bool {
        self.failure().is_some_and(|(code, message, disposition)| {
            let is_documented = DOCUMENTED_ERRORS.contains(&format!("\n| `{code}` |"));
            is_documented && !message.is_empty() && disposition != Disposition::GiveUp
        })
    }

    /// Whether a crash point ended it.
    pub(crate) fn was_aborted(&self) -> bool {
        self.status.signal() == Some(Signal::SIGABRT as i32)
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::SIGKILL as i32)
    }

    /// Whether it ended in any other way than an operator should that nobody kills: by a signal, in a panic, or without
    /// a result.
    pub(crate) fn is_disorderly(&self) -> bool {
        let has_result = matches!(self.lines.last(), Some(OperatorLine::Result(_)));
        let has_panicked = self.failure().is_some_and(|(code, ..)| code == "operator.panicked");
        !has_result || has_panicked || ![Some(EXIT_OK), Some(EXIT_FAILED)].contains(&self.status.code())
    }

    fn output(&self) -> Option<&Value> {
        match self.lines.last() {
            Some(OperatorLine::Result(OperatorResult::Completed { output })) => Some(output),
            _ => None,
        }
    }
}
