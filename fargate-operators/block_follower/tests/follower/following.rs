//! The follower on a real chain and a real database: it ends up with exactly the chain's blocks, whatever the chain does.

use crate::stage::Stage;
use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::process::eventually;
use isotherm_lab::tape::{Fault, FaultRule, TapeServer};
use serde_json::json;

const FINALIZED: &str = "SELECT max(finalized_number) FROM hot.cursors";
const FIRST_BLOCK: &str = "SELECT first_block FROM hot.cursors";
const REORGS: &str = "SELECT count(*) FROM hot.data_invalidations";

#[tokio::test]
async fn thirty_blocks_are_followed_without_a_gap() {
    let mut stage = Stage::new().await;
    stage.mine(10).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    stage.mine(20).await;
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    stage.assert_events_tell_the_story().await;
    let (head, _) = stage.head().await;
    assert!(head >= 30, "{head}");
    assert_eq!(stage.number(FINALIZED).await, Some(head - 2));
    assert!(stage.number("SELECT count(*) FROM hot.logs").await.unwrap() > 0);
    follower.stop().await;
}

#[tokio::test]
async fn a_new_chain_may_begin_at_its_finalized_block() {
    let mut stage = Stage::new().await;
    stage.mine(6).await;
    let first = stage.head().await.0 - 2;
    let follower = stage.follow(&json!({"start": "latest"}));
    stage.caught_up().await;
    assert_eq!(stage.number(FIRST_BLOCK).await, Some(first));
    assert_eq!(stage.number(FINALIZED).await, Some(first));
    stage.chain.reorg(2, &[]).await.unwrap();
    stage.traffic.resync().await.unwrap();
    stage.mine(5).await;
    stage.caught_up().await;
    stage.assert_equals_chain(first.cast_unsigned()).await;
    assert_eq!(stage.number(FINALIZED).await, Some(first + 5));
    follower.stop().await;
}

#[tokio::test]
async fn a_new_chain_without_finality_begins_low_enough_for_every_allowed_reorg() {
    let mut stage = Stage::without_finality().await;
    stage.mine(12).await;
    let first = stage.head().await.0 - 3;
    let follower = stage.follow(&json!({"start": "latest", "max_reorg_depth": 3}));
    stage.caught_up().await;
    assert_eq!(stage.number(FIRST_BLOCK).await, Some(first));
    stage.chain.reorg(3, &[]).await.unwrap();
    stage.caught_up().await;
    stage.assert_equals_chain(first.cast_unsigned()).await;
    assert_eq!(stage.number(REORGS).await, Some(1));
    follower.stop().await;
}

#[tokio::test]
async fn finality_that_moves_without_a_block_is_stored() {
    let mut stage = Stage::without_finality().await;
    stage.mine(6).await;
    let (head, _) = stage.head().await;
    let follower = stage.follow(&json!({"finality": {"kind": "depth", "blocks": 4}}));
    stage.caught_up().await;
    assert_eq!(stage.number(FINALIZED).await, Some(head - 4));
    follower.stop().await;
    // The same tip, but fewer blocks on top are asked for now.
    let follower = stage.follow(&json!({"finality": {"kind": "depth", "blocks": 1}}));
    eventually("finality", async || stage.number(FINALIZED).await == Some(head - 1)).await.unwrap();
    follower.stop().await;
}

#[tokio::test]
async fn a_two_block_reorg_of_equal_height_is_replaced() {
    let mut stage = Stage::new().await;
    stage.mine(12).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    let before = stage.head().await;
    stage.chain.reorg(2, &[]).await.unwrap();
    let after = stage.head().await;
    assert_eq!(before.0, after.0);
    assert_ne!(before.1, after.1);
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    stage.assert_events_tell_the_story().await;
    assert_eq!(stage.number(REORGS).await, Some(1));
    stage.traffic.resync().await.unwrap();
    stage.mine(3).await;
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    follower.stop().await;
}

#[tokio::test]
async fn a_reorg_while_nobody_looked_is_found_at_the_next_start() {
    let mut stage = Stage::without_finality().await;
    stage.mine(12).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    follower.stop().await;
    stage.chain.reorg(5, &[]).await.unwrap();
    stage.traffic.resync().await.unwrap();
    stage.mine(15).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    stage.assert_events_tell_the_story().await;
    assert_eq!(stage.number("SELECT end_block - start_block FROM hot.data_invalidations").await, Some(5));
    follower.stop().await;
}

