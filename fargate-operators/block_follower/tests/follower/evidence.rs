//! What an endpoint was caught at is written down, and can be read long after.

use std::time::Duration;

use isotherm_hot_store::evidence;
use isotherm_lab::lies::{Liar, Order, Tellers, kinds};
use isotherm_lab::process::eventually;
use isotherm_lab::tape::{Fault, FaultRule, TapeServer};
use isotherm_types::ChainId;
use serde_json::json;
use sqlx::Connection as _;

use crate::stage::{CHAIN_ID, Stage};

const COUNT: &str = "SELECT count(*) FROM hot.evidence";
/// The sessions that wait to write evidence.
const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'hot.evidence'::regclass
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

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
    eventually("the evidence", async || stage.number(COUNT).await == Some(1)).await.unwrap();

    let mut conn = stage.database.connect().await.unwrap();
    let found = evidence::newest(&mut conn, ChainId(CHAIN_ID), 9).await.unwrap();
    let [piece] = found.as_slice() else { panic!("one piece: {found:?}") };
    assert_eq!((&piece.endpoint, piece.code.as_str()), (address, "chain.bad_header_hash"));
    assert!(piece.answer_start.contains(&piece.block_hash.to_string()), "{piece:?}");
    assert!(piece.answer_bytes >= piece.answer_start.len() as u64 && piece.block_number.is_some(), "{piece:?}");
    follower.stop().await;
    stage.assert_equals_chain(0).await;
}

#[tokio::test]
async fn an_untrue_answer_just_before_the_end_is_kept() {
    let mut stage = Stage::new().await;
    stage.mine(12).await;
    let liar = Liar::start(&stage.chain.rpc_url(), 1).await.unwrap();
    let kind = kinds().into_iter().find(|kind| kind.name == "another_field").unwrap();
    let follower = stage.follow_at(&format!("{},{}", liar.addresses()[0], stage.chain.rpc_url()), &json!({}));
    stage.caught_up().await;
    // What is written beside the follower's work waits until that is stopped.
    let mut holder = stage.database.connect().await.unwrap();
    let mut held = holder.begin().await.unwrap();
    sqlx::query("LOCK TABLE hot.evidence IN EXCLUSIVE MODE").execute(&mut *held).await.unwrap();
    liar.begin(Order { kind, let_through: 0, times: 1, tellers: Tellers::All });
    stage.mine(1).await;
    stage.caught_up().await;
    let waiting = async || stage.number(WAITING).await.unwrap();
    eventually("the writer to wait", async || waiting().await > 0).await.unwrap();
    let before = waiting().await;
    let unlocking = async {
        eventually("the last words to wait", async || waiting().await > before).await.unwrap();
        held.rollback().await.unwrap();
    };
    tokio::join!(follower.stop(), unlocking);
    assert_eq!(stage.number(COUNT).await, Some(1));
}

#[tokio::test]
async fn an_untrue_answer_early_in_a_catch_up_is_kept_before_its_end() {
    let mut stage = Stage::new().await;
    stage.mine(40).await;
    let (head, _) = stage.head().await;
    let truth = stage.record(head + 1).await;
    let mut untrue = truth.clone();
    let third = json!(["0x3", true]);
    let mut block = stage.chain.call("eth_getBlockByNumber", third.clone()).await.unwrap();
    block["gasUsed"] = json!("0x1");
    untrue.set("eth_getBlockByNumber", &third, block);
    let (liar, honest) = (TapeServer::start(untrue).await.unwrap(), TapeServer::start(truth).await.unwrap());
    // Block by block, and slowly: the one round that catches up takes longer than what is seen may wait to be written.
    for node in [&liar, &honest] {
        node.inject(FaultRule::new("eth_getBlockReceipts", usize::MAX, Fault::Delay(Duration::from_millis(250))));
    }
    let urls = format!("{},{}", liar.url(), honest.url());
    let follower = stage.follow_at(&urls, &json!({ "batch_bytes": 1 }));
    eventually("the evidence", async || stage.number(COUNT).await > Some(0)).await.unwrap();
    let tip = stage.tip().await.map(|(number, _)| number);
    assert!(tip < Some(head), "{tip:?}");
    follower.stop().await;
}
