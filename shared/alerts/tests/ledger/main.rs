//! The ledger, its cursor and the messages that follow from it, on a real Postgres.

use chrono::{DateTime, TimeDelta, Utc};
use isotherm_alerts::alert_events::{self, Due};
use isotherm_alerts::cursors::{self, AlertCursor};
use isotherm_alerts::definition::Severity;
use isotherm_alerts::deliveries::enqueue;
use isotherm_alerts::identity::{Identity, Place};
use isotherm_alerts::index::Match;
use isotherm_alerts::ledger::{Alert, AlertState, LedgerError, Message};
use isotherm_alerts::turn::{Changes, Group, Step};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::{B256, BlockNumber, BlockRef, ChainId, Classified, OrgId, RuleId};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

mod corrections;
mod locks;
mod pages;
mod sql_runs;

const CHAIN: ChainId = ChainId(7);

struct Stage {
    conn: PgConnection,
    org: OrgId,
    rule: RuleId,
    database: TestDatabase,
}

fn block(number: u64) -> BlockRef {
    BlockRef { number: BlockNumber(number), hash: B256::left_padding_from(&(number + 1).to_be_bytes()) }
}

fn time(number: u64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000, 0).unwrap() + TimeDelta::seconds(10 * i64::try_from(number).unwrap())
}

impl Stage {
    /// An organisation with a rule and a channel of each of these kinds.
    async fn new(kinds: &[&str]) -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let mut conn = database.connect().await.unwrap();
        let org: i64 = sqlx::query_scalar("INSERT INTO control.orgs (name) VALUES ('acme') RETURNING id")
            .fetch_one(&mut conn)
            .await
            .unwrap();
        let rule: i64 = sqlx::query_scalar(
            "INSERT INTO alerts.rules (org_id, name, chain_id, definition, first_block, created_by)
             VALUES ($1, 'rule', 7, '{}', 0, 'test') RETURNING id",
        )
        .bind(org)
        .fetch_one(&mut conn)
        .await
        .unwrap();
        for kind in kinds {
            sqlx::query(
                "WITH made AS (
                     INSERT INTO alerts.channels (org_id, name, kind, sealed_address, created_by)
                     VALUES ($1, $2, $2, '\\x00', 'test') RETURNING id
                 )
                 INSERT INTO alerts.rule_channels (org_id, rule_id, channel_id) SELECT $1, $3, id FROM made",
            )
            .bind(org)
            .bind(kind)
            .bind(rule)
            .execute(&mut conn)
            .await
            .unwrap();
        }
        Self { conn, org: OrgId(org), rule: RuleId(rule), database }
    }

    fn found(&self, number: u64, rank: u32) -> Match {
        let hash = B256::repeat_byte(9);
        Match {
            rule: self.rule,
            org: self.org,
            identity: Identity::of_place(self.rule, CHAIN, Place::Log(hash, rank)),
            transaction_hash: Some(hash),
            position: rank,
            block: block(number),
            block_time: time(number),
            severity: Severity::Warning,
            title: "a\0b".to_owned(),
            message: "found".to_owned(),
            facts: json!({ "a": "\0" }),
            group_key: None,
        }
    }

    /// Writes a finding down as new, in this state.
    async fn put(&mut self, found: &Match, state: AlertState) -> Uuid {
        let alert_id = found.identity.alert_id();
        let to = Alert { state, block: found.block };
        let steps = vec![Step { alert_id, from: None, to, reason: state.reason() }];
        let fired = if state == AlertState::Sent { vec![alert_id] } else { Vec::new() };
        let changes = Changes { new: vec![(0, state)], steps, fired, ..Changes::default() };
        alert_events::write(&mut self.conn, self.org, CHAIN, &[found], |_| 3, &changes).await.unwrap();
        alert_id
    }

    async fn run(&mut self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&mut self.conn).await.unwrap();
    }

    /// Kind and state of every message, in the order in which they were made.
    async fn messages(&mut self) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT concat_ws(' ', kind, state) FROM alerts.deliveries ORDER BY created_at, kind, occurrence",
        )
        .fetch_all(&mut self.conn)
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn a_finding_is_stored_with_its_history_and_no_message_twice() {
    let mut stage = Stage::new(&["webhook", "email"]).await;
    let found = stage.found(5, 2);
    let alert_id = stage.put(&found, AlertState::Sent).await;
    let (version, position, title, facts): (i32, i32, String, serde_json::Value) =
        sqlx::query_as("SELECT rule_version, position, title, facts FROM alerts.alert_events")
            .fetch_one(&mut stage.conn)
            .await
            .unwrap();
    assert_eq!((version, position, title.as_str()), (3, 2, "a\u{fffd}b"));
    assert_eq!(facts, json!({ "a": "\u{fffd}" }));
    assert_eq!(stage.messages().await, ["fired queued", "fired queued"]);
    assert_eq!(enqueue::fired(&mut stage.conn, stage.org, &[alert_id]).await.unwrap(), 0, "it is there already");
    let known = alert_events::known(&mut stage.conn, &[alert_id, Uuid::nil()]).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[&alert_id].alert, Alert { state: AlertState::Sent, block: block(5) });
}

