//! The follower with addresses over WebSocket among its own: they tell it when to look, and it does without them.

use isotherm_lab::web_socket::{Manner, WebSocketServer};
use serde_json::json;

use crate::stage::Stage;

/// Longer than any test: whoever stores a block before was woken up.
const NEVER_MS: u64 = 3_600_000;

#[tokio::test]
async fn an_announced_block_is_stored_long_before_the_next_poll() {
    let mut stage = Stage::new().await;
    stage.mine(3).await;
    let urls = format!("{},{}", stage.chain.ws_url(), stage.chain.rpc_url());
    let follower = stage.follow_at(&urls, &json!({"poll_interval_ms": NEVER_MS}));
    stage.caught_up().await;
    for _ in 0..3 {
        stage.mine(1).await;
        stage.caught_up().await;
    }
    stage.assert_equals_chain(0).await;
    stage.assert_events_tell_the_story().await;
    follower.stop().await;
}

#[tokio::test]
async fn web_sockets_that_are_down_or_lie_cost_nothing_but_the_early_look() {
    let mut stage = Stage::new().await;
    stage.mine(3).await;
    let liar = WebSocketServer::start(Manner::Endless).await.unwrap();
    let silent = WebSocketServer::start(Manner::Silent).await.unwrap();
    let urls = format!("ws://127.0.0.1:1,{},{},{}", liar.url(), silent.url(), stage.chain.rpc_url());
    let follower = stage.follow_at(&urls, &json!({}));
    stage.caught_up().await;
    stage.mine(5).await;
    stage.caught_up().await;
    stage.assert_equals_chain(0).await;
    stage.assert_events_tell_the_story().await;
    follower.stop().await;
}
