//! The real program, started as a worker starts it.

use std::io::Write;
use std::process::{Command, Stdio};

use isotherm_types::{OperatorLine, OperatorResult, TaskSpec};

use crate::rows::range;
use crate::world::{SECRET_ACCESS_KEY, World, partitions_of};

fn run(world: &World, spec: &TaskSpec, without: &str) -> (Option<i32>, Vec<OperatorLine>) {
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
        .spawn()
        .unwrap();
    let line = serde_json::to_string(spec).unwrap();
    writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[tokio::test]
async fn the_program_speaks_the_operators_protocol() {
    let world = World::create(range(0, 25), 24).await;
    let mut spec = world.claim().await;
    spec.config =
        serde_json::json!({"chain_id": 31_337, "chain": "made", "datasets": ["blocks", "transactions", "logs"]});
    spec.input = serde_json::json!({"blocks": {"start": 10, "end": 20}});

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
