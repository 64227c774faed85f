//! What is found is bounded: a rule that finds too much is taken out of work, and nobody else notices.

use isotherm_alerts::index::MOST_OF_RULE;
use isotherm_alerts::rules;
use isotherm_control::events;
use isotherm_types::{Dataset, EventBody, RuleId};
use serde_json::json;

use crate::TOKEN;
use crate::chain::{CHAIN, Transaction, Transfer};
use crate::stage::Stage;

/// A transaction with so many transfers of [`TOKEN`].
fn many(id: u64, count: usize) -> Transaction {
    Transaction { id, transfers: vec![Transfer { token: TOKEN, amount: 1 }; count] }
}

const TRACES: &str = "SELECT count(*) FROM alerts.alert_history";

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

#[tokio::test]
async fn what_is_suppressed_as_before_leaves_no_trace_though_the_chain_goes_on() {
    let mut stage = Stage::new(&["ops"]).await;
    let source = json!({ "platform": ["integrity_violated"] });
    let rule = stage.rule("cold", &source, &json!({ "cooldown_seconds": 3600 })).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.finalize(&mut stage.conn, 0).await;
    let violated = |check_id| EventBody::IntegrityViolated {
        chain_id: CHAIN,
        dataset: Dataset::Logs,
        check_id,
        object_key: "cold/made/logs/x.parquet".to_owned(),
        blocks: None,
        fault: "object_missing".to_owned(),
    };
    for check_id in [1, 2] {
        let event_id = events::record(&mut stage.conn, &violated(check_id)).await.unwrap();
        assert!(!stage.hear(event_id).await);
    }
    let mut states = stage.states(rule).await;
    states.sort_unstable();
    assert_eq!(states, ["confirmed", "suppressed"]);
    let before = (stage.alerts(rule).await, count(&mut stage, TRACES).await);
    for _ in 0..3 {
        stage.chain.append(&mut stage.conn, Vec::new()).await;
        stage.chain.finalize(&mut stage.conn, 0).await;
        let event_id = events::record(&mut stage.conn, &violated(2)).await.unwrap();
        assert!(!stage.hear(event_id).await);
    }
    assert_eq!((stage.alerts(rule).await, count(&mut stage, TRACES).await), before);
}

#[tokio::test]
async fn a_rule_that_would_have_too_many_alerts_in_a_day_is_quarantined_and_the_next_day_is_another_one() {
    let mut stage = Stage::new(&["ops"]).await;
    let busy = stage.transfers("busy", TOKEN, &json!({})).await;
    let calm = stage.transfers("calm", TOKEN + 1, &json!({})).await;
    let most = "INSERT INTO alerts.daily_counts (scope, scope_id, day, alert_count, most)
                SELECT 'rule', id, (now() AT TIME ZONE 'UTC')::date, 0, 3 FROM alerts.rules";
    stage.run(most).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.append(&mut stage.conn, vec![many(1, 2), Transaction::of(2, TOKEN + 1, 5)]).await;
    stage.sweep().await;
    assert_eq!(stage.states(busy).await, ["sent", "sent"]);

    // What it has told of moves; what is new would be too much.
    let block = vec![many(1, 2), many(3, 2), Transaction::of(4, TOKEN + 1, 5)];
    stage.chain.reorg(&mut stage.conn, 1, vec![Vec::new(), block]).await;
    stage.sweep().await;
    assert_eq!(quarantine(&mut stage, busy).await.as_deref(), Some("alerts.too_many_alerts"));
    assert_eq!(stage.states(busy).await, ["moved", "moved"], "nothing new, and what is known is followed");
    assert_eq!(stage.states(calm).await.len(), 2);
    assert_eq!(quarantine(&mut stage, calm).await, None);
    let counted = "SELECT alert_count FROM alerts.daily_counts WHERE scope = 'rule' ORDER BY scope_id LIMIT 1";
    assert_eq!(count(&mut stage, counted).await, 2);
    assert_eq!(count(&mut stage, "SELECT alert_count FROM alerts.daily_counts WHERE scope = 'org'").await, 4);

    stage.run("UPDATE alerts.daily_counts SET day = day - 1").await;
    let (org, tip) = (stage.org, stage.chain.tip().number);
    assert!(rules::unquarantine(&mut stage.conn, org, RuleId(busy), Some(tip), "test").await.unwrap());
    stage.chain.append(&mut stage.conn, vec![many(5, 3)]).await;
    stage.sweep().await;
    assert_eq!(stage.states(busy).await.len(), 5);
    assert_eq!(count(&mut stage, "SELECT alert_count FROM alerts.daily_counts WHERE scope = 'org'").await, 3);
}
