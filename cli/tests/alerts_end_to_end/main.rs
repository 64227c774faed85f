//! Alerts through the whole platform on one machine: a real chain, the follower, the evaluator and the sender as their own programs,
//! and receivers of every kind. What the chain has and what a receiver got is counted apart from the code under test.
//!
//! The binaries must have been built (`./isotherm test` does so first).

mod receivers;
#[path = "../end_to_end/stack.rs"]
#[allow(dead_code, reason = "the other end-to-end tests use all of it")]
mod stack;
mod stage;

use serde_json::json;

use stage::{LIMIT, Stage};

/// Rules and their channels; `@loud` and `@quiet` are tokens.
const LARGE: &str = r#"
alerts:
  - name: large
    chain: test
    severity: critical
    source: { event: "Transfer(address indexed from, address indexed to, uint256 value)", address: ["@loud"] }
    condition: args.value > 10000000
    message: "{{ args.value }} to {{ args.to }}"
    channels: [hooks, ann, pager, ops]
"#;
const PATIENT: &str = r#"
alerts:
  - name: patient
    chain: test
    source: { event: "Transfer(address indexed from, address indexed to, uint256 value)", address: ["@quiet"] }
    condition: args.value > 10000000
    confirmations: 3
    channels: [quiet]
"#;

#[tokio::test]
async fn end_to_end_an_alert_is_sent_once_to_every_channel_and_follows_its_transaction() {
    let mut stage = Stage::new().await;
    stage.add_channels().await;
    stage.apply(LARGE).await;
    every_match_is_told_once(&mut stage).await;
    a_transaction_that_is_dropped_is_retracted_in_its_threads(&mut stage).await;
    one_in_another_block_has_moved_and_pages_nobody_again(&mut stage).await;
    stage.apply(PATIENT).await;
    what_is_dropped_before_it_is_due_is_told_to_nobody(&mut stage).await;
    stage.end().await;
}

async fn every_match_is_told_once(stage: &mut Stage) {
    let first = stage.head().await + 1;
    let token = stage.loud();
    let own = [stage.transfer(&token, LIMIT - 1).await, stage.transfer(&token, LIMIT).await];
    let large = stage.transfer(&token, LIMIT + 1).await;
    for _ in 0..8 {
        stage.traffic.mine_block().await.unwrap();
    }
    stage.settled().await;

    let expected = stage.large_transfers(&token, first).await;
    assert!(expected.contains(&large) && own.iter().all(|small| !expected.contains(small)), "{expected:?}");
    let told = stage.receivers.hooks().await;
    assert!(told.iter().all(|message| message["type"] == "alert.fired"), "{told:?}");
    let mut transactions: Vec<String> =
        told.iter().map(|message| message["data"]["transaction_hash"].as_str().unwrap().to_owned()).collect();
    transactions.sort_unstable();
    assert_eq!(transactions, expected, "each once");
    let example = told.iter().find(|message| message["data"]["transaction_hash"] == json!(large)).unwrap();
    assert_eq!(example["data"]["facts"]["args"]["value"], json!(LIMIT + 1));
    assert!(example["data"]["message"].as_str().unwrap().starts_with("10000001 to 0x"), "{example}");
    let (emails, texts, slack) = stage.receivers.others().await;
    assert_eq!((emails.len(), texts.len(), slack.len()), (expected.len(), expected.len(), expected.len()));
}

async fn a_transaction_that_is_dropped_is_retracted_in_its_threads(stage: &mut Stage) {
    let token = stage.loud();
    let dropped = stage.transfer(&token, LIMIT + 2).await;
    stage.chain.mine(1).await.unwrap();
    stage.settled().await;
    let fired = stage.receivers.hooks().await;
    assert_eq!((fired.len(), &fired[0]["type"]), (1, &json!("alert.fired")), "{fired:?}");

    stage.chain.reorg(1, &[]).await.unwrap();
    stage.settled().await;
    let told = stage.receivers.hooks().await;
    assert_eq!((told.len(), &told[0]["type"]), (1, &json!("alert.retracted")), "{told:?}");
    assert_eq!(told[0]["data"]["alert_id"], fired[0]["data"]["alert_id"]);
    assert_eq!(told[0]["data"]["transaction_hash"], json!(dropped));
    stage.receivers.assert_threads(&dropped, "RETRACTED").await;
}

async fn one_in_another_block_has_moved_and_pages_nobody_again(stage: &mut Stage) {
    let token = stage.loud();
    let moving = stage.transfer(&token, LIMIT + 3).await;
    stage.chain.mine(1).await.unwrap();
    stage.chain.mine(1).await.unwrap();
    stage.settled().await;
    let fired = stage.receivers.hooks().await;
    assert_eq!((fired.len(), &fired[0]["type"]), (1, &json!("alert.fired")), "{fired:?}");
    let number = fired[0]["data"]["block_number"].as_u64().unwrap();
    assert_eq!(number + 1, stage.head().await);

    // Both blocks are replaced; the transaction is in the second one now.
    let raw = stage.chain.call("eth_getRawTransactionByHash", json!([moving])).await.unwrap();
    stage.chain.reorg(2, &[(raw, 1)]).await.unwrap();
    assert_eq!(stage.block_of(&moving).await, number + 1, "the chain has it again");
    stage.settled().await;
    let told = stage.receivers.hooks().await;
    assert_eq!((told.len(), &told[0]["type"]), (1, &json!("alert.moved")), "{told:?}");
    let [before, after] = [&fired[0]["data"], &told[0]["data"]];
    assert_eq!(
        (&after["alert_id"], &after["block_number"], &after["state"]),
        (&before["alert_id"], &json!(number + 1), &json!("moved"))
    );
    assert_ne!(after["block_hash"], before["block_hash"]);
    stage.receivers.assert_threads(&moving, "MOVED").await;
}

async fn what_is_dropped_before_it_is_due_is_told_to_nobody(stage: &mut Stage) {
    let token = stage.quiet();
    let dropped = stage.transfer(&token, LIMIT + 4).await;
    stage.chain.mine(1).await.unwrap();
    stage.settled().await;
    assert_eq!(stage.states("patient").await, [(dropped.clone(), "pending".to_owned())]);
    stage.chain.reorg(1, &[]).await.unwrap();
    stage.chain.mine(4).await.unwrap();
    stage.settled().await;
    assert_eq!(stage.states("patient").await, [(dropped.clone(), "cancelled".to_owned())]);

    // One that stays is sent with its third block, and not before.
    let kept = stage.transfer(&token, LIMIT + 5).await;
    stage.chain.mine(2).await.unwrap();
    stage.settled().await;
    assert!(stage.receivers.quiet().await.is_empty());
    stage.chain.mine(1).await.unwrap();
    stage.settled().await;
    let told = stage.receivers.quiet().await;
    assert_eq!((told.len(), &told[0]["data"]["transaction_hash"]), (1, &json!(kept)), "{told:?}");
    assert_eq!(stage.states("patient").await, [(kept, "sent".to_owned()), (dropped, "cancelled".to_owned())]);
    assert!(stage.receivers.hooks().await.is_empty(), "the other rule is about another token");
}
