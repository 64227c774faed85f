//! An operator's own program, as its worker runs it, and what it used.

use std::fs::File;
use std::process::Stdio;
use std::time::Instant;

use isotherm_lab::benchmark::{cpu_of, peak_memory_bytes};
use isotherm_lab::ministack::REGION;
use isotherm_types::operator::{MMAP_THRESHOLD, OPERATOR_PROTOCOL};
use isotherm_types::{Fence, OperatorLine, OperatorResult, TaskSpec};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::stage::{Bucket, SECRET_ACCESS_KEY, Stage};

/// What is to be run.
pub(crate) struct Run<'a> {
    /// Path of the program.
    pub(crate) program: &'a str,
    /// Variables beside those that every operator has.
    pub(crate) variables: &'a [(&'a str, &'a str)],
    /// Settings of its job.
    pub(crate) config: Value,
    /// Input of its task.
    pub(crate) input: Value,
}

/// How it ended.
pub(crate) struct Ended {
    /// Of the task.
    output: Value,
    /// From its start to its result.
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_memory_mib: f64,
}

impl Ended {
    /// The sum over its datasets.
    pub(crate) fn sum(&self, key: &str) -> u64 {
        let datasets = self.output["datasets"].as_array().expect("it tells of its datasets");
        datasets.iter().map(|dataset| dataset[key].as_u64().expect("it counts")).sum()
    }
}

/// Runs it to its end; `hear` gets the messages of its progress, which come up to 50 ms late, and of steps that follow
/// each other sooner only the last one's.
///
/// # Panics
/// If it does not complete its task.
pub(crate) async fn run(stage: &Stage, bucket: &Bucket, run: &Run<'_>, mut hear: impl FnMut(&str, Instant)) -> Ended {
    let spec = TaskSpec {
        version: OPERATOR_PROTOCOL,
        task_id: stage.task_id,
        fence: Fence(1),
        attempt: 1,
        job: "bench".to_owned(),
        config: run.config.clone(),
        input: run.input.clone(),
    };
    let log = stage.folder.path().join("operator.log");
    let began = Instant::now();
    let mut child = Command::new(run.program)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs([MMAP_THRESHOLD])
        .env("DATABASE_URL", &stage.database.url)
        .env("ISOTHERM_BUCKET_COLD", &bucket.name)
        .env("AWS_ENDPOINT_URL", stage.endpoint_url())
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", &bucket.account)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .envs(run.variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).expect("a log file"))
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    let pid = child.id().expect("it was not waited for").cast_signed();
    let task = format!("{}\n", serde_json::to_string(&spec).expect("a task is JSON"));
    let mut input = child.stdin.take().expect("it was asked for");
    input.write_all(task.as_bytes()).await.expect("the program reads its task");
    drop(input);

    let (mut peak_bytes, mut result) = (0, None);
    let mut lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
    while let Some(line) = lines.next_line().await.expect("the program's lines can be read") {
        let now = Instant::now();
        peak_bytes = peak_memory_bytes(pid).unwrap_or(0).max(peak_bytes);
        let said: OperatorLine = serde_json::from_str(&line).expect("it speaks the protocol");
        match said {
            OperatorLine::Progress { message, .. } => hear(&message, now),
            OperatorLine::Waiting => {}
            OperatorLine::Result(end) => result = Some((end, now)),
        }
    }
    // It has ended and was not waited for: the kernel still knows what it used.
    let cpu_seconds = cpu_of(pid);
    let status = child.wait().await.expect("it can be waited for");
    let (output, ended) = match result {
        Some((OperatorResult::Completed { output }, ended)) => (output, ended),
        other => {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            panic!("the program ended with {status} and {other:?}:\n{log}");
        }
    };
    let peak_memory_mib = peak_bytes as f64 / f64::from(1 << 20);
    Ended { output, seconds: ended.duration_since(began).as_secs_f64(), cpu_seconds, peak_memory_mib }
}
