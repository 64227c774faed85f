//! Stored blocks that are missing or not whole: the follower finds them, and writes them as the chain has them.

use isotherm_control::audit;
use isotherm_hot_store::gaps::{self, Gap};
use isotherm_lab::process::eventually;
use isotherm_lab::tape::{Tape, TapeServer};
use isotherm_types::{ChainId, Disposition};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::stage::{CHAIN_ID, Stage};

const CHAIN: ChainId = ChainId(CHAIN_ID);

/// A chain that was followed to its newest block by a follower that has stopped.
async fn followed() -> Stage {
    let mut stage = Stage::new().await;
    stage.mine(25).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    follower.stop().await;
    stage
}

async fn found(stage: &Stage) -> Vec<Gap> {
    let mut conn = stage.database.connect().await.unwrap();
    let blocks = gaps::hot_blocks(&mut conn, CHAIN, None).await.unwrap().unwrap();
    let page = gaps::look(&mut conn, CHAIN, blocks, None).await.unwrap();
    assert_eq!(page.below, None, "one page holds them all");
    page.gaps
}

async fn is_whole(stage: &Stage) -> bool {
    found(stage).await.is_empty()
}

async fn damage(stage: &Stage, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&stage.pool).await.unwrap();
    assert!(!is_whole(stage).await, "{sql}");
}

#[tokio::test]
async fn whatever_is_missing_is_fetched_and_written_at_the_start() {
    for sql in [
        "DELETE FROM hot.blocks WHERE block_number = 7",
        "DELETE FROM hot.blocks WHERE block_number BETWEEN 5 AND 12;
         DELETE FROM hot.transactions WHERE block_number BETWEEN 4 AND 6; DELETE FROM hot.logs WHERE block_number < 20",
        "DELETE FROM hot.blocks; DELETE FROM hot.transactions; DELETE FROM hot.logs",
        "DELETE FROM hot.blocks WHERE block_number = (SELECT tip_number FROM hot.cursors)",
        "DELETE FROM hot.transactions WHERE block_number = (SELECT min(block_number) FROM hot.transactions)",
        "DELETE FROM hot.logs WHERE (block_number, log_index) = (SELECT block_number, log_index FROM hot.logs LIMIT 1)",
        "UPDATE hot.blocks SET parent_hash = sha256(parent_hash) WHERE block_number = 11",
        "UPDATE hot.blocks SET block_hash = sha256(block_hash) WHERE block_number = 11",
        "UPDATE hot.logs SET block_hash = sha256(block_hash) WHERE block_number = (SELECT max(block_number) FROM hot.logs)",
        "DROP TABLE hot.logs_10143_0000000010, hot.blocks_10143_0000000010",
    ] {
        let stage = followed().await;
        damage(&stage, sql).await;
        let follower = stage.follow(&json!({}));
        eventually(sql, async || is_whole(&stage).await).await.unwrap();
        stage.assert_equals_chain(0).await;
        stage.assert_events_tell_the_story().await;
        follower.stop().await;
        let mut conn = stage.database.connect().await.unwrap();
        let trail = audit::trail(&mut conn, "chain", CHAIN_ID.cast_signed()).await.unwrap();
        assert!(!trail.is_empty() && trail.iter().all(|entry| entry.action == "gaps_closed"), "{sql}: {trail:?}");
    }
}

#[tokio::test]
async fn a_running_follower_looks_when_it_is_asked_to_and_goes_on_following() {
    let mut stage = followed().await;
    let follower = stage.follow(&json!({}));
    let mut conn = stage.database.connect().await.unwrap();
    gaps::ask(&mut conn, CHAIN, "cli:ann").await.unwrap();
    let is_taken = async |conn: &mut PgConnection| gaps::asked(conn, CHAIN).await.unwrap().is_none();
    eventually("the request to be taken", async || is_taken(&mut conn).await).await.unwrap();
    stage.mine(1).await;
    stage.caught_up().await;
    // The looks of before may be over: what is damaged now is found because it is asked for.
    sqlx::raw_sql("DELETE FROM hot.blocks WHERE block_number BETWEEN 3 AND 4").execute(&stage.pool).await.unwrap();
    gaps::ask(&mut conn, CHAIN, "cli:ann").await.unwrap();
    eventually("whole blocks", async || is_whole(&stage).await).await.unwrap();
    stage.mine(2).await;
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    eventually("the request to be taken", async || is_taken(&mut conn).await).await.unwrap();
    follower.stop().await;
}

#[tokio::test]
async fn a_gap_inside_a_reorg_is_replaced_with_it_and_needs_nobody() {
    // How far below the tip: the tip itself, one below, two together, all that is replaced, the common ancestor.
    for (highest, lowest) in [(0, 0), (2, 2), (2, 3), (0, 4), (5, 5)] {
        for mined in [0, 2] {
            let mut stage = Stage::without_finality().await;
            stage.mine(12).await;
            let follower = stage.follow(&json!({}));
            stage.caught_up().await;
            follower.stop().await;
            let (head, _) = stage.head().await;
            sqlx::query("DELETE FROM hot.blocks WHERE block_number BETWEEN $1 AND $2")
                .bind(head - lowest)
                .bind(head - highest)
                .execute(&stage.pool)
                .await
                .unwrap();
            stage.chain.reorg(5, &[]).await.unwrap();
            stage.traffic.resync().await.unwrap();
            stage.mine(mined).await;
            let follower = stage.follow(&json!({}));
            stage.caught_up().await;
            let what = format!("whole blocks after {highest} to {lowest} were missing and {mined} mined");
            eventually(what, async || is_whole(&stage).await).await.unwrap();
            stage.assert_equals_chain(0).await;
            stage.assert_events_tell_the_story().await;
            assert_eq!(stage.number("SELECT count(*) FROM hot.data_invalidations").await, Some(1));
            follower.stop().await;
        }
    }
}

