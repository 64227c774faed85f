//! The real program, started as a worker starts it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use isotherm_types::{OperatorLine, OperatorResult, TaskSpec};
use serde_json::Value;

use crate::rows::range;
use crate::world::{SECRET_ACCESS_KEY, World, partitions_of};

fn start(world: &World, spec: &TaskSpec, without: &str, stderr: Stdio) -> Child {
    let variables = [
        ("DATABASE_URL", world.database.url.as_str()),
        ("ISOTHERM_BUCKET_COLD", world.objects.bucket()),
        ("AWS_ENDPOINT_URL", &world.endpoint_url),
        ("AWS_REGION", isotherm_lab::ministack::REGION),
        ("AWS_ACCESS_KEY_ID", &world.account),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ];
    let mut child = Command::new(env!("CARGO_BIN_EXE_operator-parquet_compact"))
        .env_clear()
        .envs(variables.into_iter().filter(|(name, _)| *name != without))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let line = serde_json::to_string(spec).unwrap();
    writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
    child
}

fn run(world: &World, spec: &TaskSpec, without: &str) -> (Option<i32>, Vec<OperatorLine>) {
    let output = start(world, spec, without, Stdio::inherit()).wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Ends the program with SIGKILL at the first line that holds `word`, or when it has ended.
fn run_until(world: &World, spec: &TaskSpec, word: &str) {
    let mut child = start(world, spec, "", Stdio::inherit());
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let _ = lines.map(Result::unwrap).find(|line| line.contains(word));
    child.kill().unwrap();
    child.wait().unwrap();
}

async fn claim(world: &World, start: u64, end: u64) -> TaskSpec {
    let mut spec = world.claim().await;
    let datasets = ["blocks", "transactions", "logs"];
    spec.config = serde_json::json!({"chain_id": 31_337, "chain": "made", "datasets": datasets});
    spec.input = serde_json::json!({"blocks": {"start": start, "end": end}});
    spec
}

#[tokio::test]
async fn the_program_speaks_the_operators_protocol() {
    let world = World::create(range(0, 25), 24).await;
    let mut spec = claim(&world, 10, 20).await;
    let (code, lines) = run(&world, &spec, "");
    assert_eq!(code, Some(0));
    let Some((OperatorLine::Result(OperatorResult::Completed { output }), progress)) = lines.split_last() else {
        panic!("{lines:?}");
    };
    assert_eq!(output["datasets"][2]["watermark"], 19);
    assert!(!progress.is_empty() && progress.iter().all(|line| matches!(line, OperatorLine::Progress { .. })));
    world.check(&partitions_of(0, 20)).await;

    let (code, lines) = run(&world, &spec, "ISOTHERM_BUCKET_COLD");
    assert_eq!(code, Some(1));
    let [OperatorLine::Result(OperatorResult::Failed { code, message, .. })] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    assert_eq!(code, "config.invalid");
    assert!(message.contains("ISOTHERM_BUCKET_COLD"), "{message}");

    spec.config["colour"] = "blue".into();
    let (_, lines) = run(&world, &spec, "");
    assert!(format!("{lines:?}").contains("job.config_invalid"), "{lines:?}");
}

#[tokio::test]
async fn the_program_tells_how_much_it_wrote_and_what_it_asked_of_s3() {
    let world = World::create(range(0, 60), 59).await;
    let spec = claim(&world, 0, 20).await;
    let output = start(&world, &spec, "", Stdio::piped()).wait_with_output().unwrap();
    assert!(output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let total = |metric: &str, of: [(&str, &str); 2]| -> f64 {
        let are_meant = lines.iter().filter(|line| of.iter().all(|(name, value)| line[*name] == **value));
        are_meant.filter_map(|line| line[metric].as_f64()).sum()
    };
    let (size_bytes,): (i64,) = sqlx::query_as("SELECT sum(size_bytes)::bigint FROM cold.data_partitions")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert!(size_bytes > 0);
    assert_eq!(total("bytes_written", [("chain", "made"), ("store", "cold")]), size_bytes as f64, "{log}");
    let requests = |operation| total("s3_requests_total", [("operation", operation), ("outcome", "ok")]);
    assert_eq!(
        requests("PutObject"),
        12.0,
        "a file and a manifest for each of two partitions of three datasets: {log}"
    );
    assert!(requests("GetObject") >= 12.0, "each is read back: {log}");
}

#[tokio::test]
async fn a_program_that_was_killed_is_completed_by_the_next() {
    let world = World::create(range(0, 60), 59).await;
    for (index, word) in (0..).zip(["reading", "is staged", "is stored", "is written", "is in cold storage"]) {
        let (start, end) = (index * 10, (index + 1) * 10);
        run_until(&world, &claim(&world, start, end).await, word);
        let (code, lines) = run(&world, &claim(&world, start, end).await, "");
        assert_eq!(code, Some(0), "after {word:?}: {lines:?}");
        world.check(&partitions_of(0, end)).await;
    }
}
