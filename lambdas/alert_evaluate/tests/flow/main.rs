//! The evaluator against a real Postgres and an AWS emulator: what becomes of what rules find, whatever the chain does.

use std::time::{Duration, Instant};

use isotherm_alerts::rules;
use isotherm_platform::telemetry::logged;
use isotherm_types::RuleId;
use serde_json::json;

mod bounds;
mod chain;
mod meanwhile;
mod rechecks;
mod sources;
mod stage;

use chain::{CHAIN, Transaction};
use stage::Stage;

const TOKEN: u64 = 1;

fn words(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(kind, state)| (kind.as_str(), state.as_str())).collect()
}

#[tokio::test]
async fn a_match_is_sent_once_however_often_it_is_heard_of() {
    let mut stage = Stage::new(&["ops", "desk"]).await;
    let rule = stage.transfers("large", TOKEN, &json!({ "condition": "args.value >= 100" })).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    let transactions =
        vec![Transaction::of(1, TOKEN, 99), Transaction::of(2, TOKEN, 100), Transaction::of(3, TOKEN + 1, 100)];
    let event_id = stage.chain.append(&mut stage.conn, transactions).await;
    assert!(!stage.hear(event_id).await);

    let alerts = stage.alerts(rule).await;
    let [alert] = alerts.as_slice() else { panic!("{alerts:?}") };
    assert_eq!((alert.state.as_str(), alert.block_number), ("sent", 1));
    assert_eq!(alert.block_hash, stage.chain.tip().hash.to_vec());
    assert_eq!(words(&stage.messages(rule).await), [("fired", "queued"), ("fired", "queued")], "one a channel");
    assert_eq!(stage.history(alert.id).await.len(), 2, "found, sent");
    assert_eq!(stage.announced().await, [stage.org.0]);

    assert!(!stage.hear(event_id).await);
    assert_eq!(stage.sweep().await, 0);
    assert_eq!(stage.alerts(rule).await, alerts);
    assert_eq!(stage.messages(rule).await.len(), 2);
    assert!(stage.announced().await.is_empty());
}

#[tokio::test]
async fn one_blocks_way_to_a_message_has_one_trace_in_rows_and_in_the_log() {
    let mut stage = Stage::new(&["ops"]).await;
    let rule = stage.transfers("any", TOKEN, &json!({})).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    let first = stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    let second = stage.chain.append(&mut stage.conn, vec![Transaction::of(2, TOKEN, 5)]).await;
    // One turn looks at both.
    let (failed, lines) = logged(stage.hear(second)).await;
    assert!(!failed);

    let traces = [stage.trace_of(first).await, stage.trace_of(second).await];
    assert_ne!(traces[0], traces[1], "each block is a cause of its own");
    let expected = traces.clone().map(|trace| (trace.clone(), trace));
    assert_eq!(stage.traces(rule).await, expected, "of the alert and of its message");
    let recorded = lines.iter().filter(|line| line["message"] == "alerts were recorded");
    let told: Vec<&str> = recorded.filter_map(|line| line["trace.id"].as_str()).collect();
    assert_eq!(told, traces);
    let mut rows = stage.rows_as_the_manual_finds_them(&traces[1]).await;
    rows.sort_unstable();
    assert_eq!(rows, ["alert sent", "event alerts_recorded", "event dataset_advanced", "message queued"]);

    let reorg = stage.chain.reorg(&mut stage.conn, 1, vec![Vec::new(), Vec::new()]).await;
    stage.deliver().await;
    assert!(!stage.hear(reorg).await);
    assert_eq!(words(&stage.messages(rule).await).last(), Some(&("retracted", "queued")));
    assert_eq!(stage.traces(rule).await.last(), Some(&expected[1]), "a correction follows from what it corrects");
}

#[tokio::test]
async fn a_reorg_that_drops_the_transaction_retracts_what_was_delivered() {
    let mut stage = Stage::new(&["ops"]).await;
    let rule = stage.transfers("any", TOKEN, &json!({})).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    stage.sweep().await;
    stage.deliver().await;

    let event_id = stage.chain.reorg(&mut stage.conn, 1, vec![Vec::new(), Vec::new()]).await;
    assert!(!stage.hear(event_id).await);
    assert_eq!(stage.states(rule).await, ["retracted"]);
    assert_eq!(words(&stage.messages(rule).await), [("fired", "delivered"), ("retracted", "queued")]);

    // It is on the chain again: told, and not as something new. The retraction that nobody has sent is overtaken.
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    stage.sweep().await;
    let alerts = stage.alerts(rule).await;
    assert_eq!((alerts[0].state.as_str(), alerts[0].block_number), ("moved", 3));
    assert_eq!(
        words(&stage.messages(rule).await),
        [("fired", "delivered"), ("retracted", "cancelled"), ("moved", "queued")]
    );
    let steps = stage.history(alerts[0].id).await;
    let after: Vec<&str> = steps.iter().map(|(_, to)| to.as_str()).collect();
    assert_eq!(after, ["pending", "sent", "retracted", "moved"]);
}

