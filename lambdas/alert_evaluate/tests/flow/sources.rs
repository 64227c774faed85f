//! What rules look at beside the rows of a chain that goes on, and what they may not look at.

use isotherm_types::{BlockNumber, BlockRange, Dataset, EventBody};
use serde_json::json;

use crate::chain::{CHAIN, Transaction};
use crate::stage::Stage;
use crate::{TOKEN, words};

#[tokio::test]
async fn what_a_check_finds_in_cold_storage_is_told_once_by_the_rules_that_ask() {
    let mut stage = Stage::new(&["ops"]).await;
    let rule =
        stage.rule("cold", &json!({ "platform": ["integrity_violated"] }), &json!({ "severity": "critical" })).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.finalize(&mut stage.conn, 0).await;
    let violated = |check_id| EventBody::IntegrityViolated {
        chain_id: CHAIN,
        dataset: Dataset::Logs,
        check_id,
        object_key: "cold/made/logs/x.parquet".to_owned(),
        blocks: Some(BlockRange::single(BlockNumber(0))),
        fault: "object_missing".to_owned(),
    };
    let first = isotherm_control::events::record(&mut stage.conn, &violated(1)).await.unwrap();
    let second = isotherm_control::events::record(&mut stage.conn, &violated(2)).await.unwrap();
    for event_id in [first, first, second] {
        assert!(!stage.hear(event_id).await);
    }
    assert_eq!(stage.states(rule).await, ["confirmed", "confirmed"]);
    assert_eq!(words(&stage.messages(rule).await), [("fired", "queued"), ("fired", "queued")]);
    stage.sweep().await;
    assert_eq!(stage.states(rule).await.len(), 2);
}

#[tokio::test]
async fn a_message_that_is_about_no_rows_is_a_failed_item() {
    let mut stage = Stage::new(&[]).await;
    let body = EventBody::PartitionCommitted {
        chain_id: CHAIN,
        dataset: Dataset::Logs,
        blocks: BlockRange::single(BlockNumber(0)),
        manifest_version: 1,
    };
    let event_id = isotherm_control::events::record(&mut stage.conn, &body).await.unwrap();
    assert!(stage.hear(event_id).await);
}

#[tokio::test]
async fn a_cursor_off_the_chain_is_noticed_though_no_reorg_says_so() {
    let mut stage = Stage::new(&["ops"]).await;
    let rule = stage.transfers("any", TOKEN, &json!({})).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    stage.sweep().await;
    stage.chain.reorg(&mut stage.conn, 1, vec![Vec::new()]).await;
    stage.run("DELETE FROM hot.data_invalidations").await;
    stage.sweep().await;
    assert_eq!(stage.states(rule).await, ["retracted"]);
}

#[tokio::test]
async fn what_an_organisation_may_not_read_its_rules_do_not_look_at() {
    let mut stage = Stage::new(&["ops"]).await;
    let rule = stage.transfers("any", TOKEN, &json!({})).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.sweep().await;
    stage.run("DELETE FROM access.dataset_grants").await;
    stage.run("INSERT INTO access.dataset_grants (org_id, dataset) SELECT id, 'blocks' FROM control.orgs").await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    stage.sweep().await;
    assert!(stage.alerts(rule).await.is_empty() && stage.messages(rule).await.is_empty());
    stage.run("INSERT INTO access.dataset_grants (org_id, dataset) SELECT id, 'logs' FROM control.orgs").await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(2, TOKEN, 5)]).await;
    stage.sweep().await;
    assert_eq!(stage.states(rule).await.last().map(String::as_str), Some("sent"));
}