#[tokio::test]
async fn finality_that_moves_onto_a_missing_block_waits_for_the_gap_to_be_closed() {
    let mut stage = Stage::without_finality().await;
    stage.mine(6).await;
    let (head, _) = stage.head().await;
    let follower = stage.follow(&json!({"finality": {"kind": "depth", "blocks": 4}}));
    stage.caught_up().await;
    follower.stop().await;
    let missing = "DELETE FROM hot.blocks WHERE block_number = $1";
    sqlx::query(missing).bind(head - 1).execute(&stage.pool).await.unwrap();
    // The same tip, but fewer blocks on top are asked for now.
    let follower = stage.follow(&json!({"finality": {"kind": "depth", "blocks": 1}}));
    let finalized = async || stage.number("SELECT finalized_number FROM hot.cursors").await;
    eventually("finality", async || finalized().await == Some(head - 1)).await.unwrap();
    assert!(is_whole(&stage).await);
    follower.stop().await;
}

/// A node that serves the chain by hash, but not the block at `absent`.
async fn node_without(stage: &Stage, absent: i64) -> TapeServer {
    let (head, rpc) = (stage.head().await.0, stage.chain.rpc());
    let mut tape: Tape = stage.record(0).await;
    for number in 0..=head {
        let header = stage.chain.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await.unwrap();
        let hash = &header["hash"];
        tape.record(rpc, "eth_getBlockByHash", json!([hash, false])).await.unwrap();
        if number == absent {
            tape.set("eth_getBlockByHash", &json!([hash, true]), Value::Null);
            tape.set("eth_getBlockReceipts", &json!([hash]), Value::Null);
        } else {
            tape.record(rpc, "eth_getBlockByHash", json!([hash, true])).await.unwrap();
            tape.record(rpc, "eth_getBlockReceipts", json!([hash])).await.unwrap();
        }
    }
    TapeServer::start(tape).await.unwrap()
}

#[tokio::test]
async fn of_a_run_that_is_not_served_as_a_whole_what_is_served_is_written() {
    let stage = followed().await;
    damage(&stage, "DELETE FROM hot.blocks WHERE block_number BETWEEN 5 AND 12").await;
    let node = node_without(&stage, 5).await;
    let follower = stage.follow_at(node.url(), &json!({}));
    let written = async || stage.number("SELECT count(*) FROM hot.blocks WHERE block_number BETWEEN 6 AND 12").await;
    eventually("the blocks that are served", async || written().await == Some(7)).await.unwrap();
    assert_eq!(stage.number("SELECT count(*) FROM hot.blocks WHERE block_number = 5").await, Some(0));
    assert_eq!(stage.number("SELECT count(*) FROM hot.cursors WHERE state = 'halted'").await, Some(0));
    follower.stop().await;
}

#[tokio::test]
async fn a_gap_that_contradicts_what_was_final_halts_the_chain_and_changes_nothing() {
    let stage = followed().await;
    damage(
        &stage,
        "DELETE FROM hot.blocks WHERE block_number = (SELECT finalized_number FROM hot.cursors);
         UPDATE hot.cursors SET finalized_hash = sha256(finalized_hash)",
    )
    .await;
    let before = found(&stage).await;
    let fault = stage.follow(&json!({})).failure().await;
    assert_eq!((fault.code(), fault.disposition()), ("follower.gap_not_final", Disposition::GiveUp));
    assert_eq!(found(&stage).await, before);
    let halted = "SELECT halt_code FROM hot.cursors WHERE state = 'halted'";
    let code: String = sqlx::query_scalar(halted).fetch_one(&stage.pool).await.unwrap();
    assert_eq!(code, "follower.gap_not_final");
    assert_eq!(stage.follow(&json!({})).failure().await.code(), "hot_store.halted");
}

#[tokio::test]
async fn blocks_that_are_cold_are_not_looked_at() {
    let stage = followed().await;
    sqlx::raw_sql(
        "INSERT INTO cold.datasets (chain_id, dataset, first_block, watermark, manifest_version, manifest_key, manifest_sha256)
         SELECT 10143, dataset, 0, 9, 1, 'key', sha256('x') FROM unnest(ARRAY['blocks', 'transactions', 'logs']) AS dataset;
         DROP TABLE hot.blocks_10143_0000000000; DELETE FROM hot.blocks WHERE block_number = 12",
    )
    .execute(&stage.pool)
    .await
    .unwrap();
    let follower = stage.follow(&json!({}));
    let stored = async || stage.number("SELECT count(*) FROM hot.blocks WHERE block_number = 12").await;
    eventually("the hot block", async || stored().await == Some(1)).await.unwrap();
    follower.stop().await;
    assert_eq!(stage.number("SELECT count(*) FROM hot.blocks WHERE block_number < 10").await, Some(0));
}