#[tokio::test]
async fn a_transaction_in_another_block_has_moved_and_nobody_is_paged_again() {
    let mut stage = Stage::new(&["ops"]).await;
    let rule = stage.transfers("any", TOKEN, &json!({})).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    stage.sweep().await;
    let before = stage.alerts(rule).await;
    // Before anybody has tried to send it, the first message simply says the new block.
    stage.chain.reorg(&mut stage.conn, 1, vec![Vec::new(), vec![Transaction::of(1, TOKEN, 5)]]).await;
    stage.sweep().await;
    let moved = stage.alerts(rule).await;
    assert_eq!((moved[0].id, moved[0].state.as_str(), moved[0].block_number), (before[0].id, "moved", 2));
    assert_eq!(moved[0].block_hash, stage.chain.tip().hash.to_vec());
    assert_eq!(words(&stage.messages(rule).await), [("fired", "queued")]);

    stage.deliver().await;
    stage.chain.reorg(&mut stage.conn, 2, vec![vec![Transaction::of(1, TOKEN, 5)], Vec::new()]).await;
    stage.sweep().await;
    assert_eq!(stage.alerts(rule).await[0].block_number, 1);
    assert_eq!(words(&stage.messages(rule).await), [("fired", "delivered"), ("moved", "queued")]);
    stage.chain.finalize(&mut stage.conn, 0).await;
    stage.sweep().await;
    assert_eq!(stage.states(rule).await, ["confirmed"]);
}

#[tokio::test]
async fn what_goes_before_it_is_sent_is_told_to_nobody() {
    let mut stage = Stage::new(&["ops"]).await;
    let latest = stage.transfers("latest", TOKEN, &json!({})).await;
    let last = stage.transfers("finalized", TOKEN, &json!({ "at": "finalized" })).await;
    let third = stage.transfers("third", TOKEN, &json!({ "confirmations": 3 })).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    stage.sweep().await;
    assert_eq!(stage.states(last).await, ["pending"]);
    assert_eq!(stage.states(third).await, ["pending"]);
    stage.chain.reorg(&mut stage.conn, 1, vec![Vec::new()]).await;
    assert_eq!(stage.sweep().await, 0);
    assert_eq!(stage.states(latest).await, ["retracted"]);
    assert_eq!(words(&stage.messages(latest).await), [("fired", "cancelled")], "nobody had tried to send it");
    for rule in [last, third] {
        assert_eq!(stage.states(rule).await, ["cancelled"]);
        assert!(stage.messages(rule).await.is_empty());
    }

    // The same transaction comes after all, and gets as far as each rule asks.
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    stage.sweep().await;
    assert_eq!(words(&stage.messages(latest).await), [("fired", "queued")], "it is to be sent now, once");
    assert_eq!(stage.states(last).await, ["pending"]);
    assert_eq!(stage.states(third).await, ["pending"]);
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.sweep().await;
    assert_eq!(stage.states(last).await, ["pending"]);
    assert_eq!(stage.states(third).await, ["sent"]);
    stage.chain.finalize(&mut stage.conn, 2).await;
    stage.sweep().await;
    for rule in [latest, last, third] {
        assert_eq!(stage.states(rule).await, ["confirmed"]);
    }
    assert_eq!(words(&stage.messages(last).await), [("fired", "queued")]);
}

#[tokio::test]
async fn evaluators_at_once_and_after_an_outage_find_everything_once() {
    let mut stage = Stage::new(&["ops"]).await;
    let rule = stage.transfers("any", TOKEN, &json!({})).await;
    for id in 0..60 {
        stage.chain.append(&mut stage.conn, vec![Transaction::of(id, TOKEN, 1)]).await;
    }
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let other = stage.another().await;
        others.spawn(async move {
            let until = Instant::now() + Duration::from_secs(30);
            for _ in 0..5 {
                other.turn(CHAIN, until).await.unwrap();
            }
        });
    }
    while let Some(ended) = others.join_next().await {
        ended.unwrap();
    }
    stage.sweep().await;
    let alerts = stage.alerts(rule).await;
    let blocks: Vec<i64> = alerts.iter().map(|alert| alert.block_number).collect();
    assert_eq!(blocks, (0..60).collect::<Vec<i64>>());
    assert_eq!(stage.messages(rule).await.len(), 60);
}

