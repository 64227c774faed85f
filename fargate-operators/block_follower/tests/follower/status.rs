//! What the follower says of itself while it works.

use isotherm_hot_store::follower_status::{self, FollowerStatus};
use isotherm_lab::process::eventually;
use isotherm_types::ChainId;
use serde_json::json;

use crate::stage::{CHAIN_ID, Stage};

const CHAIN: ChainId = ChainId(CHAIN_ID);

async fn status(stage: &Stage) -> Option<FollowerStatus> {
    follower_status::read(&mut stage.database.connect().await.unwrap(), CHAIN).await.unwrap()
}

#[tokio::test]
async fn the_chains_head_and_the_times_of_the_tip_are_told() {
    let mut stage = Stage::new().await;
    stage.mine(6).await;
    let follower = stage.follow(&json!({}));
    stage.caught_up().await;
    stage.mine(3).await;
    stage.caught_up().await;
    let head = stage.head().await.0.cast_unsigned();
    let told = async || status(&stage).await.and_then(|status| status.said.head).map(|head| head.number.0);
    eventually("the newest block", async || told().await == Some(head)).await.unwrap();
    let written = status(&stage).await.unwrap();
    let [endpoint] = &written.said.endpoints[..] else { panic!("one endpoint: {written:?}") };
    assert_eq!((endpoint.name.clone(), endpoint.state.as_str()), (stage.chain.rpc_url(), "healthy"));
    assert!(endpoint.requests > 0 && endpoint.last_head.is_some(), "{endpoint:?}");
    let lags = "SELECT count(*) FROM hot.follower_status WHERE first_served_at <= committed_at";
    eventually("the times of the tip", async || stage.number(lags).await == Some(1)).await.unwrap();

    let arrival = follower_status::tip_arrival(&mut stage.database.connect().await.unwrap(), CHAIN).await.unwrap();
    let arrival = arrival.unwrap();
    assert!(arrival.first_served_at <= arrival.committed_at, "{arrival:?}");
    let timestamp = "SELECT max(timestamp) FROM hot.blocks";
    assert_eq!(stage.number(timestamp).await, Some(arrival.timestamp.timestamp()));
    let is_moving = |said: &follower_status::Said| said.blocks_per_second > 0.0 && said.head_blocks_per_second > 0.0;
    eventually("a speed", async || {
        stage.mine(1).await;
        status(&stage).await.is_some_and(|status| is_moving(&status.said))
    })
    .await
    .unwrap();
    follower.stop().await;
}

#[tokio::test]
async fn a_status_that_cannot_be_written_keeps_nobody_from_following() {
    let mut stage = Stage::new().await;
    sqlx::raw_sql("ALTER TABLE hot.follower_status RENAME TO gone").execute(&stage.pool).await.unwrap();
    let follower = stage.follow(&json!({}));
    for _ in 0..3 {
        stage.mine(4).await;
        stage.caught_up().await;
    }
    stage.assert_equals_chain(0).await;
    follower.stop().await;
    assert_eq!(stage.number("SELECT count(*) FROM hot.gone").await, Some(0));
}
