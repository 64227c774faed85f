//! The real program, started as a worker starts it, and how it ended.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use isotherm_types::operator::{EXIT_FAILED, EXIT_OK, MMAP_THRESHOLD};
use isotherm_types::{BlockNumber, BlockRange, Disposition, OperatorLine, OperatorResult, TaskSpec};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::world::{DATASETS, SECRET_ACCESS_KEY, World};

const DOCUMENTED_ERRORS: &str = include_str!("../../../../docs/errors.md");

/// A new task up to the end of `blocks`, claimed as a worker does.
pub(crate) async fn claim(world: &World, blocks: BlockRange) -> TaskSpec {
    let mut spec = world.claim().await;
    spec.config = json!({ "chain_id": world.chain.chain_id, "chain": "made", "datasets": DATASETS });
    spec.input = json!({ "blocks": blocks });
    spec
}

/// A new task with nothing to move, of a job that has hot rows dropped.
pub(crate) async fn claim_with_cleanup(world: &World) -> TaskSpec {
    let mut spec = claim(world, BlockRange::single(BlockNumber(0))).await;
    spec.config["drop_hot_after_seconds"] = json!(1_800);
    spec
}

/// How the program is started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    variables: Vec<(&'static str, String)>,
    words: Vec<String>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    lines: Vec<OperatorLine>,
    /// Most memory that it had resident, as seen at its last line; 0 without one.
    pub(crate) peak_bytes: u64,
}

impl Program {
    /// With the variables that a worker gives it; S3 is the emulator's.
    pub(crate) fn of(world: &World) -> Self {
        let (threshold, bytes) = MMAP_THRESHOLD;
        let variables = vec![
            (threshold, bytes.to_owned()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("DATABASE_URL", world.database.url.clone()),
            ("ISOTHERM_BUCKET_COLD", world.objects.bucket().to_owned()),
            ("ISOTHERM_LOG", "off".to_owned()),
            ("AWS_ENDPOINT_URL", world.endpoint_url.clone()),
            ("AWS_REGION", isotherm_lab::ministack::REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", world.account.clone()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
        ];
        Self { variables, words: vec![env!("CARGO_BIN_EXE_operator-parquet_compact").to_owned()] }
    }

    /// With a variable more, or another value of one.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Started by `command`, which must become it by exec(3): the process that is watched is the program's.
    pub(crate) fn behind(mut self, command: &[&str]) -> Self {
        self.words.splice(0..0, command.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Runs it with one task to its end.
    pub(crate) async fn run(&self, spec: &TaskSpec) -> Ended {
        let (mut child, mut output) = self.start(spec).await;
        let pid = child.id().unwrap();
        let (mut lines, mut peak) = (Vec::new(), 0);
        while let Some(line) = output.next_line().await.unwrap() {
            peak = peak_bytes(pid).max(peak);
            lines.push(serde_json::from_str(&line).unwrap());
        }
        Ended { status: child.wait().await.unwrap(), lines, peak_bytes: peak }
    }

    /// Runs it with one task, and kills it `after` it has said `count` things. It may have ended before.
    pub(crate) async fn run_and_kill(&self, spec: &TaskSpec, count: usize, after: Duration) -> Ended {
        let (mut child, mut output) = self.start(spec).await;
        let mut lines = Vec::new();
        while lines.len() < count
            && let Some(line) = output.next_line().await.unwrap()
        {
            lines.push(serde_json::from_str(&line).unwrap());
        }
        let to_its_end = async {
            while let Some(line) = output.next_line().await.unwrap() {
                lines.push(serde_json::from_str(&line).unwrap());
            }
        };
        if tokio::time::timeout(after, to_its_end).await.is_err() {
            // Fails only if it is gone already.
            let _ = child.start_kill();
        }
        Ended { status: child.wait().await.unwrap(), lines, peak_bytes: 0 }
    }

    /// Starts it with one task.
    async fn start(&self, spec: &TaskSpec) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut child = Command::new(&self.words[0])
            .args(&self.words[1..])
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", self.words[0]));
        let mut task = serde_json::to_string(spec).unwrap();
        task.push('\n');
        let mut stdin = child.stdin.take().unwrap();
        // One that dies at once does not read it.
        let _ = stdin.write_all(task.as_bytes()).await;
        drop(stdin);
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, output)
    }
}

impl Ended {
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.lines.last(), Some(OperatorLine::Result(OperatorResult::Completed { .. })))
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

    pub(crate) fn was_aborted(&self) -> bool {
        self.status.signal() == Some(Signal::SIGABRT as i32)
    }

    /// Whether SIGKILL ended it.
    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::SIGKILL as i32)
    }

    /// Whether it ended in any other way than an operator should: by a signal, in a panic, or without a result.
    pub(crate) fn is_disorderly(&self) -> bool {
        let has_result = matches!(self.lines.last(), Some(OperatorLine::Result(_)));
        let has_panicked = self.failure().is_some_and(|(code, ..)| code == "operator.panicked");
        !has_result || has_panicked || ![Some(EXIT_OK), Some(EXIT_FAILED)].contains(&self.status.code())
    }
}

/// Most memory that the process has had resident so far; 0 if it is gone. Source: proc(5), `VmHWM`.
fn peak_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    peak.map_or(0, |kibibytes| kibibytes.parse::<u64>().unwrap() * 1024)
}