#[tokio::test]
async fn a_turn_without_time_does_nothing_and_the_next_goes_on() {
    let mut stage = Stage::new(&["ops"]).await;
    let rule = stage.transfers("any", TOKEN, &json!({})).await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 1)]).await;
    stage.evaluator.turn(CHAIN, Instant::now()).await.unwrap();
    assert!(stage.alerts(rule).await.is_empty());
    let turned = stage.evaluator.turn(CHAIN, Instant::now() + Duration::from_secs(30)).await.unwrap();
    assert_eq!((turned.blocks, turned.findings, turned.messages), (1, 1, 1));
}

#[tokio::test]
async fn a_cooldown_lets_one_of_a_group_through_and_the_next_if_that_one_goes() {
    let mut stage = Stage::new(&["ops"]).await;
    // Blocks are ten seconds apart.
    let rule = stage.transfers("quiet", TOKEN, &json!({ "cooldown_seconds": 25, "group_by": "args.value" })).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5), Transaction::of(2, TOKEN, 6)]).await;
    stage.sweep().await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(3, TOKEN, 5)]).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(4, TOKEN, 5)]).await;
    stage.sweep().await;
    let seen: Vec<(i64, String)> =
        stage.alerts(rule).await.into_iter().map(|alert| (alert.block_number, alert.state)).collect();
    let seen: Vec<(i64, &str)> = seen.iter().map(|(block, state)| (*block, state.as_str())).collect();
    assert_eq!(seen, [(1, "sent"), (1, "sent"), (2, "suppressed"), (4, "sent")]);
    assert_eq!(stage.alerts(rule).await[2].reason.as_deref(), Some("cooldown"));

    // The first one is gone, so the second has nobody to yield to.
    let kept = vec![vec![Transaction::of(2, TOKEN, 6)], vec![Transaction::of(3, TOKEN, 5)], Vec::new()];
    stage.deliver().await;
    stage.chain.reorg(&mut stage.conn, 4, kept).await;
    stage.sweep().await;
    for (id, expected) in [(1, "retracted"), (2, "moved"), (3, "sent"), (4, "retracted")] {
        assert_eq!(stage.state_of(rule, &Transaction::of(id, TOKEN, 0)).await, expected, "{id}");
    }
}

#[tokio::test]
async fn a_rule_that_fails_is_taken_out_of_work_and_the_others_go_on() {
    let mut stage = Stage::new(&["ops"]).await;
    let bad =
        stage.transfers("bad", TOKEN, &json!({ "condition": "args.value / (args.value - args.value) > 0" })).await;
    let broken = stage.rule("broken", &json!({ "event": "Transfer(" }), &json!({})).await;
    let good = stage.transfers("good", TOKEN, &json!({})).await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    stage.sweep().await;
    assert_eq!(stage.states(good).await, ["sent"]);
    assert!(stage.alerts(bad).await.is_empty());
    let states: Vec<(i64, String)> =
        sqlx::query_as("SELECT id, state FROM alerts.rules ORDER BY id").fetch_all(&mut stage.conn).await.unwrap();
    let expected = [(bad, "quarantined"), (broken, "quarantined"), (good, "active")];
    assert_eq!(states, expected.map(|(rule, state)| (rule, state.to_owned())));
    let notices: i64 = sqlx::query_scalar("SELECT count(*) FROM alerts.deliveries WHERE kind = 'notice'")
        .fetch_one(&mut stage.conn)
        .await
        .unwrap();
    assert_eq!(notices, 2, "their channels are told, once each");
    stage.chain.append(&mut stage.conn, vec![Transaction::of(2, TOKEN, 5)]).await;
    stage.sweep().await;
    assert_eq!(stage.states(good).await, ["sent", "sent"]);
}

#[tokio::test]
async fn a_mute_an_old_block_and_a_first_block_keep_people_asleep() {
    let mut stage = Stage::new(&["ops"]).await;
    let muted = stage.transfers("muted", TOKEN, &json!({})).await;
    let young = stage.transfers("young", TOKEN, &json!({ "max_age_seconds": 60 })).await;
    let later = stage.transfers("later", TOKEN, &json!({})).await;
    stage.run("UPDATE alerts.rules SET muted_until = now() + interval '1 hour' WHERE name = 'muted'").await;
    stage.run("UPDATE alerts.rules SET first_block = 1 WHERE name = 'later'").await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    // The evaluator comes two minutes later.
    stage.run("UPDATE hot.blocks SET timestamp = timestamp - 120").await;
    stage.run("UPDATE hot.logs SET timestamp = timestamp - 120").await;
    stage.sweep().await;
    for (rule, reason) in [(muted, "muted"), (young, "too_old")] {
        let alerts = stage.alerts(rule).await;
        assert_eq!((alerts[0].state.as_str(), alerts[0].reason.as_deref()), ("suppressed", Some(reason)));
        assert!(stage.messages(rule).await.is_empty());
    }
    assert!(stage.alerts(later).await.is_empty());
}

