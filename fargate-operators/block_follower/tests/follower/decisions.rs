//! A person decides after a halt: exactly the accepted reorg is replaced, once, and whatever else the chain shows halts
//! it again.

use isotherm_control::audit;
use isotherm_hot_store::disputed_reorg::{self, Dispute, DisputedReorg};
use isotherm_hot_store::{HotStoreError, cursor, take_back};
use isotherm_lab::process::eventually;
use isotherm_types::{BlockNumber, BlockRange, ChainId, Disposition};
use serde_json::json;

use crate::refusals::contents;
use crate::stage::{CHAIN_ID, Stage};

const CHAIN: ChainId = ChainId(CHAIN_ID);
const FINALIZED: &str = "SELECT finalized_number FROM hot.cursors";
const REORGS: &str = "SELECT count(*) FROM hot.data_invalidations";

/// A chain whose newest `depth` blocks were replaced, the last two of which were not final; its follower has halted.
async fn halted(depth: u64) -> (Stage, DisputedReorg) {
    let mut stage = Stage::new().await;
    stage.mine(12).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    let (head, _) = stage.head().await;
    eventually("finality", async || stage.number(FINALIZED).await == Some(head - 2)).await.unwrap();
    follower.stop().await;
    stage.chain.reorg(depth, &[]).await.unwrap();
    stage.traffic.resync().await.unwrap();
    assert_eq!(stage.follow(&json!({})).failure().await.code(), "chain.reorg_below_finalized");
    let reorg = dispute(&stage).await.unwrap().reorg;
    (stage, reorg)
}

async fn dispute(stage: &Stage) -> Option<Dispute> {
    disputed_reorg::read(&mut stage.database.connect().await.unwrap(), CHAIN).await.unwrap()
}

async fn accept(stage: &Stage) {
    let mut conn = stage.database.connect().await.unwrap();
    let accepted = disputed_reorg::accept(&mut conn, CHAIN, None, None, "cli:ann", "checked by hand").await.unwrap();
    accepted.unwrap();
}

/// What was done to the chain, oldest first.
async fn trail(stage: &Stage) -> Vec<String> {
    let mut conn = stage.database.connect().await.unwrap();
    let entries = audit::trail(&mut conn, "chain", CHAIN_ID.cast_signed()).await.unwrap();
    entries.into_iter().map(|entry| entry.action).collect()
}

#[tokio::test]
async fn an_accepted_reorg_below_the_finalized_block_is_replaced_and_followed_on() {
    let (mut stage, reorg) = halted(5).await;
    let (head, hash) = stage.head().await;
    assert_eq!(reorg.head.hash.to_string(), hash);
    let number = |above_head: i64| BlockNumber((head + above_head).cast_unsigned());
    assert_eq!(reorg.taken_back(), BlockRange::new(number(-4), number(1)).ok());
    assert_eq!(reorg.found.number, number(-2), "where the finalized block was");
    let there = stage.chain.call("eth_getBlockByNumber", json!([format!("{:#x}", head - 2), false])).await.unwrap();
    assert_eq!(reorg.found.hash.to_string(), there["hash"].as_str().unwrap());
    assert!(reorg.stored_hash.is_some_and(|stored| stored != reorg.found.hash));

    accept(&stage).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    stage.assert_events_tell_the_story().await;
    assert_eq!(stage.number(REORGS).await, Some(1));
    assert_eq!(dispute(&stage).await, None, "the permission is used up");
    assert_eq!(trail(&stage).await, ["halted", "accepted_reorg_replaced"]);
    stage.mine(4).await;
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    eventually("finality", async || stage.number(FINALIZED).await == Some(head + 2)).await.unwrap();
    follower.stop().await;
}

