//! The real program, started as a worker starts it.

use std::process::Stdio;

use isotherm_types::{OperatorLine, OperatorResult, TaskSpec};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::world::{SECRET_ACCESS_KEY, World, config_json, recorded_chain};

/// What a run of the program came to.
struct Ended {
    code: Option<i32>,
    lines: Vec<OperatorLine>,
    log: String,
}

/// Runs the program with one task to its end, without the variable `without`.
async fn run(world: &World, spec: &TaskSpec, without: &str) -> Ended {
    let variables = [
        ("DATABASE_URL", world.database.url.as_str()),
        ("RPC_URLS", world.chain.url()),
        ("ISOTHERM_BUCKET_COLD", world.objects.bucket()),
        ("ISOTHERM_LOG", "info"),
        ("AWS_ENDPOINT_URL", world.endpoint_url.as_str()),
        ("AWS_REGION", isotherm_lab::ministack::REGION),
        ("AWS_ACCESS_KEY_ID", world.account.as_str()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ];
    let mut child = Command::new(env!("CARGO_BIN_EXE_operator-integrity_check"))
        .env_clear()
        .envs(variables.into_iter().filter(|(name, _)| *name != without))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let line = format!("{}\n", serde_json::to_string(spec).unwrap());
    child.stdin.take().unwrap().write_all(line.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    Ended {
        code: output.status.code(),
        lines: text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        log: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn claim(world: &World, changes: &Value) -> TaskSpec {
    let mut spec = world.claim("integrity_check").await;
    spec.config = config_json(changes);
    spec
}

#[tokio::test]
async fn the_program_completes_and_tells_the_log_and_a_metric_what_is_wrong() {
    let world = World::create(recorded_chain(11).await).await;
    let Ended { code, lines, log } = run(&world, &claim(&world, &json!({})).await, "RPC_URLS").await;
    assert_eq!(code, Some(0), "{lines:?}");
    let Some((OperatorLine::Result(OperatorResult::Completed { output }), progress)) = lines.split_last() else {
        panic!("{lines:?}");
    };
    assert_eq!((&output["finding_count"], &output["block_count"]), (&json!(0), &json!(20)));
    assert!(!progress.is_empty() && progress.iter().all(|line| matches!(line, OperatorLine::Progress { .. })));
    assert!(log.contains(r#""integrity_findings":0.0"#) && !log.contains("integrity.violated"), "{log}");
    assert!(log.contains(r#""operation":"GetObject""#) && log.contains(r#""s3_requests_total":"#), "{log}");

    let key = "cold/made/traces/traces_0000000010_0000000019.parquet";
    world.delete(key).await;
    let Ended { code, lines, log } = run(&world, &claim(&world, &json!({})).await, "").await;
    assert_eq!(code, Some(0), "what is wrong is no failure of the check: {lines:?}");
    assert!(log.contains(r#""integrity_findings":1.0"#), "{log}");
    let alert = log.lines().find(|line| line.contains("integrity.violated")).expect("somebody must look");
    assert!(alert.contains("ERROR") && alert.contains(key) && alert.contains("object_missing"), "{alert}");
}

#[tokio::test]
async fn what_the_program_lacks_is_named() {
    let world = World::create(recorded_chain(11).await).await;
    let anchored = json!({"level": "anchor", "finality": {"kind": "tags"}});
    let Ended { code, lines, .. } = run(&world, &claim(&world, &anchored).await, "RPC_URLS").await;
    assert_eq!(code, Some(1));
    let [OperatorLine::Result(OperatorResult::Failed { code, message, .. })] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    assert_eq!(code, "config.invalid");
    assert!(message.contains("RPC_URLS"), "{message}");
    let Ended { lines, .. } = run(&world, &claim(&world, &json!({"colour": "blue"})).await, "").await;
    assert!(format!("{lines:?}").contains("job.config_invalid"), "{lines:?}");
}
