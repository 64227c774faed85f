//! A file of cold storage that is damaged or gone is put back with the same bytes, and what was there is kept; whatever
//! cannot be made again exactly is left as it is.

use std::collections::HashMap;

use isotherm_cold_store::catalog;
use isotherm_cold_store::integrity::{self, Fault, Level, ManifestHead, Plan, Sampling};
use isotherm_cold_store::{ChainName, Sha256Digest};
use isotherm_control::tasks;
use isotherm_lab::tape::TapeServer;
use isotherm_platform::operator_main::OperatorEnd;
use isotherm_types::{BlockRange, ChainId, Classified, Dataset, Disposition};
use operator_cryo_ingest::{IngestError, Repair, Step};
use serde_json::{Value, json};

use crate::compaction::compact;
use crate::world::{CHAIN_ID, World, range, recorded_chain};

const LIMIT_BYTES: u64 = 1 << 24;

async fn bytes(world: &World, key: &str) -> Option<Vec<u8>> {
    world.objects.read(key, LIMIT_BYTES).await.unwrap().map(Vec::from)
}

async fn overwrite(world: &World, key: &str, bytes: Vec<u8>) {
    world.s3.put_object().bucket(world.objects.bucket()).key(key).body(bytes.into()).send().await.unwrap();
}

async fn delete(world: &World, key: &str) {
    world.s3.delete_object().bucket(world.objects.bucket()).key(key).send().await.unwrap();
}

/// Changes one bit in the middle of an object; what is there now.
pub(crate) async fn damage(world: &World, key: &str) -> Vec<u8> {
    let mut bytes = bytes(world, key).await.unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    overwrite(world, key, bytes.clone()).await;
    bytes
}

/// Key of the listed file that has exactly these blocks.
pub(crate) async fn key_of(world: &World, dataset: Dataset, blocks: BlockRange) -> String {
    let files = world.partitions(dataset).await;
    files.into_iter().find(|file| file.blocks == blocks).expect("it is listed").object_key
}

async fn repair(world: &World, dataset: Dataset, blocks: BlockRange) -> Result<OperatorEnd, IngestError> {
    repair_as(world, &json!({}), None, Repair { dataset, blocks }).await
}

async fn repair_as(
    world: &World,
    changes: &Value,
    stop_at: Option<(Step, usize)>,
    repair: Repair,
) -> Result<OperatorEnd, IngestError> {
    let spec = world.claim().await;
    world.backfill((spec.task_id, spec.fence), changes, stop_at).await.repair(repair).await
}

fn output(end: OperatorEnd) -> Value {
    let OperatorEnd::Completed(output) = end else { panic!("it was released") };
    output["repair"].clone()
}

async fn refusal(world: &World, changes: &Value, dataset: Dataset, blocks: BlockRange) -> (&'static str, Disposition) {
    let refused = repair_as(world, changes, None, Repair { dataset, blocks }).await.unwrap_err();
    (refused.code(), refused.disposition())
}

/// What a check finds wrong with cold storage, as far down as its rows.
async fn faults(world: &World) -> Vec<(String, Fault)> {
    let mut conn = world.pool.acquire().await.unwrap();
    let mut heads = HashMap::new();
    for dataset in Dataset::ALL {
        let head = catalog::head(&mut conn, ChainId(CHAIN_ID), dataset).await.unwrap().expect("it is cold");
        heads.insert(dataset, ManifestHead::from(&head));
    }
    let (chain, scratch) = (ChainName::new("made").unwrap(), std::env::temp_dir());
    let plan = Plan {
        objects: &world.objects,
        chain: &chain,
        datasets: Dataset::ALL.to_vec(),
        heads,
        blocks: None,
        level: Level::Chain,
        anchor: None,
        sampling: Sampling::None,
        scratch: &scratch,
        at_most_bytes: 64 << 20,
    };
    let report = integrity::check(&plan, &mut |_| ()).await.unwrap();
    report.findings.into_iter().map(|finding| (finding.object, finding.fault)).collect()
}

async fn assert_sound(world: &World) {
    let faults = faults(world).await;
    assert!(faults.is_empty(), "{faults:?}");
}

