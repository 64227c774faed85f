//! The real program, started as a worker starts it, and made to die between any two steps.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use isotherm_platform::crash_points::CRASH_POINT_VARIABLE;
use isotherm_types::{BlockRange, CrashPoint, Dataset, OperatorLine, OperatorResult, TaskSpec};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::repairing::{damage, key_of};
use crate::world::{SECRET_ACCESS_KEY, World, config_json, range, recorded_chain};

/// Source: signal(7), `SIGABRT`.
const SIGABRT: i32 = 6;

/// A task's claim. Whoever died before it holds no part of the endpoint's rate any more, which would be waited for.
async fn claim(world: &World, blocks: BlockRange) -> TaskSpec {
    sqlx::query("DELETE FROM control.rate_shares").execute(&world.pool).await.unwrap();
    let mut spec = world.claim().await;
    spec.config = config_json(&json!({}));
    spec.input = json!({ "blocks": blocks });
    spec
}

/// Runs the program with one task to its end; a variable of `changes` replaces the worker's, and an empty one is not
/// there.
async fn run(world: &World, spec: &TaskSpec, changes: &[(&str, &str)]) -> (ExitStatus, Vec<OperatorLine>) {
    let mut variables = vec![
        ("DATABASE_URL", world.database.url.as_str()),
        ("RPC_URLS", world.chain.url()),
        ("ISOTHERM_BUCKET_COLD", world.objects.bucket()),
        ("ISOTHERM_LOG", "off"),
        ("AWS_ENDPOINT_URL", world.endpoint_url.as_str()),
        ("AWS_REGION", isotherm_lab::ministack::REGION),
        ("AWS_ACCESS_KEY_ID", world.account.as_str()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ];
    variables.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    variables.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    let mut child = Command::new(env!("CARGO_BIN_EXE_operator-cryo_ingest"))
        .env_clear()
        .envs(variables)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let line = format!("{}\n", serde_json::to_string(spec).unwrap());
    child.stdin.take().unwrap().write_all(line.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[tokio::test]
async fn the_program_speaks_the_operators_protocol() {
    let world = World::create(recorded_chain(11).await).await;
    let mut spec = claim(&world, range(0, 20)).await;
    let (status, lines) = run(&world, &spec, &[]).await;
    assert_eq!(status.code(), Some(0), "{lines:?}");
    let Some((OperatorLine::Result(OperatorResult::Completed { output }), progress)) = lines.split_last() else {
        panic!("{lines:?}");
    };
    assert_eq!(output["datasets"][2]["file_count"], 2);
    assert!(!progress.is_empty() && progress.iter().all(|line| matches!(line, OperatorLine::Progress { .. })));
    world.check(&[range(0, 10), range(10, 20)]).await;

    let (status, lines) = run(&world, &spec, &[("RPC_URLS", ""), ("ISOTHERM_BUCKET_COLD", "")]).await;
    assert_eq!(status.code(), Some(1));
    let [OperatorLine::Result(OperatorResult::Failed { code, message, .. })] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    assert_eq!(code, "config.invalid");
    assert!(message.contains("RPC_URLS") && message.contains("ISOTHERM_BUCKET_COLD"), "{message}");

    spec.config["colour"] = "blue".into();
    let (_, lines) = run(&world, &spec, &[]).await;
    assert!(format!("{lines:?}").contains("job.config_invalid"), "{lines:?}");
}

#[tokio::test]
async fn a_program_that_dies_between_any_two_steps_is_completed_by_the_next() {
    let tape = recorded_chain(11).await;
    for point in [
        CrashPoint::IngestStaged,
        CrashPoint::IngestStored,
        CrashPoint::IngestPending,
        CrashPoint::IngestListed,
        CrashPoint::IngestCommitted,
    ] {
        let world = World::create(tape.clone()).await;
        // The first passing, and one among the files of the second partition.
        for (partition, hit) in [(0, 1), (10, if point == CrashPoint::IngestStaged { 1 } else { 3 })] {
            let blocks = range(partition, partition + 10);
            let doomed = format!("{}:{hit}", point.as_str());
            let (status, lines) =
                run(&world, &claim(&world, blocks).await, &[(CRASH_POINT_VARIABLE, doomed.as_str())]).await;
            assert_eq!(status.signal(), Some(SIGABRT), "{doomed}: {lines:?}");
            let (status, lines) = run(&world, &claim(&world, blocks).await, &[]).await;
            assert_eq!(status.code(), Some(0), "after {doomed}: {lines:?}");
        }
        world.check(&[range(0, 10), range(10, 20)]).await;
        assert_eq!(world.keys().await.len(), 4 * 2 * 2, "{}", point.as_str());
    }
}

#[tokio::test]
async fn a_repair_that_dies_between_any_two_steps_is_completed_by_the_next() {
    let world = World::create(recorded_chain(11).await).await;
    let blocks = range(0, 10);
    world.ingest(blocks, &json!({})).await.unwrap();
    let key = key_of(&world, Dataset::Logs, blocks).await;
    let repair = async || {
        let mut spec = claim(&world, blocks).await;
        spec.input = json!({ "repair": { "dataset": "logs", "blocks": blocks } });
        spec
    };
    for (point, outcome) in [
        (CrashPoint::IngestStaged, "restored"),
        (CrashPoint::RestoreKept, "restored"),
        (CrashPoint::RestoreStored, "nothing_to_repair"),
    ] {
        damage(&world, &key).await;
        let (status, lines) = run(&world, &repair().await, &[(CRASH_POINT_VARIABLE, point.as_str())]).await;
        assert_eq!(status.signal(), Some(SIGABRT), "{point:?}: {lines:?}");
        let (_, lines) = run(&world, &repair().await, &[]).await;
        let Some(OperatorLine::Result(OperatorResult::Completed { output })) = lines.last() else {
            panic!("after {point:?}: {lines:?}");
        };
        assert_eq!(output["repair"]["outcome"], outcome, "after {point:?}");
        world.check(&[blocks]).await;
    }
    // The damage was the same each time.
    assert_eq!(world.keys().await.len(), 4 * 2 + 1);
}