#[tokio::test]
async fn a_halt_that_is_cleared_without_a_permission_comes_back() {
    let (stage, reorg) = halted(4).await;
    let before = contents(&stage).await;
    assert!(cursor::resume(&mut stage.database.connect().await.unwrap(), CHAIN).await.unwrap());
    assert_eq!(stage.follow(&json!({})).failure().await.code(), "chain.reorg_below_finalized");
    assert_eq!(contents(&stage).await, before);
    assert_eq!(dispute(&stage).await.unwrap().reorg, reorg);
    assert_eq!(trail(&stage).await, ["halted", "halted"]);
}

#[tokio::test]
async fn another_branch_than_the_accepted_one_halts_the_chain_again() {
    let (mut stage, reorg) = halted(5).await;
    accept(&stage).await;
    let before = contents(&stage).await;
    // The same ancestor, other blocks.
    stage.chain.rollback(5).await.unwrap();
    stage.traffic.resync().await.unwrap();
    stage.mine(5).await;
    assert_eq!(stage.follow(&json!({})).failure().await.code(), "chain.reorg_below_finalized");
    assert_eq!(contents(&stage).await, before);
    let again = dispute(&stage).await.unwrap();
    assert_eq!(again.permission, None, "the permission is void");
    assert_eq!(again.reorg.taken_back(), reorg.taken_back());
    assert_ne!(again.reorg.parting, reorg.parting);
}

#[tokio::test]
async fn nothing_deeper_than_what_was_accepted_is_replaced() {
    let (mut stage, reorg) = halted(4).await;
    accept(&stage).await;
    let before = contents(&stage).await;
    stage.chain.rollback(6).await.unwrap();
    stage.traffic.resync().await.unwrap();
    stage.mine(6).await;
    assert_eq!(stage.follow(&json!({})).failure().await.code(), "chain.reorg_below_finalized");
    assert_eq!(contents(&stage).await, before);
    let again = dispute(&stage).await.unwrap().reorg;
    let block_count = |reorg: DisputedReorg| reorg.taken_back().unwrap().block_count();
    assert_eq!((block_count(reorg), block_count(again)), (4, 6));
}

#[tokio::test]
async fn a_permission_ends_at_what_has_become_cold() {
    let (stage, reorg) = halted(5).await;
    accept(&stage).await;
    sqlx::query(
        "INSERT INTO cold.datasets (chain_id, dataset, first_block, watermark, manifest_version, manifest_key, manifest_sha256)
         VALUES (10143, 'blocks', 0, $1, 1, 'key', sha256('x'))",
    )
    .bind(reorg.taken_back().unwrap().start().0.cast_signed())
    .execute(&stage.pool)
    .await
    .unwrap();
    let before = contents(&stage).await;
    assert_eq!(stage.follow(&json!({})).failure().await.disposition(), Disposition::GiveUp);
    assert_eq!(contents(&stage).await, before);
    assert_eq!(dispute(&stage).await.unwrap().permission, None);
}

#[tokio::test]
async fn a_reorg_deeper_than_allowed_may_be_accepted() {
    let mut stage = Stage::without_finality().await;
    stage.mine(12).await;
    let shallow = json!({"max_reorg_depth": 3});
    let follower = stage.follow(&shallow);
    stage.caught_up().await;
    follower.stop().await;
    stage.chain.reorg(6, &[]).await.unwrap();
    assert_eq!(stage.follow(&shallow).failure().await.code(), "chain.reorg_too_deep");
    accept(&stage).await;
    let follower = stage.follow(&shallow);
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    stage.assert_events_tell_the_story().await;
    follower.stop().await;
}

#[tokio::test]
async fn final_blocks_are_not_taken_back_without_the_permission() {
    let (stage, reorg) = halted(5).await;
    let mut conn = stage.database.connect().await.unwrap();
    assert!(cursor::resume(&mut conn, CHAIN).await.unwrap());
    let parting = reorg.parting.unwrap();
    assert_eq!(disputed_reorg::use_up(&mut conn, CHAIN, parting.ancestor, parting.first()).await.unwrap(), None);
    let refused = take_back(&mut conn, CHAIN, parting.ancestor, reorg.head).await.unwrap_err();
    assert!(matches!(refused, HotStoreError::BelowFinalized { .. }), "{refused}");
}
