//! What an endpoint was caught at is written down, and can be read long after.

use isotherm_hot_store::evidence;
use isotherm_lab::lies::{Liar, Order, Tellers, kinds};
use isotherm_lab::process::eventually;
use isotherm_types::ChainId;
use serde_json::json;

use crate::stage::{CHAIN_ID, Stage};

#[tokio::test]
async fn an_untrue_answer_is_kept_with_who_gave_it() {
    let mut stage = Stage::new().await;
    // The liar tells of what is below, too.
    stage.mine(12).await;
    let liar = Liar::start(&stage.chain.rpc_url(), 1).await.unwrap();
    let address = &liar.addresses()[0];
    let kind = kinds().into_iter().find(|kind| kind.name == "another_field").unwrap();
    let follower = stage.follow_at(&format!("{address},{}", stage.chain.rpc_url()), &json!({}));
    stage.caught_up().await;
    liar.begin(Order { kind, let_through: 0, times: 1, tellers: Tellers::All });
    stage.mine(1).await;
    stage.caught_up().await;
    let count = "SELECT count(*) FROM hot.evidence";
    eventually("the evidence", async || stage.number(count).await == Some(1)).await.unwrap();

    let mut conn = stage.database.connect().await.unwrap();
    let found = evidence::newest(&mut conn, ChainId(CHAIN_ID), 9).await.unwrap();
    let [piece] = found.as_slice() else { panic!("one piece: {found:?}") };
    assert_eq!((&piece.endpoint, piece.code.as_str()), (address, "chain.bad_header_hash"));
    assert!(piece.answer_start.contains(&piece.block_hash.to_string()), "{piece:?}");
    assert!(piece.answer_bytes >= piece.answer_start.len() as u64 && piece.block_number.is_some(), "{piece:?}");
    follower.stop().await;
    stage.assert_equals_chain(0).await;
}
