//! Where the follower must stop: what it says, and that it has changed nothing.

use crate::stage::{Running, Stage};
use isotherm_lab::process::eventually;
use isotherm_lab::tape::TapeServer;
use isotherm_types::Disposition;
use serde_json::{Value, json};

/// Everything that a follower could have changed, as one text.
pub(crate) async fn contents(stage: &Stage) -> String {
    let sql = "SELECT concat_ws(' ',
        (SELECT string_agg(encode(block_hash, 'hex'), ',' ORDER BY block_number) FROM hot.blocks),
        (SELECT count(*) FROM hot.transactions), (SELECT count(*) FROM hot.logs),
        (SELECT count(*) FROM hot.data_invalidations), (SELECT count(*) FROM control.events),
        (SELECT concat(tip_number, encode(tip_hash, 'hex'), finalized_number) FROM hot.cursors))";
    sqlx::query_scalar(sql).fetch_one(&stage.pool).await.unwrap()
}

async fn halt(stage: &Stage) -> Option<(String, String)> {
    let sql = "SELECT halt_code, halt_message FROM hot.cursors WHERE state = 'halted'";
    sqlx::query_as(sql).fetch_optional(&stage.pool).await.unwrap()
}

/// A chain of 12 blocks that is followed, stored up to its head and final up to two below it.
async fn followed() -> (Stage, Running, i64) {
    let mut stage = Stage::new().await;
    stage.mine(12).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    let (head, _) = stage.head().await;
    let finalized = async || stage.number("SELECT finalized_number FROM hot.cursors").await;
    eventually("finality", async || finalized().await == Some(head - 2)).await.unwrap();
    (stage, follower, head)
}

#[tokio::test]
async fn a_reorg_below_the_finalized_block_halts_and_changes_nothing() {
    let (stage, follower, head) = followed().await;
    let before = contents(&stage).await;
    stage.chain.reorg(3, &[]).await.unwrap();
    let fault = follower.failure().await;
    assert_eq!((fault.code(), fault.disposition()), ("chain.reorg_below_finalized", Disposition::GiveUp));
    assert_eq!(contents(&stage).await, before);
    let (code, message) = halt(&stage).await.unwrap();
    assert_eq!(code, "chain.reorg_below_finalized");
    let replaced = stage.chain.call("eth_getBlockByNumber", json!([format!("{:#x}", head - 2), false])).await.unwrap();
    let (number, hash) = ((head - 2).to_string(), replaced["hash"].as_str().unwrap());
    for part in [number.as_str(), hash, "isotherm follower resume --chain NAME --accept-reorg"] {
        assert!(message.contains(part) && fault.message().contains(part), "{part} in {message}");
    }

    let again = stage.follow(&json!({})).failure().await;
    assert_eq!((again.code(), again.disposition()), ("hot_store.halted", Disposition::GiveUp));
    assert_eq!(contents(&stage).await, before);
}

/// Whether the follower has said how it does three seconds after `since`: one that has halted says nothing any more.
async fn goes_on_after(stage: &Stage, since: &str) -> bool {
    let said = "SELECT count(*) FROM hot.follower_status WHERE written_at > $1::timestamptz + interval '3 seconds'";
    sqlx::query_scalar::<_, i64>(said).bind(since).fetch_one(&stage.pool).await.unwrap() == 1
}

#[tokio::test]
async fn what_one_endpoint_shows_and_another_contradicts_halts_nobody_until_they_agree() {
    let (stage, follower, head) = followed().await;
    follower.stop().await;
    let before = contents(&stage).await;
    let other = TapeServer::start(stage.record(head + 1).await).await.unwrap();
    stage.chain.reorg(4, &[]).await.unwrap();

    let urls = format!("{},{}", stage.chain.rpc_url(), other.url());
    let follower = stage.follow_at(&urls, &json!({}));
    let contradicted = ("eth_getBlockByNumber".to_owned(), json!([format!("{:#x}", head - 2), false]));
    eventually("the other endpoint to be asked", async || other.calls().contains(&contradicted)).await.unwrap();
    let since: String = sqlx::query_scalar("SELECT clock_timestamp()::text").fetch_one(&stage.pool).await.unwrap();
    eventually("the follower to go on", async || goes_on_after(&stage, &since).await).await.unwrap();
    assert_eq!(halt(&stage).await, None);
    assert_eq!(contents(&stage).await, before);

    let names = ["latest", "safe", "finalized"].map(str::to_owned);
    for name in names.into_iter().chain((0..=head).map(|number| format!("{number:#x}"))) {
        let header = stage.chain.call("eth_getBlockByNumber", json!([name, false])).await.unwrap();
        other.set("eth_getBlockByNumber", &json!([name, false]), header);
        other.set("eth_getBlockByNumber", &json!([name, true]), Value::Null);
    }
    assert_eq!(follower.failure().await.code(), "chain.reorg_below_finalized");
    assert_eq!(contents(&stage).await, before);
}