#[tokio::test]
async fn the_same_finding_cannot_be_new_twice() {
    let mut stage = Stage::new(&[]).await;
    let found = stage.found(5, 0);
    stage.put(&found, AlertState::Pending).await;
    let changes = Changes { new: vec![(0, AlertState::Pending)], ..Changes::default() };
    let refused = alert_events::write(&mut stage.conn, stage.org, CHAIN, &[&found], |_| 1, &changes).await.unwrap_err();
    assert_eq!(refused.code(), "alerts.database");
    assert_eq!(refused.disposition(), isotherm_types::Disposition::Retry, "another evaluator was first");
}

#[tokio::test]
async fn a_row_that_has_changed_meanwhile_is_not_changed() {
    let mut stage = Stage::new(&[]).await;
    let found = stage.found(5, 0);
    let alert_id = stage.put(&found, AlertState::Sent).await;
    let turned = Changes { turned: vec![(alert_id, AlertState::Pending, AlertState::Sent)], ..Changes::default() };
    let moved = Changes { followed: vec![(0, AlertState::Pending, AlertState::Moved)], ..Changes::default() };
    for changes in [turned, moved] {
        let stale = alert_events::write(&mut stage.conn, stage.org, CHAIN, &[&found], |_| 1, &changes).await;
        assert!(matches!(stale, Err(LedgerError::StaleRows { changed: 0, expected: 1 })), "{stale:?}");
    }
}

#[tokio::test]
async fn nothing_of_the_ledger_is_deleted_and_nothing_of_its_history_changed() {
    let mut stage = Stage::new(&[]).await;
    let found = stage.found(5, 0);
    stage.put(&found, AlertState::Pending).await;
    for statement in [
        "DELETE FROM alerts.alert_events",
        "TRUNCATE alerts.alert_events CASCADE",
        "DELETE FROM alerts.alert_history",
        "UPDATE alerts.alert_history SET to_state = 'sent'",
        "TRUNCATE alerts.alert_history",
    ] {
        let refused = sqlx::query(statement).execute(&mut stage.conn).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{statement}: {refused}");
    }
}

#[tokio::test]
async fn a_cursor_is_one_evaluators_at_a_time_and_as_it_was_read() {
    let mut stage = Stage::new(&[]).await;
    let mut other = stage.database.connect().await.unwrap();
    let mut db_tx = stage.conn.begin().await.unwrap();
    cursors::hold_as(&mut db_tx, stage.org, CHAIN, None).await.unwrap();
    let first = AlertCursor { block: Some(block(5)), invalidation_id: 2, recheck_from: Some(BlockNumber(4)) };
    cursors::set(&mut db_tx, stage.org, CHAIN, &first).await.unwrap();
    db_tx.commit().await.unwrap();

    let mut held = other.begin().await.unwrap();
    cursors::hold_as(&mut held, stage.org, CHAIN, Some(&first)).await.unwrap();
    sqlx::query("SET lock_timeout = '50ms'").execute(&mut stage.conn).await.unwrap();
    let busy = cursors::hold_as(&mut stage.conn, stage.org, CHAIN, Some(&first)).await.unwrap_err();
    assert_eq!(busy.code(), "alerts.database", "it waits for the one that holds it");
    let second = AlertCursor { block: Some(block(6)), recheck_from: None, ..first };
    cursors::set(&mut held, stage.org, CHAIN, &second).await.unwrap();
    held.commit().await.unwrap();
    for old in [None, Some(&first), Some(&AlertCursor { invalidation_id: 3, ..second })] {
        let moved = cursors::hold_as(&mut stage.conn, stage.org, CHAIN, old).await;
        assert!(matches!(moved, Err(LedgerError::CursorMoved { .. })), "{moved:?}");
    }
    assert_eq!(cursors::of_chain(&mut stage.conn, CHAIN).await.unwrap()[&stage.org], second);

    cursors::look_again_after(&mut stage.conn, stage.org, CHAIN, Some(block(9)), 8).await.unwrap();
    assert_eq!(cursors::of_chain(&mut stage.conn, CHAIN).await.unwrap()[&stage.org], second, "it is not beyond");
    cursors::look_again_after(&mut stage.conn, stage.org, CHAIN, None, 8).await.unwrap();
    let back = AlertCursor { block: None, ..second };
    assert_eq!(cursors::of_chain(&mut stage.conn, CHAIN).await.unwrap()[&stage.org], back);
}

