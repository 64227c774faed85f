//! `isotherm cold repair` as a command, on a real database.

mod announced;

use announced::Announced;
use isotherm_cold_store::catalog::checks::{self, Sighting};
use isotherm_cold_store::integrity::{Fault, Finding};
use isotherm_control::{jobs, pipeline, tasks};
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset, TaskId};
use serde_json::{Value, json};

const LOGS: &str = "cold/demo/logs/logs_0000000000_0000000009.parquet";
const BLOCKS: &str = "cold/demo/blocks/blocks_0000000000_0000000009.parquet";
const MANIFEST: &str = "cold/demo/logs/manifests/0000000001.json";

const JOBS: &str = "\
version: 1
jobs:
  - { name: other, operator: cryo_ingest, config: { chain_id: 5, chain: other, datasets: [logs] } }
  - { name: backfill, operator: cryo_ingest, config: { chain_id: 31337, chain: demo, datasets: [logs] } }
";

/// A database with two jobs.
struct Scene(Announced);

impl Scene {
    async fn new() -> Self {
        let scene = Self(Announced::new().await);
        let mut conn = scene.0.connect().await;
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        pipeline::apply(&mut conn, org, &pipeline::parse(JOBS).unwrap(), "test").await.unwrap();
        scene
    }

    async fn find(&self, key: &str, dataset: Dataset, fault: Fault) {
        let is_manifest = key.ends_with(".json");
        let finding = Finding {
            dataset,
            object: key.to_owned(),
            blocks: BlockRange::new(BlockNumber(0), BlockNumber(10)).ok().filter(|_| !is_manifest),
            fault,
            message: "it is wrong".to_owned(),
        };
        let (chain_id, evidence, task_id) = (ChainId(31_337), json!({}), TaskId(1));
        let sighting = Sighting { chain_id, finding: &finding, evidence: &evidence, task_id };
        checks::record(&mut self.0.connect().await, &sighting).await.unwrap();
    }

    async fn run(&self, further: &[&str]) -> (Option<i32>, String, String) {
        let ended = self.0.run(&[&["cold", "repair", "--chain"], further].concat()).await;
        (ended.code, ended.stdout, ended.stderr)
    }

    /// Exit code, and outcome of each object by its key.
    async fn json(&self, further: &[&str]) -> (Option<i32>, Vec<(String, String)>, Value) {
        let (code, stdout, stderr) = self.run(&[further, &["--output", "json"]].concat()).await;
        let value: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout} {stderr}"));
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let objects = value["objects"].as_array().unwrap().iter();
        let outcomes = objects.map(|object| (word(&object["object_key"]), word(&object["outcome"]))).collect();
        (code, outcomes, value)
    }
}

fn outcomes(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(key, outcome)| ((*key).to_owned(), (*outcome).to_owned())).collect()
}

#[tokio::test]
async fn what_can_be_restored_gets_a_task_and_the_rest_a_reason() {
    let scene = Scene::new().await;
    let (code, stdout, _) = scene.run(&["demo"]).await;
    assert!(code == Some(0) && stdout.contains("no finding of a check is open"), "{stdout}");

    scene.find(LOGS, Dataset::Logs, Fault::DigestDiffers).await;
    let (code, shown, _) = scene.json(&["demo"]).await;
    assert_eq!((code, shown), (Some(0), outcomes(&[(LOGS, "repairable")])));
    scene.find(MANIFEST, Dataset::Logs, Fault::ManifestAltered).await;
    scene.find(BLOCKS, Dataset::Blocks, Fault::ObjectMissing).await;

    // Nothing was made yet; by chain id it is the same chain.
    let (code, made, value) = scene.json(&["31337", "--all"]).await;
    assert_eq!(made, outcomes(&[(LOGS, "queued"), (MANIFEST, "refused"), (BLOCKS, "refused")]), "{value:#}");
    assert_eq!(code, Some(1), "not all can be restored");
    assert!(value["objects"][1]["message"].as_str().unwrap().contains("a manifest is not made again"), "{value:#}");
    assert!(value["objects"][2]["message"].as_str().unwrap().contains("names blocks in `datasets`"), "{value:#}");
    let task_id = TaskId(value["objects"][0]["task_id"].as_i64().unwrap());
    let mut conn = scene.0.connect().await;
    let task = tasks::show(&mut conn, task_id).await.unwrap().task;
    assert_eq!((task.job.as_str(), task.operator.as_str()), ("backfill", "cryo_ingest"));
    assert_eq!(task.input, json!({"repair": {"dataset": "logs", "blocks": {"start": 0, "end": 10}}}));

    // Asked for again, it is the same task.
    let (code, again, value) = scene.json(&["demo", "--object", LOGS]).await;
    assert_eq!((code, again), (Some(0), outcomes(&[(LOGS, "already")])));
    assert_eq!(value["objects"][0]["task_id"], task_id.0);
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM control.tasks").fetch_one(&mut conn).await.unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn an_object_or_a_chain_that_nobody_knows_is_refused() {
    let scene = Scene::new().await;
    scene.find(LOGS, Dataset::Logs, Fault::DigestDiffers).await;
    let (code, _, stderr) = scene.run(&["demo", "--object", BLOCKS]).await;
    assert!(code == Some(1) && stderr.contains("no finding on") && stderr.contains(BLOCKS), "{stderr}");
    let (code, _, stderr) = scene.run(&["nobody"]).await;
    assert!(code == Some(1) && stderr.contains("there are: demo, other"), "{stderr}");
    let (code, stdout, _) = scene.run(&["other", "--all"]).await;
    assert!(code == Some(0) && stdout.contains("no finding of a check is open"), "{stdout}");
}