#[tokio::test]
async fn a_block_of_which_one_sender_is_untrue_leaves_nothing_behind() {
    let mut stage = Stage::new().await;
    stage.mine(6).await;
    let node = TapeServer::start(stage.record(stage.head().await.0 + 1).await).await.unwrap();
    // It deploys the contracts of the traffic.
    let params = json!(["0x1", true]);
    let block = stage.chain.call("eth_getBlockByNumber", params.clone()).await.unwrap();
    let mut untrue = block.clone();
    untrue["transactions"][0]["from"] = json!(format!("0x{}", "15".repeat(20)));
    node.set("eth_getBlockByNumber", &params, untrue);
    let follower = stage.follow_at(node.url(), &json!({}));
    let is_found_out = async || stage.number("SELECT count(*) FROM hot.evidence").await > Some(0);
    eventually("the untrue sender to be found out", is_found_out).await.unwrap();
    for dataset in ["blocks", "transactions", "logs", "block_arrivals"] {
        assert_eq!(stage.stored(dataset).await, 0, "{dataset}");
    }
    let told = stage.number("SELECT count(*) FROM control.events").await;
    assert_eq!((stage.tip().await, told), (None, Some(0)));

    node.set("eth_getBlockByNumber", &params, block);
    stage.caught_up().await;
    follower.stop().await;
    stage.assert_equals_chain(0).await;
}

#[tokio::test]
async fn a_reorg_deeper_than_allowed_halts() {
    let mut stage = Stage::without_finality().await;
    stage.mine(12).await;
    let follower = stage.follow(&json!({"max_reorg_depth": 3}));
    stage.caught_up().await;
    let before = contents(&stage).await;
    stage.chain.reorg(4, &[]).await.unwrap();
    assert_eq!(follower.failure().await.code(), "chain.reorg_too_deep");
    assert_eq!(contents(&stage).await, before);
    assert_eq!(halt(&stage).await.unwrap().0, "chain.reorg_too_deep");
}

#[tokio::test]
async fn a_reorg_into_cold_storage_halts() {
    let mut stage = Stage::without_finality().await;
    stage.mine(12).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    let (head, _) = stage.head().await;
    sqlx::query(
        "INSERT INTO cold.datasets (chain_id, dataset, first_block, watermark, manifest_version, manifest_key, manifest_sha256)
         VALUES (10143, 'logs', 0, $1, 1, 'key', sha256('x'))",
    )
    .bind(head - 1)
    .execute(&stage.pool)
    .await
    .unwrap();
    stage.chain.reorg(1, &[]).await.unwrap();
    stage.caught_up().await;
    let before = contents(&stage).await;
    stage.chain.reorg(2, &[]).await.unwrap();
    assert_eq!(follower.failure().await.code(), "chain.reorg_below_watermark");
    assert_eq!(contents(&stage).await, before);
}

#[tokio::test]
async fn a_follower_whose_task_was_taken_over_stops_writing() {
    let mut stage = Stage::new().await;
    stage.mine(3).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    sqlx::query("UPDATE control.tasks SET fence = 2").execute(&stage.pool).await.unwrap();
    let before = contents(&stage).await;
    stage.mine(2).await;
    let fault = follower.failure().await;
    assert_eq!((fault.code(), fault.disposition()), ("control.stale_fence", Disposition::GiveUp));
    assert_eq!(contents(&stage).await, before);
}

#[tokio::test]
async fn another_chain_is_refused_before_anything_is_written() {
    let stage = Stage::new().await;
    let fault = stage.follow(&json!({"chain_id": 143})).failure().await;
    assert_eq!((fault.code(), fault.disposition()), ("chain.wrong_chain_id", Disposition::GiveUp));
    assert!(fault.message().contains("143") && fault.message().contains("10143"), "{fault}");
    assert_eq!(stage.number("SELECT count(*) FROM hot.cursors").await, Some(0));
}

#[tokio::test]
async fn bad_settings_are_named() {
    let stage = Stage::new().await;
    let fault = stage.follow(&json!({"max_reorg_dept": 3})).failure().await;
    assert_eq!(fault.code(), "job.config_invalid");
    assert!(fault.message().contains("max_reorg_dept"), "{fault}");

    let fault = stage.follow(&json!({"start": "stored"})).failure().await;
    assert_eq!(fault.code(), "follower.nothing_stored");

    let fault = stage.follow_at("", &json!({})).failure().await;
    assert_eq!(fault.code(), "config.invalid");

    let fault = stage.follow_at("http://user:SECRET@127.0.0.1:1/SECRET", &json!({})).failure().await;
    assert_eq!((fault.code(), fault.disposition()), ("chain.unreachable", Disposition::Retry));
    assert!(fault.message().contains("127.0.0.1:1") && !fault.message().contains("SECRET"), "{fault}");

    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    follower.stop().await;
    let fault = stage.follow(&json!({"partition_blocks": 11})).failure().await;
    assert_eq!(fault.code(), "hot_store.other_settings");
}