#[tokio::test]
async fn whoever_is_to_look_again_is_noticed_by_a_turn_that_began_before_also_without_a_cursor() {
    let mut stage = Stage::new(&[]).await;
    cursors::look_again_after(&mut stage.conn, stage.org, CHAIN, None, 8).await.unwrap();
    let moved = cursors::hold_as(&mut stage.conn, stage.org, CHAIN, None).await;
    assert!(matches!(moved, Err(LedgerError::CursorMoved { .. })), "there was none when it began: {moved:?}");
    let made = cursors::of_chain(&mut stage.conn, CHAIN).await.unwrap()[&stage.org];
    assert_eq!(made, AlertCursor { block: None, invalidation_id: 8, recheck_from: None });

    cursors::look_again_after(&mut stage.conn, stage.org, CHAIN, None, 9).await.unwrap();
    let moved = cursors::hold_as(&mut stage.conn, stage.org, CHAIN, Some(&made)).await;
    assert!(matches!(moved, Err(LedgerError::CursorMoved { .. })), "it stood nowhere when it began: {moved:?}");
}

#[tokio::test]
async fn what_is_due_and_what_may_be_gone_is_found_by_block_and_state() {
    let mut stage = Stage::new(&[]).await;
    let states = [
        AlertState::Pending,
        AlertState::Sent,
        AlertState::Confirmed,
        AlertState::Cancelled,
        AlertState::Suppressed(isotherm_alerts::ledger::Suppression::Muted),
    ];
    for (rank, state) in (0u32..).zip(states) {
        for number in [10, 20] {
            let found = stage.found(number, rank * 100 + u32::try_from(number).unwrap());
            stage.put(&found, state).await;
        }
    }
    let (org, rule) = (stage.org, stage.rule);
    let due = async |stage: &mut Stage, due: Due| {
        let mut found: Vec<(AlertState, u64)> = alert_events::due(&mut stage.conn, org, CHAIN, &due)
            .await
            .unwrap()
            .into_iter()
            .map(|known| (known.alert.state, known.alert.block.number.0))
            .collect();
        found.sort_by_key(|(state, number)| (state.as_str(), *number));
        found
    };
    assert!(due(&mut stage, Due::default()).await.is_empty());
    let all = Due { finalized: Some(BlockNumber(20)), below: None, up_to: vec![(rule, BlockNumber(19))] };
    assert_eq!(
        due(&mut stage, all.clone()).await,
        [(AlertState::Pending, 10), (AlertState::Sent, 10), (AlertState::Sent, 20)]
    );
    let checked = Due { below: Some(BlockNumber(20)), ..all };
    assert_eq!(due(&mut stage, checked).await, [(AlertState::Pending, 10), (AlertState::Sent, 10)]);

    let suspects = alert_events::suspects(&mut stage.conn, org, CHAIN, BlockNumber(11), None).await.unwrap();
    let mut found: Vec<&str> = suspects.iter().map(|known| known.alert.state.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, ["pending", "sent", "suppressed"]);

    let group = Group { rule_id: rule, group_key: None, since: time(5) };
    let holders = alert_events::holders(&mut stage.conn, CHAIN, &[group], BlockNumber(20)).await.unwrap();
    assert_eq!(holders.len(), 3, "what was sent, or will be, before the block");
    assert!(alert_events::orgs_with_live(&mut stage.conn, CHAIN).await.unwrap().is_empty(), "without a cursor");
    cursors::hold_as(&mut stage.conn, org, CHAIN, None).await.unwrap();
    assert_eq!(alert_events::orgs_with_live(&mut stage.conn, CHAIN).await.unwrap(), [org]);
    stage.run("UPDATE alerts.rules SET deleted_at = now()").await;
    assert_eq!(alert_events::of_deleted_rules(&mut stage.conn, org, CHAIN).await.unwrap().len(), 2);
}