#[tokio::test]
async fn a_damaged_file_is_restored_to_the_same_bytes_and_what_was_there_is_kept() {
    let world = World::create(recorded_chain(11).await).await;
    world.ingest(range(0, 20), &json!({})).await.unwrap();
    for dataset in Dataset::ALL {
        let key = key_of(&world, dataset, range(10, 20)).await;
        let sound = bytes(&world, &key).await;
        let damaged = damage(&world, &key).await;
        assert!(faults(&world).await.contains(&(key.clone(), Fault::DigestDiffers)), "{dataset}");

        let (fetched_before, calls_before) = (world.fetched().len(), world.chain.calls().len());
        let output = output(repair(&world, dataset, range(10, 20)).await.unwrap());
        assert_eq!((&output["outcome"], &output["object_key"]), (&json!("restored"), &json!(key)), "{output}");
        assert_eq!(output["found"]["sha256"], Sha256Digest::of(&damaged).to_string(), "{output}");
        assert_eq!(bytes(&world, &key).await, sound, "{dataset}");
        let evidence_key = output["evidence_key"].as_str().unwrap();
        let folder = format!("cold/made/evidence/{dataset}/");
        assert!(evidence_key.starts_with(&folder) && evidence_key.ends_with(".damaged"), "{evidence_key}");
        assert_eq!(bytes(&world, evidence_key).await, Some(damaged), "{dataset}");
        assert_sound(&world).await;

        // Only this file's blocks, and traces only for a file of traces.
        assert_eq!(world.fetched()[fetched_before..], (10..20_u64).collect::<Vec<_>>());
        let calls = world.chain.calls();
        let is_traced = calls[calls_before..].iter().any(|(method, _)| method == "trace_block");
        assert_eq!(is_traced, dataset == Dataset::Traces, "{dataset}");
    }
    world.check(&[range(0, 10), range(10, 20)]).await;
    assert_eq!(world.keys().await.len(), 4 * 2 * 2 + 4);
}

#[tokio::test]
async fn a_file_that_is_gone_is_put_back() {
    let world = World::create(recorded_chain(11).await).await;
    world.ingest(range(0, 10), &json!({})).await.unwrap();
    let (key, keys) = (key_of(&world, Dataset::Traces, range(0, 10)).await, world.keys().await);
    let sound = bytes(&world, &key).await;
    delete(&world, &key).await;
    assert!(faults(&world).await.contains(&(key.clone(), Fault::ObjectMissing)));
    let output = output(repair(&world, Dataset::Traces, range(0, 10)).await.unwrap());
    assert_eq!((&output["outcome"], &output["found"]), (&json!("restored"), &Value::Null), "{output}");
    assert_eq!(bytes(&world, &key).await, sound);
    assert_sound(&world).await;
    assert_eq!(world.keys().await, keys);
}

#[tokio::test]
async fn a_merged_file_is_restored_as_one_and_the_short_ones_before_it_are_not() {
    let world = World::create(recorded_chain(11).await).await;
    world.follow(range(15, 30)).await;
    compact(&world, range(15, 20)).await;
    world.ingest(range(0, 20), &json!({})).await.unwrap();
    let short = key_of(&world, Dataset::Logs, range(10, 15)).await;
    compact(&world, range(15, 30)).await;
    let key = key_of(&world, Dataset::Logs, range(10, 20)).await;
    let sound = bytes(&world, &key).await;
    damage(&world, &key).await;
    let output = output(repair(&world, Dataset::Logs, range(10, 20)).await.unwrap());
    assert_eq!(output["outcome"], "restored", "{output}");
    assert_eq!(bytes(&world, &key).await, sound);
    assert_sound(&world).await;

    let damaged = damage(&world, &short).await;
    let refused = repair(&world, Dataset::Logs, range(10, 15)).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("cold_store.not_listed", Disposition::GiveUp));
    assert!(refused.to_string().contains(&key), "{refused}");
    assert_eq!(bytes(&world, &short).await, Some(damaged));
}

#[tokio::test]
async fn a_sound_file_is_not_touched_and_nothing_is_fetched() {
    let world = World::create(recorded_chain(11).await).await;
    world.ingest(range(0, 10), &json!({})).await.unwrap();
    let (fetched, keys) = (world.fetched(), world.keys().await);
    let output = output(repair(&world, Dataset::Blocks, range(0, 10)).await.unwrap());
    assert_eq!(output["outcome"], "nothing_to_repair", "{output}");
    assert!(output["message"].as_str().unwrap().contains("wrong when they were committed"), "{output}");
    assert_eq!((world.fetched(), world.keys().await), (fetched, keys));
}

#[tokio::test]
async fn a_file_that_comes_out_otherwise_is_put_nowhere() {
    let mut world = World::create(recorded_chain(11).await).await;
    world.ingest(range(0, 10), &json!({})).await.unwrap();
    let (key, keys) = (key_of(&world, Dataset::Logs, range(0, 10)).await, world.keys().await);
    let sound = bytes(&world, &key).await.unwrap();
    let damaged = damage(&world, &key).await;

    let other = TapeServer::start(recorded_chain(12).await).await.unwrap();
    let ours = std::mem::replace(&mut world.chain, other);
    let refused = repair(&world, Dataset::Logs, range(0, 10)).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("ingest.not_reproducible", Disposition::GiveUp));
    let message = refused.to_string();
    assert!(message.contains("serve other blocks"), "{message}");
    assert!(message.contains(&Sha256Digest::of(&sound).to_string()), "{message}");
    assert_eq!(bytes(&world, &key).await, Some(damaged));
    assert_eq!(world.keys().await, keys);

    world.chain = ours;
    repair(&world, Dataset::Logs, range(0, 10)).await.unwrap();
    assert_eq!(bytes(&world, &key).await, Some(sound));
}

