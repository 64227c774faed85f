//! What people do to rules and channels while a turn is under way counts from then on.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use isotherm_alerts::{channels, rules};
use isotherm_lab::process::eventually;
use isotherm_types::{ChannelId, Clock as _, RuleId, SystemClock};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;

use crate::TOKEN;
use crate::chain::{CHAIN, Transaction};
use crate::stage::Stage;

/// A turn that has read its rules and found something, and waits for a lock before it writes it down.
struct UnderWay {
    /// Has the lock.
    holder: PgConnection,
    turn: JoinHandle<()>,
}

async fn begin(stage: &mut Stage) -> UnderWay {
    let mut holder = stage.connect().await;
    sqlx::raw_sql("BEGIN; SELECT FROM alerts.cursors FOR UPDATE").execute(&mut holder).await.unwrap();
    let turn = turn(stage).await;
    UnderWay { holder, turn }
}

/// Begins a turn of another evaluator and returns when it waits for a lock.
async fn turn(stage: &mut Stage) -> JoinHandle<()> {
    let other = stage.another().await;
    let turn = tokio::spawn(async move {
        other.turn(CHAIN, Instant::now() + Duration::from_secs(30)).await.unwrap();
    });
    eventually("a turn that waits for a lock", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut stage.conn)
        .await
        .unwrap();
        waiting > 0
    })
    .await
    .unwrap();
    turn
}

impl UnderWay {
    async fn goes_on(mut self) {
        sqlx::raw_sql("COMMIT").execute(&mut self.holder).await.unwrap();
        self.turn.await.unwrap();
    }
}

/// A rule over all transfers, whose cursor is at the tip, and a new block with one.
async fn scene() -> (Stage, i64) {
    let mut stage = Stage::new(&["ops"]).await;
    let rule = stage.transfers("any", TOKEN, &json!({})).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.sweep().await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    (stage, rule)
}

#[tokio::test]
async fn a_rule_that_is_paused_or_deleted_during_a_turn_finds_nothing_in_it() {
    for deletes in [false, true] {
        let (mut stage, rule) = scene().await;
        let under_way = begin(&mut stage).await;
        let (org, rule_id) = (stage.org, RuleId(rule));
        if deletes {
            rules::delete(&mut stage.conn, org, rule_id, "test").await.unwrap();
        } else {
            assert!(rules::pause(&mut stage.conn, org, rule_id, "test").await.unwrap());
        }
        under_way.goes_on().await;
        assert!(stage.alerts(rule).await.is_empty() && stage.messages(rule).await.is_empty(), "deletes: {deletes}");
        stage.sweep().await;
        assert!(stage.alerts(rule).await.is_empty(), "deletes: {deletes}");
    }
}

#[tokio::test]
async fn what_waits_to_be_sent_stays_if_its_rule_is_paused_during_the_turn() {
    let mut stage = Stage::new(&["ops"]).await;
    let rule = stage.transfers("final", TOKEN, &json!({ "at": "finalized" })).await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    stage.sweep().await;
    assert_eq!(stage.states(rule).await, ["pending"]);
    stage.chain.finalize(&mut stage.conn, 0).await;
    let under_way = begin(&mut stage).await;
    let (org, rule_id) = (stage.org, RuleId(rule));
    assert!(rules::pause(&mut stage.conn, org, rule_id, "test").await.unwrap());
    under_way.goes_on().await;
    assert_eq!(stage.states(rule).await, ["pending"]);
    assert!(rules::resume(&mut stage.conn, org, rule_id, None, "test").await.unwrap());
    stage.sweep().await;
    assert_eq!(stage.states(rule).await, ["confirmed"]);
}

#[tokio::test]
async fn a_mute_and_a_change_during_a_turn_count_in_it() {
    let (mut stage, rule) = scene().await;
    let under_way = begin(&mut stage).await;
    let (org, until) = (stage.org, SystemClock.now() + TimeDelta::hours(1));
    rules::mute(&mut stage.conn, org, RuleId(rule), Some(until), "test").await.unwrap();
    under_way.goes_on().await;
    assert_eq!(stage.alerts(rule).await[0].reason.as_deref(), Some("muted"));

    let (mut stage, rule) = scene().await;
    let under_way = begin(&mut stage).await;
    stage
        .run(
            "UPDATE alerts.rules SET version = version + 1, updated_at = now(),
                    definition = definition || '{\"condition\": \"args.value > 5\"}'",
        )
        .await;
    under_way.goes_on().await;
    assert!(stage.alerts(rule).await.is_empty(), "what it looked for before counts no more");
    stage.chain.append(&mut stage.conn, vec![Transaction::of(2, TOKEN, 6)]).await;
    stage.sweep().await;
    let blocks: Vec<i64> = stage.alerts(rule).await.into_iter().map(|alert| alert.block_number).collect();
    assert_eq!(blocks, [2], "and what it looks for now is looked for in every block");
}

