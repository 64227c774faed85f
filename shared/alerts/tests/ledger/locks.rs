//! Who waits for whom.

use std::collections::BTreeMap;

use isotherm_alerts::cursors;
use isotherm_alerts::daily;
use isotherm_types::{ChainId, Classified as _, RuleId};
use sqlx::{Connection as _, PgConnection};

use crate::{CHAIN, Stage};

#[tokio::test]
async fn whether_an_organisation_has_too_many_alerts_is_asked_without_holding_its_other_chains_up() {
    let mut stage = Stage::new(&[]).await;
    let mut other = stage.database.connect().await.unwrap();
    sqlx::query("SET lock_timeout = '50ms'").execute(&mut other).await.unwrap();
    let (ours, theirs) = (BTreeMap::from([(stage.rule, 3)]), BTreeMap::from([(RuleId(stage.rule.0 + 1), 5)]));
    daily::add(&mut other, stage.org, &theirs).await.unwrap();
    let mut db_tx = stage.conn.begin().await.unwrap();
    let shares = daily::share(&mut db_tx, stage.org, &ours).await.unwrap();
    assert!(shares.beyond.is_empty());
    assert_eq!(shares.kept, ours);
    daily::add(&mut other, stage.org, &theirs).await.unwrap();
    daily::add(&mut db_tx, stage.org, &shares.kept).await.unwrap();
    db_tx.commit().await.unwrap();
    let counts = counted(&mut stage.conn).await;
    let counts: Vec<(&str, i64)> = counts.iter().map(|(scope, count)| (scope.as_str(), *count)).collect();
    assert_eq!(counts, [("org", 13), ("rule", 3), ("rule", 10)]);
}

#[tokio::test]
async fn evaluators_of_two_chains_at_once_do_not_go_beyond_their_organisations_day() {
    let mut stage = Stage::new(&[]).await;
    sqlx::query(
        "INSERT INTO alerts.daily_counts (scope, scope_id, day, alert_count, most)
         VALUES ('org', $1, (now() AT TIME ZONE 'UTC')::date, 0, 10)",
    )
    .bind(stage.org.0)
    .execute(&mut stage.conn)
    .await
    .unwrap();
    let mut other = stage.database.connect().await.unwrap();
    let (ours, theirs) = (BTreeMap::from([(stage.rule, 6)]), BTreeMap::from([(RuleId(stage.rule.0 + 1), 6)]));
    let mut first = stage.conn.begin().await.unwrap();
    let mut second = other.begin().await.unwrap();
    // Each finds room for its own.
    for (db_tx, new) in [(&mut first, &ours), (&mut second, &theirs)] {
        assert_eq!(daily::share(db_tx, stage.org, new).await.unwrap().kept, *new);
    }
    daily::add(&mut first, stage.org, &ours).await.unwrap();
    first.commit().await.unwrap();
    let refused = daily::add(&mut second, stage.org, &theirs).await.unwrap_err();
    assert_eq!(refused.code(), "alerts.counted_meanwhile");
    second.rollback().await.unwrap();
    let beyond = daily::share(&mut other, stage.org, &theirs).await.unwrap().beyond;
    assert_eq!(beyond.first().map(|fault| fault.code), Some("alerts.too_many_alerts"), "it is asked anew");
    assert_eq!(counted(&mut other).await, [("org".to_owned(), 6), ("rule".to_owned(), 6)]);

    // Whoever began before midnight, and comes after another one has counted for the new day, does not take that day back.
    sqlx::query("UPDATE alerts.daily_counts SET day = day + 1").execute(&mut other).await.unwrap();
    daily::add(&mut other, stage.org, &BTreeMap::from([(stage.rule, 4)])).await.unwrap();
    assert_eq!(counted(&mut other).await, [("org".to_owned(), 10), ("rule".to_owned(), 10)]);
    let one_more = daily::add(&mut other, stage.org, &BTreeMap::from([(stage.rule, 1)])).await.unwrap_err();
    assert_eq!(one_more.code(), "alerts.counted_meanwhile");
}

/// Scope and alerts of each row.
async fn counted(conn: &mut PgConnection) -> Vec<(String, i64)> {
    sqlx::query_as("SELECT scope, alert_count FROM alerts.daily_counts ORDER BY scope, scope_id")
        .fetch_all(conn)
        .await
        .unwrap()
}

#[tokio::test]
async fn whoever_changes_rules_of_several_chains_has_the_cursors_of_all_of_them_first() {
    let mut stage = Stage::new(&[]).await;
    let chains = [CHAIN, ChainId(CHAIN.0 + 1)];
    for chain in chains {
        cursors::look_again_after(&mut stage.conn, stage.org, chain, None, 0).await.unwrap();
    }
    let mut evaluator = stage.database.connect().await.unwrap();
    sqlx::query("SET lock_timeout = '50ms'").execute(&mut stage.conn).await.unwrap();
    for chain in chains {
        let mut held = evaluator.begin().await.unwrap();
        cursors::hold(&mut held, stage.org, chain).await.unwrap();
        let busy = cursors::hold_all(&mut stage.conn, stage.org).await.unwrap_err();
        assert_eq!(busy.code(), "alerts.database", "it waits for the evaluator of {chain:?}");
        held.rollback().await.unwrap();
    }
    let mut all = stage.conn.begin().await.unwrap();
    cursors::hold_all(&mut all, stage.org).await.unwrap();
    sqlx::query("SET lock_timeout = '50ms'").execute(&mut evaluator).await.unwrap();
    for chain in chains {
        assert!(cursors::hold(&mut evaluator, stage.org, chain).await.is_err(), "{chain:?}");
    }
}
