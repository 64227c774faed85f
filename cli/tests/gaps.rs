//! `isotherm gaps`, and what `isotherm backfill` and `isotherm cold gc` refuse, on a real database.

mod announced;

use announced::{Announced, Ended};
use isotherm_control::{jobs, pipeline};
use isotherm_hot_store::cursor;
use isotherm_types::ChainId;
use serde_json::{Value, json};
use sqlx::PgConnection;

const CHAIN: ChainId = ChainId(31_337);

/// Logs of blocks 100 to 199 are cold, those of 20 to 59 wait.
const LOGS: &str = r#"
    INSERT INTO cold.datasets (chain_id, dataset, first_block, watermark, manifest_version, manifest_key,
                               manifest_sha256)
    VALUES (31337, 'logs', 100, 199, 1, 'cold/demo/logs/manifests/0000000001.json', decode(repeat('00', 32), 'hex'));
    INSERT INTO cold.pending_files (chain_id, dataset, start_block, end_block, parent_hash, file)
    SELECT 31337, 'logs', first, first + 20, decode(repeat('00', 32), 'hex'), jsonb_build_object(
               'key', format('cold/demo/logs/logs_%s_%s.parquet', lpad(first::text, 10, '0'),
                             lpad((first + 19)::text, 10, '0')),
               'blocks', jsonb_build_object('start', first, 'end', first + 20), 'row_count', 0, 'size_bytes', 1,
               'sha256', repeat('00', 32), 'first_block_hash', '0x' || repeat('00', 32),
               'last_block_hash', '0x' || repeat('00', 32), 'schema_version', 1, 'writer_version', 'test',
               'roots', '{"header_hash": "ok", "transactions_root": "ok", "receipts_root": "ok"}'::jsonb)
      FROM unnest(ARRAY[20, 40]) AS first"#;

const PIPELINE: &str = "
version: 1
jobs:
  - name: backfill-demo
    operator: cryo_ingest
    strategy: per_partition
    secrets: { DATABASE_URL: isotherm/database, RPC_URLS: isotherm/rpc/demo }
    config: { chain_id: 31337, chain: demo, datasets: [logs], partition_blocks: 20 }
";

/// A database with one chain that nobody has followed yet.
struct Scene(Announced);

impl Scene {
    async fn new() -> Self {
        let scene = Self(Announced::new().await);
        cursor::ensure(&mut scene.connect().await, CHAIN, "demo", 20).await.unwrap();
        scene
    }

    async fn connect(&self) -> PgConnection {
        self.0.connect().await
    }

    async fn with_job(self) -> Self {
        let mut conn = self.connect().await;
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        pipeline::apply(&mut conn, org, &pipeline::parse(PIPELINE).unwrap(), "test").await.unwrap();
        self
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        self.0.run(arguments).await
    }

    /// What the command says why it does nothing.
    async fn refusal(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        ended.stderr
    }
}

#[tokio::test]
async fn gaps_between_cold_storage_and_waiting_files_are_told_with_their_command() {
    let scene = Scene::new().await;
    let nothing = scene.run(&["gaps", "--chain", "demo"]).await;
    assert!(nothing.code == Some(0) && nothing.stdout.contains("nothing is stored"), "{nothing:?}");

    sqlx::raw_sql(LOGS).execute(&mut scene.connect().await).await.unwrap();
    let ended = scene.run(&["gaps", "--chain", "31337", "--output", "json"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    let fill = "isotherm backfill --chain demo --from 60 --to 100";
    assert_eq!(found[0]["datasets"].as_array().unwrap().len(), 1, "{found:#}");
    let logs = &found[0]["datasets"][0];
    assert_eq!((&logs["dataset"], &logs["blocks"]), (&json!("logs"), &json!({ "start": 20, "end": 200 })));
    assert_eq!(logs["missing"], json!([{ "blocks": { "start": 60, "end": 100 }, "fill": fill }]));
    let people = scene.run(&["gaps"]).await;
    for part in [fill, "not all is there of blocks 20 to 199; 40 of them wait"] {
        assert!(people.code == Some(1) && people.stdout.contains(part), "{part}: {people:?}");
    }
    let unknown = scene.refusal(&["gaps", "--chain", "nobody"]).await;
    assert!(unknown.contains("there are: demo"), "{unknown}");
}

#[tokio::test]
async fn what_a_task_was_asked_for_counts_from_there_on() {
    let scene = Scene::new().await.with_job().await;
    let mut conn = scene.connect().await;
    sqlx::raw_sql(LOGS).execute(&mut conn).await.unwrap();
    let job_id = jobs::active(&mut conn).await.unwrap()[0].id;
    let task = isotherm_control::tasks::NewTask {
        job_id,
        idempotency_key: "one".to_owned(),
        input: json!({ "blocks": { "start": 0, "end": 20 } }),
        delay: std::time::Duration::ZERO,
    };
    isotherm_control::tasks::create(&mut conn, &task, "test").await.unwrap();
    let ended = scene.run(&["gaps", "--output", "json"]).await;
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    let missing = &found[0]["datasets"][0]["missing"];
    assert_eq!(missing[0]["blocks"], json!({ "start": 0, "end": 20 }), "{found:#}");
    assert_eq!(missing[1]["blocks"], json!({ "start": 60, "end": 100 }), "{found:#}");
}

#[tokio::test]
async fn a_backfill_that_cannot_be_is_refused_with_what_to_do() {
    let scene = Scene::new().await;
    let backfill = ["backfill", "--chain", "demo", "--from", "0", "--to", "50"];
    let no_job = scene.refusal(&backfill).await;
    assert!(no_job.contains("no job backfills chain demo") && no_job.contains("monad-pipeline.yaml"), "{no_job}");

    let scene = scene.with_job().await;
    let torn = scene.refusal(&backfill).await;
    assert!(torn.contains("--from 0 --to 60"), "{torn}");
    let others = scene.refusal(&[&backfill[..], &["--datasets", "blocks,logs"]].concat()).await;
    assert!(others.contains("with exactly blocks, logs") && others.contains("backfill-demo (demo: logs)"), "{others}");
    let away = scene.refusal(&["backfill", "--chain", "demo", "--from", "0", "--to", "60", "--yes"]).await;
    assert!(away.contains("could not read the endpoints of job backfill-demo"), "{away}");
    let misspelt = scene.run(&[&backfill[..], &["--datasets", "block"]].concat()).await;
    assert_eq!(misspelt.code, Some(2), "{misspelt:?}");
}

#[tokio::test]
async fn nothing_is_deleted_while_a_job_may_write() {
    let scene = Scene::new().await.with_job().await;
    let refused = scene.refusal(&["cold", "gc", "--chain", "demo", "--delete"]).await;
    assert!(refused.contains("`isotherm jobs pause backfill-demo`"), "{refused}");

    // Those of other organisations write to the same cold storage.
    let scene = Scene::new().await;
    let mut conn = scene.connect().await;
    let others = isotherm_access::orgs::create(&mut conn, "others", "test").await.unwrap();
    pipeline::apply(&mut conn, others, &pipeline::parse(PIPELINE).unwrap(), "test").await.unwrap();
    let refused = scene.refusal(&["cold", "gc", "--chain", "demo", "--delete"]).await;
    assert!(refused.contains("take backfill-demo out of the jobs of others"), "{refused}");
}
