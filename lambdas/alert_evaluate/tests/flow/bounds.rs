//! What is found is bounded: a rule that finds too much is taken out of work, and nobody else notices.

use isotherm_alerts::index::MOST_OF_RULE;
use serde_json::json;

use crate::TOKEN;
use crate::chain::{Transaction, Transfer};
use crate::stage::Stage;

/// A transaction with so many transfers of [`TOKEN`].
fn many(id: u64, count: usize) -> Transaction {
    Transaction { id, transfers: vec![Transfer { token: TOKEN, amount: 1 }; count] }
}

async fn quarantine(stage: &mut Stage, rule_id: i64) -> Option<String> {
    sqlx::query_scalar("SELECT quarantine_code FROM alerts.rules WHERE id = $1")
        .bind(rule_id)
        .fetch_one(&mut stage.conn)
        .await
        .unwrap()
}

async fn count(stage: &mut Stage, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&mut stage.conn).await.unwrap()
}

#[tokio::test]
async fn a_rule_that_finds_too_much_in_a_block_is_quarantined_and_nothing_of_it_is_written() {
    let mut stage = Stage::new(&["ops"]).await;
    let busy = stage.transfers("busy", TOKEN, &json!({})).await;
    let calm = stage.transfers("calm", TOKEN + 1, &json!({})).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    let block = vec![many(1, MOST_OF_RULE.row_count + 1), Transaction::of(2, TOKEN + 1, 5)];
    stage.chain.append(&mut stage.conn, block).await;
    stage.sweep().await;
    assert_eq!(quarantine(&mut stage, busy).await.as_deref(), Some("alerts.too_many_matches"));
    assert_eq!(stage.states(busy).await, [""; 0]);
    assert_eq!(stage.states(calm).await, ["sent"]);
    assert_eq!(quarantine(&mut stage, calm).await, None);
    assert_eq!(count(&mut stage, "SELECT count(*) FROM alerts.deliveries WHERE kind = 'notice'").await, 1);
    let passed = count(&mut stage, "SELECT block_number FROM alerts.cursors").await;
    assert_eq!(passed.unsigned_abs(), stage.chain.tip().number.0, "nobody waits for it");

    stage.chain.append(&mut stage.conn, vec![many(3, 1), Transaction::of(4, TOKEN + 1, 5)]).await;
    stage.sweep().await;
    assert_eq!(stage.states(busy).await, [""; 0]);
    assert_eq!(stage.states(calm).await, ["sent", "sent"]);
}

#[tokio::test]
async fn much_in_many_blocks_is_found_in_shorter_runs() {
    let mut stage = Stage::new(&["ops"]).await;
    let rule = stage.transfers("any", TOKEN, &json!({})).await;
    let of_block = MOST_OF_RULE.row_count / 2 - 1;
    for id in 0..3 {
        stage.chain.append(&mut stage.conn, vec![many(id, of_block)]).await;
    }
    stage.sweep().await;
    assert_eq!(quarantine(&mut stage, rule).await, None);
    assert_eq!(stage.states(rule).await.len(), 3 * of_block);
    assert_eq!(stage.messages(rule).await.len(), 3 * of_block);
}
