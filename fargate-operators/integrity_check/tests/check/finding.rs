//! What is wrong is told once, refused by queries while it lasts, and resolved when it is mended.

use isotherm_types::{Classified as _, Dataset};
use serde_json::json;

use crate::world::{CHAIN_ID, COLD_BLOCKS, World, recorded_chain};

const LOGS: &str = "cold/made/logs/logs_0000000000_0000000009.parquet";

#[tokio::test]
async fn cold_storage_that_is_as_committed_has_no_finding_at_any_level() {
    let world = World::create(recorded_chain(11).await).await;
    let output = world.check(&json!({}), &[]).await;
    assert_eq!((&output["level"], &output["finding_count"]), (&json!("chain"), &json!(0)), "{output}");
    assert_eq!((&output["block_count"], &output["file_count"]), (&json!(COLD_BLOCKS), &json!(8)), "{output}");
    assert_eq!(output["datasets"], json!(Dataset::ALL));
    let output = world.check(&json!({"level": "file", "datasets": ["logs"]}), &[]).await;
    assert_eq!((&output["file_count"], &output["manifest_count"]), (&json!(2), &json!(2)), "{output}");
    assert_eq!((&output["finding_count"], &output["block_count"]), (&json!(0), &json!(0)), "{output}");
    assert!(world.findings().await.is_empty());
    assert!(world.told().await.is_empty());
    assert_eq!(world.queried(Dataset::Logs).await.unwrap(), 2);
}

#[tokio::test]
async fn what_the_chains_profile_excepts_is_not_checked_and_said_to_be_so() {
    let world = World::create(recorded_chain(11).await).await;
    let profile = json!({"chain_id": CHAIN_ID, "name": "made", "block_time_ms": 300, "finality": {"kind": "tags"},
        "checks": {"receipts_root": 5}});
    let output = world.check(&json!({ "profile": profile }), &[]).await;
    assert_eq!((&output["finding_count"], &output["unverifiable_count"]), (&json!(0), &json!(1)), "{output}");
    let told = &output["unverifiable"][0];
    assert_eq!((&told["dataset"], &told["blocks"]), (&json!("transactions"), &json!({"start": 0, "end": 5})));
    assert_eq!(told["reason"], "the chain's profile has the receipts root checked from block 5 on");
}

#[tokio::test]
async fn an_altered_file_is_told_once_refused_and_resolved_when_it_is_mended() {
    let world = World::create(recorded_chain(11).await).await;
    let original = world.bytes(LOGS).await.to_vec();
    let mut altered = original.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    world.overwrite(LOGS, altered.clone()).await;

    let output = world.check(&json!({}), &[]).await;
    assert_eq!((&output["finding_count"], &output["new_count"]), (&json!(1), &json!(1)), "{output}");
    assert_eq!(output["open_count"], 1, "{output}");
    // What hangs on the file is not said to be right.
    assert_ne!(output["unverifiable_count"], 0, "{output}");
    let rows = world.findings().await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.object_key.as_str(), row.start_block, row.end_block), (LOGS, Some(0), Some(10)));
    assert_eq!((row.level.as_str(), row.fault.as_str()), ("file", "digest_differs"));
    assert!(row.is_open && !row.is_seen_again && row.message.contains("sha256"), "{row:?}");
    assert_eq!(row.evidence["manifest"]["key"], "cold/made/logs/manifests/0000000002.json");
    let told = world.told().await;
    let [event] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&event["object_key"], &event["fault"]), (&json!(LOGS), &json!("digest_differs")));
    assert_eq!(event["blocks"], json!({"start": 0, "end": 10}));

    let refused = world.queried(Dataset::Logs).await.unwrap_err();
    assert_eq!(refused.code(), "query.cold_file_unsound");
    assert!(refused.to_string().contains(LOGS), "{refused}");
    assert_eq!(world.queried(Dataset::Transactions).await.unwrap(), 2);

    // Found again.
    let output = world.check(&json!({}), &[]).await;
    assert_eq!((&output["finding_count"], &output["new_count"]), (&json!(1), &json!(0)), "{output}");
    let rows = world.findings().await;
    assert!(rows.len() == 1 && rows[0].is_open && rows[0].is_seen_again, "{rows:?}");
    assert_eq!(world.told().await.len(), 1);

    // Mended; a check of something else does not say so.
    world.overwrite(LOGS, original).await;
    let output = world.check(&json!({"level": "file", "datasets": ["blocks"]}), &[]).await;
    assert_eq!((&output["resolved_count"], &output["open_count"]), (&json!(0), &json!(1)), "{output}");
    let output = world.check(&json!({"level": "file"}), &[]).await;
    assert_eq!((&output["resolved_count"], &output["open_count"]), (&json!(1), &json!(0)), "{output}");
    assert!(world.findings().await.iter().all(|row| !row.is_open));
    assert_eq!(world.queried(Dataset::Logs).await.unwrap(), 2);

    // Broken anew it is another finding.
    world.overwrite(LOGS, altered).await;
    let output = world.check(&json!({"level": "file"}), &[]).await;
    assert_eq!(output["new_count"], 1, "{output}");
    let open: Vec<bool> = world.findings().await.iter().map(|row| row.is_open).collect();
    assert_eq!(open, [false, true]);
    assert_eq!(world.told().await.len(), 2);
}

#[tokio::test]
async fn a_lost_manifest_is_one_finding_without_blocks_and_no_query_is_refused_for_it() {
    let world = World::create(recorded_chain(11).await).await;
    let key = "cold/made/logs/manifests/0000000001.json";
    let original = world.bytes(key).await.to_vec();
    world.delete(key).await;
    for new_count in [1, 0] {
        let output = world.check(&json!({"level": "file"}), &[]).await;
        assert_eq!((&output["finding_count"], &output["new_count"]), (&json!(1), &json!(new_count)), "{output}");
    }
    let rows = world.findings().await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.object_key.as_str(), row.start_block, row.fault.as_str()), (key, None, "manifest_missing"));
    assert_eq!(world.told().await[0]["blocks"], json!(null));
    assert_eq!(world.queried(Dataset::Logs).await.unwrap(), 2);
    world.overwrite(key, original).await;
    assert_eq!(world.check(&json!({"level": "file"}), &[]).await["resolved_count"], 1);
}