#[tokio::test]
async fn a_head_that_goes_down_is_waited_out_and_then_followed() {
    let mut stage = Stage::without_finality().await;
    stage.mine(12).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    let tip = stage.tip().await;
    stage.chain.rollback(4).await.unwrap();
    stage.traffic.resync().await.unwrap();
    // A lower head on the stored branch changes nothing, and is no failure.
    assert_eq!(stage.tip().await, tip);
    // A lower head on another branch replaces the stored one.
    stage.mine(2).await;
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    stage.mine(6).await;
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    stage.assert_events_tell_the_story().await;
    follower.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_from_the_stored_tip() {
    let mut stage = Stage::new().await;
    stage.mine(4).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    follower.stop().await;
    stage.mine(7).await;
    // The stored tip wins over `start`.
    let follower = stage.follow(&json!({"start": "latest"}));
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    follower.stop().await;
}

#[tokio::test]
async fn finality_moves_while_blocks_are_missing() {
    let mut stage = Stage::new().await;
    stage.mine(12).await;
    // Serves the blocks below 8 only, and says that more are final.
    let node = TapeServer::start(stage.record(8).await).await.unwrap();
    let follower = stage.follow_at(node.url(), &json!({}));
    eventually("finality", async || stage.number(FINALIZED).await == Some(7)).await.unwrap();
    follower.stop().await;
}

#[tokio::test]
async fn blocks_of_another_node_are_not_final_because_the_first_one_is_further() {
    let mut stage = Stage::new().await;
    stage.mine(12).await;
    // Says how far the chain is and then serves no block; the node that does is lower, and on another branch.
    let first_node = TapeServer::start(stage.record(0).await).await.unwrap();
    first_node.inject(FaultRule::new("eth_getBlockReceipts", usize::MAX, Fault::ServerError));
    stage.chain.rollback(8).await.unwrap();
    stage.traffic.resync().await.unwrap();
    stage.mine(2).await;
    let (head, _) = stage.head().await;
    assert!(head < 8, "one fetch holds them all");
    let urls = format!("{},{}", first_node.url(), stage.chain.rpc_url());
    let follower = stage.follow_at(&urls, &json!({}));
    stage.caught_up().await;
    let finalized = async || stage.number(FINALIZED).await;
    eventually("finality", async || finalized().await.is_some()).await.unwrap();
    assert_eq!(finalized().await, Some(head - 2));
    follower.stop().await;
}

#[tokio::test]
async fn a_small_batch_size_stores_the_same_rows() {
    let mut stage = Stage::new().await;
    stage.mine(20).await;
    let follower = stage.follow(&json!({"batch_bytes": 1}));
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    stage.assert_events_tell_the_story().await;
    follower.stop().await;
}

#[tokio::test]
async fn a_node_that_cuts_its_connections_is_outlived() {
    let mut stage = Stage::new().await;
    let upstream = stage.chain.rpc_url().trim_start_matches("http://").to_owned();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let follower = stage.follow_at(&proxy.through(&stage.chain.rpc_url()), &json!({}));
    stage.mine(3).await;
    stage.caught_up().await;
    proxy.switch(Mode::Reset);
    stage.mine(3).await;
    proxy.switch(Mode::Pass);
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    follower.stop().await;
}

#[tokio::test]
async fn what_is_written_is_counted_with_its_rows_and_never_taken_back() {
    let mut stage = Stage::new().await;
    stage.mine(8).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    for dataset in ["blocks", "transactions", "logs"] {
        let (blocks, rows, bytes) = stage.counted(dataset).await;
        assert_eq!(blocks, stage.head().await.0 + 1, "{dataset}");
        assert_eq!(rows, stage.stored(dataset).await, "{dataset}");
        // COPY's header and trailer, then two bytes of each row and four of each value at the least.
        assert!(bytes > 21 + rows * 6 * 10, "{dataset}: {bytes} bytes of {rows} rows");
    }
    let before = stage.counted("blocks").await;
    stage.chain.reorg(2, &[]).await.unwrap();
    stage.traffic.resync().await.unwrap();
    stage.mine(1).await;
    stage.caught_up().await;
    assert_eq!(stage.number(REORGS).await, Some(1));
    let (blocks, rows, _) = stage.counted("blocks").await;
    assert_eq!((blocks, rows), (before.0 + 3, before.1 + 3), "two blocks once more, and a new one");
    assert_eq!(stage.stored("blocks").await, before.1 + 1);
    follower.stop().await;
}

#[tokio::test]
async fn the_age_of_the_tip_grows_by_the_databases_clock() {
    let mut stage = Stage::new().await;
    let mut conn = stage.database.connect().await.unwrap();
    let chain_id = isotherm_types::ChainId(crate::stage::CHAIN_ID);
    let age = async |conn: &mut sqlx::PgConnection| isotherm_hot_store::cursor::tip_age(conn, chain_id).await.unwrap();
    assert_eq!(age(&mut conn).await, None, "nothing is stored");
    stage.mine(3).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    follower.stop().await;
    let (first, first_at) = age(&mut conn).await.unwrap();
    let expected = stage.number("SELECT extract(epoch FROM now())::bigint - max(timestamp) FROM hot.blocks").await;
    assert!(expected.unwrap().max(0).unsigned_abs().abs_diff(first.as_secs()) <= 2, "{first:?}, {expected:?}");
    let (second, second_at) = age(&mut conn).await.unwrap();
    assert!(second_at > first_at && second >= first);
}
