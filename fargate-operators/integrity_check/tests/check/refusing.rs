//! Checks that cannot be made: they say why, and record nothing.

use isotherm_cold_store::ObjectStore;
use isotherm_platform::Fault;
use isotherm_platform::database::PATIENCE;
use isotherm_types::{BlockNumber, BlockRange, ChainId, Classified as _, Disposition, Fence};
use operator_integrity_check::Input;
use serde_json::json;

use crate::world::{World, recorded_chain};

const LOGS: &str = "cold/made/logs/logs_0000000000_0000000009.parquet";

#[tokio::test]
async fn a_job_or_a_task_of_another_chain_finds_nothing_wrong() {
    let world = World::create(recorded_chain(11).await).await;
    let spec = world.claim("integrity_check").await;
    let check = world.prepare(&spec, &json!({"chain": "other"}), &[]).await.unwrap();
    let refused = check.run(Input::default()).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("integrity.other_name", Disposition::GiveUp));
    let check = world.prepare(&spec, &json!({}), &[]).await.unwrap();
    let refused = check.run(Input { chain_id: Some(ChainId(1)), ..Input::default() }).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("integrity.other_chain", Disposition::GiveUp));
    assert!(world.findings().await.is_empty());
}

#[tokio::test]
async fn a_task_about_one_partition_reads_that_alone() {
    let world = World::create(recorded_chain(11).await).await;
    world.delete(LOGS).await;
    let spec = world.claim("integrity_check").await;
    let check = world.prepare(&spec, &json!({"level": "file"}), &[]).await.unwrap();
    let blocks = BlockRange::new(BlockNumber(10), BlockNumber(20)).ok();
    let datasets = Some(vec![isotherm_types::Dataset::Logs]);
    let input = Input { blocks, datasets, chain_id: None, cause: Some("partition_committed".to_owned()) };
    check.run(input).await.unwrap();
    assert!(world.findings().await.is_empty());
    check.run(Input::default()).await.unwrap();
    assert_eq!(world.findings().await.len(), 1);
}

#[tokio::test]
async fn a_check_whose_task_was_taken_over_records_nothing() {
    let world = World::create(recorded_chain(11).await).await;
    world.delete(LOGS).await;
    let spec = world.claim("integrity_check").await;
    let mut check = world.prepare(&spec, &json!({"level": "file"}), &[]).await.unwrap();
    check.task = (spec.task_id, Fence(spec.fence.0 - 1));
    assert_eq!(check.run(Input::default()).await.unwrap_err().code(), "control.stale_fence");
    assert!(world.findings().await.is_empty());
    assert!(world.told().await.is_empty());
}

#[tokio::test]
async fn storage_that_does_not_answer_is_no_finding() {
    let world = World::create(recorded_chain(11).await).await;
    let spec = world.claim("integrity_check").await;
    let mut check = world.prepare(&spec, &json!({"level": "file"}), &[]).await.unwrap();
    // Nobody listens there.
    let config = world.s3.config().to_builder().endpoint_url("http://127.0.0.1:1").build();
    check.objects = ObjectStore::new(aws_sdk_s3::Client::from_conf(config), world.objects.bucket());
    let refused = check.run(Input::default()).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("cold_store.s3", Disposition::Retry));
    assert!(world.findings().await.is_empty());
}

#[tokio::test]
async fn a_database_that_does_not_answer_fails_the_attempt_and_the_next_records() {
    let world = World::create(recorded_chain(11).await).await;
    world.delete(LOGS).await;
    let spec = world.claim("integrity_check").await;
    let check = world.prepare(&spec, &json!({"level": "file"}), &[]).await.unwrap();
    let mut holder = world.database.connect().await.unwrap();
    let lock = "BEGIN; LOCK TABLE cold.integrity_checks IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    let attempt = tokio::time::timeout(3 * PATIENCE, check.run(Input::default())).await;
    let fault = Fault::from(attempt.expect("it ends").unwrap_err());
    assert_eq!(fault.code(), "integrity.postgres");
    assert!(fault.is_database_away() && fault.message().contains("record a finding"), "{fault}");
    drop(holder);
    check.run(Input::default()).await.unwrap();
    assert_eq!(world.findings().await.len(), 1);
}