#[tokio::test]
async fn who_holds_a_group_is_looked_up_in_that_group_alone() {
    let mut stage = Stage::new(&[]).await;
    let keys = [None, Some(""), Some("a"), Some("b")];
    for (rank, key) in (0u32..).zip(keys) {
        for number in [5, 6] {
            let found = Match {
                group_key: key.map(str::to_owned),
                ..stage.found(number, 10 * rank + u32::try_from(number).unwrap())
            };
            stage.put(&found, AlertState::Sent).await;
        }
    }
    for key in keys {
        let group = Group { rule_id: stage.rule, group_key: key, since: time(5) };
        let held = alert_events::holders(&mut stage.conn, CHAIN, &[group], BlockNumber(9)).await.unwrap();
        let held: Vec<_> = held.iter().map(|held| (held.group_key.as_deref(), held.block.number.0)).collect();
        assert_eq!(held, [(key, 6)], "after the time, of the group");
    }
    let other = Group { rule_id: RuleId(stage.rule.0 + 1), group_key: Some("a"), since: time(0) };
    assert!(alert_events::holders(&mut stage.conn, CHAIN, &[other], BlockNumber(9)).await.unwrap().is_empty());

    // Whatever else the rules of the chain have found, an index leads there.
    stage.run("SET enable_seqscan = off").await;
    let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "EXPLAIN {}",
        include_str!("../../queries/alert_events/holders.sql")
            .replace("$1", "'{1}'")
            .replace("$2", "'{a}'")
            .replace("$3", "'{now}'")
            .replace("$4", "7")
            .replace("$5", "9")
    )))
    .fetch_all(&mut stage.conn)
    .await
    .unwrap();
    assert!(plan.join(" ").contains("alert_events_holding_group"), "{plan:?}");
}

#[tokio::test]
async fn rules_that_are_not_at_work_do_not_count_and_every_change_of_one_that_is_does() {
    let mut stage = Stage::new(&[]).await;
    let mut seen = vec![cursors::fingerprint_of_rules(&mut stage.conn, CHAIN).await.unwrap()];
    for change in [
        "UPDATE alerts.rules SET version = 2",
        "UPDATE alerts.rules SET muted_until = now()",
        "UPDATE alerts.rules SET first_block = 5",
        "UPDATE alerts.rules SET state = 'paused'",
    ] {
        stage.run(change).await;
        let after = cursors::fingerprint_of_rules(&mut stage.conn, CHAIN).await.unwrap();
        assert!(!seen.contains(&after), "{change}");
        seen.push(after);
    }
    stage.run("UPDATE alerts.rules SET updated_at = now(), version = 3, deleted_at = now()").await;
    let after = cursors::fingerprint_of_rules(&mut stage.conn, CHAIN).await.unwrap();
    assert_eq!(Some(&after), seen.last(), "it was not at work");
}

#[tokio::test]
async fn a_correction_that_nobody_sent_is_overtaken_and_one_that_was_is_not() {
    let mut stage = Stage::new(&["webhook"]).await;
    let found = stage.found(5, 0);
    let alert_id = stage.put(&found, AlertState::Sent).await;
    let correct = async |stage: &mut Stage, message: Message| {
        enqueue::corrections(&mut stage.conn, stage.org, message, &[alert_id]).await.unwrap()
    };
    // Gone before it was sent, and there again: it is sent after all.
    assert_eq!(correct(&mut stage, Message::Retracted).await, 0);
    assert_eq!(correct(&mut stage, Message::Moved).await, 1);
    assert_eq!(stage.messages().await, ["fired queued"]);

    stage.run("UPDATE alerts.deliveries SET state = 'delivered', attempts = 1, finished_at = now()").await;
    assert_eq!(correct(&mut stage, Message::Retracted).await, 1);
    assert_eq!(correct(&mut stage, Message::Moved).await, 1);
    assert_eq!(stage.messages().await, ["fired delivered", "retracted cancelled", "moved queued"]);
    stage
        .run("UPDATE alerts.deliveries SET state = 'delivered', attempts = 1, finished_at = now() WHERE kind = 'moved'")
        .await;
    assert_eq!(correct(&mut stage, Message::Retracted).await, 1);
    let last: (String, i32) = sqlx::query_as("SELECT kind, occurrence FROM alerts.deliveries WHERE state = 'queued'")
        .fetch_one(&mut stage.conn)
        .await
        .unwrap();
    assert_eq!(last, ("retracted".to_owned(), 1));
}

#[tokio::test]
async fn a_notice_goes_to_the_channels_of_its_rule() {
    let mut stage = Stage::new(&["webhook", "email"]).await;
    stage.run("UPDATE alerts.channels SET state = 'disabled', disabled_reason = 'x' WHERE kind = 'email'").await;
    let content = json!({ "type": "rule.quarantined" });
    assert_eq!(enqueue::notice(&mut stage.conn, stage.rule, &content).await.unwrap(), Some(stage.org));
    assert_eq!(stage.messages().await, ["notice queued"]);
    stage.run("UPDATE alerts.channels SET deleted_at = now(), sealed_address = NULL").await;
    assert_eq!(enqueue::notice(&mut stage.conn, stage.rule, &content).await.unwrap(), None);
}