#[tokio::test]
async fn a_rule_that_goes_on_looks_at_what_comes_and_still_follows_what_it_sent() {
    let mut stage = Stage::new(&["ops"]).await;
    let rule = stage.transfers("any", TOKEN, &json!({})).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    stage.sweep().await;
    stage.deliver().await;
    let (org, rule_id) = (stage.org, RuleId(rule));
    rules::pause(&mut stage.conn, org, rule_id, "test").await.unwrap();
    stage.chain.append(&mut stage.conn, vec![Transaction::of(2, TOKEN, 5)]).await;
    let tip = stage.chain.tip().number;
    rules::resume(&mut stage.conn, org, rule_id, Some(tip), "test").await.unwrap();
    stage.chain.append(&mut stage.conn, vec![Transaction::of(3, TOKEN, 5)]).await;
    stage.sweep().await;
    let blocks: Vec<i64> = stage.alerts(rule).await.into_iter().map(|alert| alert.block_number).collect();
    assert_eq!(blocks, [1, 3], "block 2 came while it was paused");

    // What it sent is in a block now that does not concern it any more; what is new there is told to nobody.
    let kept = vec![Vec::new(), vec![Transaction::of(1, TOKEN, 5), Transaction::of(2, TOKEN, 5)], Vec::new()];
    stage.chain.reorg(&mut stage.conn, 3, kept).await;
    stage.sweep().await;
    assert_eq!(stage.states(rule).await, ["moved", "retracted"]);
    assert_eq!(stage.alerts(rule).await[0].block_number, 2);
}

#[tokio::test]
async fn alerts_of_rules_that_are_not_at_work_follow_the_chain() {
    let mut stage = Stage::new(&["ops"]).await;
    let paused = stage.transfers("paused", TOKEN, &json!({})).await;
    let deleted = stage.transfers("deleted", TOKEN, &json!({ "at": "finalized" })).await;
    stage.chain.append(&mut stage.conn, Vec::new()).await;
    stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
    stage.sweep().await;
    stage.deliver().await;
    stage.run("UPDATE alerts.rules SET state = 'paused', updated_at = now() WHERE name = 'paused'").await;
    stage.run("UPDATE alerts.rules SET deleted_at = now(), updated_at = now() WHERE name = 'deleted'").await;
    stage.sweep().await;
    assert_eq!(stage.states(deleted).await, ["cancelled"]);
    stage.chain.reorg(&mut stage.conn, 1, vec![vec![Transaction::of(1, TOKEN, 5)]]).await;
    stage.sweep().await;
    assert_eq!(stage.states(paused).await, ["retracted"]);
    assert_eq!(words(&stage.messages(paused).await), [("fired", "delivered"), ("retracted", "queued")]);
    assert_eq!(stage.reasons_of_retraction(paused).await, ["rule_not_at_work"]);
}

#[tokio::test]
async fn a_retraction_says_whether_it_did_not_happen_or_its_rule_looks_for_something_else_now() {
    for (is_changed, expected) in [(false, "orphaned"), (true, "rule_changed")] {
        let mut stage = Stage::new(&["ops"]).await;
        let rule = stage.transfers("any", TOKEN, &json!({})).await;
        stage.chain.append(&mut stage.conn, Vec::new()).await;
        stage.chain.append(&mut stage.conn, vec![Transaction::of(1, TOKEN, 5)]).await;
        stage.sweep().await;
        stage.deliver().await;
        let kept = if is_changed {
            stage
                .run(
                    "UPDATE alerts.rules SET version = version + 1, updated_at = now(),
                            definition = definition || '{\"condition\": \"args.value > 5\"}'",
                )
                .await;
            vec![Transaction::of(1, TOKEN, 5)]
        } else {
            Vec::new()
        };
        stage.chain.reorg(&mut stage.conn, 1, vec![kept]).await;
        stage.sweep().await;
        assert_eq!(stage.states(rule).await, ["retracted"]);
        assert_eq!(stage.reasons_of_retraction(rule).await, [expected]);
    }
}