#[tokio::test]
async fn a_channel_that_is_deleted_during_a_turn_is_told_nothing() {
    let mut stage = Stage::new(&["ops", "desk"]).await;
    let rule = stage.transfers("any", TOKEN, &json!({})).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.sweep().await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    let desk: i64 = sqlx::query_scalar("SELECT id FROM alerts.channels WHERE name = 'desk'")
        .fetch_one(&mut stage.conn)
        .await
        .unwrap();
    let mut deleting = stage.connect().await;
    let mut db_tx = deleting.begin().await.unwrap();
    channels::delete(&mut db_tx, stage.org, ChannelId(desk), "test").await.unwrap();
    let turn = turn(&mut stage).await;
    db_tx.commit().await.unwrap();
    turn.await.unwrap();
    assert_eq!(stage.states(rule).await, ["sent"]);
    let told: Vec<String> =
        sqlx::query_scalar("SELECT c.name FROM alerts.deliveries d JOIN alerts.channels c ON c.id = d.channel_id")
            .fetch_all(&mut stage.conn)
            .await
            .unwrap();
    assert_eq!(told, ["ops"]);
}

#[tokio::test]
async fn a_change_during_a_turn_counts_in_it_also_if_nothing_was_found() {
    let mut stage = Stage::new(&["ops"]).await;
    let rule = stage.transfers("any", TOKEN, &json!({ "condition": "args.value > 5" })).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.sweep().await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    let under_way = begin(&mut stage).await;
    stage
        .run(
            "UPDATE alerts.rules SET version = version + 1, updated_at = now(),
                    definition = definition || '{\"condition\": \"args.value > 4\"}'",
        )
        .await;
    under_way.goes_on().await;
    assert!(stage.alerts(rule).await.is_empty());
    stage.sweep().await;
    let blocks: Vec<i64> = stage.alerts(rule).await.into_iter().map(|alert| alert.block_number).collect();
    assert_eq!(blocks, [1], "the turn has not passed a block for which only the earlier definition was looked for");
}

#[tokio::test]
async fn what_a_rule_found_that_is_paused_during_the_turn_is_not_said_not_to_have_happened() {
    let (mut stage, rule) = scene().await;
    stage.sweep().await;
    stage.deliver().await;
    stage.chain.reorg(&mut stage.conn, 1, vec![vec![Transaction::of(1, TOKEN, 5)]]).await;
    let under_way = begin(&mut stage).await;
    let (org, rule_id) = (stage.org, RuleId(rule));
    assert!(rules::pause(&mut stage.conn, org, rule_id, "test").await.unwrap());
    under_way.goes_on().await;
    assert_eq!(stage.states(rule).await, ["retracted"]);
    assert_eq!(stage.reasons_of_retraction(rule).await, ["rule_not_at_work"]);
}

#[tokio::test]
async fn a_definition_that_takes_the_place_of_a_wrong_one_during_a_turn_is_not_quarantined_for_it() {
    // One that cannot be read, and one that cannot be compiled.
    for wrong in [json!({ "severity": "loud" }), json!({ "condition": "args.vale > 1" })] {
        let (mut stage, _) = scene().await;
        let rule = stage.transfers("wrong", TOKEN, &wrong).await;
        let under_way = begin(&mut stage).await;
        stage
            .run(
                "UPDATE alerts.rules SET version = version + 1, updated_at = now(),
                        definition = definition - 'severity' - 'condition' WHERE name = 'wrong'",
            )
            .await;
        under_way.goes_on().await;
        let state: String = sqlx::query_scalar("SELECT state FROM alerts.rules WHERE id = $1")
            .bind(rule)
            .fetch_one(&mut stage.conn)
            .await
            .unwrap();
        assert_eq!(state, "active", "{wrong}");
        stage.chain.append(&mut stage.conn, vec![Transaction::of(2, TOKEN, 5)]).await;
        stage.sweep().await;
        assert_eq!(stage.states(rule).await.last().map(String::as_str), Some("sent"), "{wrong}");
    }
}