#[tokio::test]
async fn a_repair_that_breaks_off_after_any_step_is_completed_by_the_next() {
    let world = World::create(recorded_chain(11).await).await;
    world.ingest(range(0, 10), &json!({})).await.unwrap();
    let (key, keys) = (key_of(&world, Dataset::Logs, range(0, 10)).await, world.keys().await);
    let sound = bytes(&world, &key).await;
    let of_logs = Repair { dataset: Dataset::Logs, blocks: range(0, 10) };
    for (step, kept) in [(Step::Staged, 0), (Step::Kept, 1)] {
        let damaged = damage(&world, &key).await;
        let end = repair_as(&world, &json!({}), Some((step, 1)), of_logs).await.unwrap();
        assert_eq!(end, OperatorEnd::Released, "{step:?}");
        assert_eq!(bytes(&world, &key).await.as_ref(), Some(&damaged), "{step:?}");
        assert_eq!(world.keys().await.len(), keys.len() + kept, "{step:?}");
        let output = output(repair(&world, Dataset::Logs, range(0, 10)).await.unwrap());
        assert_eq!(output["outcome"], "restored", "{step:?}");
        assert_eq!(bytes(&world, &key).await, sound, "{step:?}");
    }
    // What is done is told.
    damage(&world, &key).await;
    let end = repair_as(&world, &json!({}), Some((Step::Restored, 1)), of_logs).await.unwrap();
    assert_eq!(output(end)["outcome"], "restored");
    // The damage was the same each time.
    assert_eq!(world.keys().await.len(), keys.len() + 1);
}

#[tokio::test]
async fn a_task_that_was_taken_away_overwrites_nothing() {
    let world = World::create(recorded_chain(11).await).await;
    world.ingest(range(0, 10), &json!({})).await.unwrap();
    let (key, keys) = (key_of(&world, Dataset::Logs, range(0, 10)).await, world.keys().await);
    let damaged = damage(&world, &key).await;
    let spec = world.claim().await;
    tasks::cancel(&mut world.pool.acquire().await.unwrap(), spec.task_id, "test", "taken away").await.unwrap();
    let ingest = world.backfill((spec.task_id, spec.fence), &json!({}), None).await;
    let refused = ingest.repair(Repair { dataset: Dataset::Logs, blocks: range(0, 10) }).await.unwrap_err();
    assert_eq!(refused.code(), "control.stale_fence");
    assert_eq!(bytes(&world, &key).await, Some(damaged));
    assert_eq!(world.keys().await, keys);
}

#[tokio::test]
async fn what_a_file_must_be_has_to_be_known_beyond_doubt() {
    let world = World::create(recorded_chain(11).await).await;
    world.ingest(range(0, 10), &json!({})).await.unwrap();
    let key = key_of(&world, Dataset::Logs, range(0, 10)).await;
    let (damaged, nothing) = (damage(&world, &key).await, json!({}));
    let refused = async |changes: &Value| refusal(&world, changes, Dataset::Logs, range(0, 10)).await;

    let without_logs = json!({ "datasets": ["blocks", "transactions"] });
    assert_eq!(refused(&without_logs).await, ("ingest.other_dataset", Disposition::GiveUp));
    assert_eq!(refused(&json!({ "chain": "other" })).await, ("cold_store.not_listed", Disposition::GiveUp));
    let elsewhere = refusal(&world, &nothing, Dataset::Logs, range(10, 20)).await;
    assert_eq!(elsewhere, ("cold_store.not_listed", Disposition::GiveUp));

    let count = "UPDATE cold.data_partitions SET row_count = row_count + $1 WHERE dataset = 'logs'";
    sqlx::query(count).bind(1_i64).execute(&world.pool).await.unwrap();
    assert_eq!(refused(&nothing).await, ("cold_store.listed_otherwise", Disposition::GiveUp));
    sqlx::query(count).bind(-1_i64).execute(&world.pool).await.unwrap();

    let manifest = "cold/made/logs/manifests/0000000001.json";
    let listed = bytes(&world, manifest).await.unwrap();
    overwrite(&world, manifest, [listed.as_slice(), b" "].concat()).await;
    assert_eq!(refused(&nothing).await, ("cold_store.object_altered", Disposition::GiveUp));
    overwrite(&world, manifest, listed).await;

    assert_eq!(bytes(&world, &key).await, Some(damaged));
    assert_eq!(output(repair(&world, Dataset::Logs, range(0, 10)).await.unwrap())["outcome"], "restored");
}
