//! The follower's own program, as its worker runs it.

use std::fs::File;
use std::process::Stdio;

use isotherm_chain::{ChainProfile, Check, Checks};
use isotherm_lab::benchmark::{cpu_of, peak_memory_bytes};
use isotherm_types::operator::{MMAP_THRESHOLD, OPERATOR_PROTOCOL};
use isotherm_types::{ChainId, Fence, TaskSpec};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::stage::Stage;

pub(crate) const CHAIN_ID: u64 = 143;
/// Far above the blocks of a run, so that partitions are made but once.
const PARTITION_BLOCKS: u64 = 1_000_000;

/// Whether the follower recovers who signed each transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signers {
    /// As it does by itself.
    Recovered,
    /// `sender: never`: what else a node may lie about is checked all the same.
    Believed,
}

impl Signers {
    fn profile(self) -> ChainProfile {
        let own = ChainProfile::built_in(ChainId(CHAIN_ID)).expect("the chain is built in");
        match self {
            Self::Recovered => own,
            Self::Believed => ChainProfile { checks: Checks { sender: Check::Never, ..own.checks }, ..own },
        }
    }
}

/// A follower's process. Dropping it kills it.
pub(crate) struct Program {
    child: Child,
    pid: i32,
    log: std::path::PathBuf,
}

impl Program {
    /// Starts it on the chain at `rpc_url`, from block `first` on. What is not set here is as the follower has it.
    pub(crate) async fn start(stage: &Stage, rpc_url: &str, first: u64, signers: Signers) -> Self {
        let spec = TaskSpec {
            version: OPERATOR_PROTOCOL,
            task_id: stage.task_id,
            fence: Fence(1),
            attempt: 1,
            job: "follow-bench".to_owned(),
            config: json!({"chain_id": CHAIN_ID, "chain": "bench", "start": first, "partition_blocks": PARTITION_BLOCKS,
                "finality": {"kind": "tags"}, "profile": signers.profile()}),
            input: json!({}),
        };
        let log = stage.folder.path().join("follower.log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_operator-block_follower"))
            .env_clear()
            .envs([MMAP_THRESHOLD])
            .env("DATABASE_URL", &stage.database.url)
            .env("RPC_URLS", rpc_url)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a log file"))
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let pid = child.id().expect("it was not waited for").cast_signed();
        let mut line = serde_json::to_string(&spec).expect("a task is JSON");
        line.push('\n');
        let mut input = child.stdin.take().expect("it was asked for");
        input.write_all(line.as_bytes()).await.expect("the program reads its task");
        Self { child, pid, log }
    }

    /// Processor time so far.
    pub(crate) fn cpu(&self) -> f64 {
        cpu_of(self.pid)
    }

    /// The most memory so far.
    pub(crate) fn peak_memory_mib(&self) -> f64 {
        peak_memory_bytes(self.pid).expect("the program lives") as f64 / f64::from(1 << 20)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Stops it as the worker does.
    ///
    /// # Panics
    /// If it ends badly.
    pub(crate) async fn stop(mut self) {
        kill(Pid::from_raw(self.pid), Signal::SIGTERM).expect("the program lives");
        let status = self.child.wait().await.expect("it can be waited for");
        assert!(status.success(), "the follower ended with {status}:\n{}", self.log());
    }
}
