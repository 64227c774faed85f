//! Which rule with SQL is asked next.

use std::collections::BTreeMap;
use std::time::Duration;

use isotherm_alerts::sql_runs;

use super::*;

#[tokio::test]
async fn a_rule_with_sql_is_taken_once_and_comes_again_after_its_time() {
    let mut stage = Stage::new(&["webhook"]).await;
    assert_eq!(sql_runs::take_due(&mut stage.conn, &BTreeMap::new()).await.unwrap(), None, "it looks at rows");
    stage
        .run(
            "UPDATE alerts.rules SET next_run_at = now(),
                    definition = '{\"source\": {\"sql\": \"select 1\", \"every_seconds\": 300}}'",
        )
        .await;
    let fingerprint = cursors::fingerprint_of_rules(&mut stage.conn, CHAIN).await.unwrap();
    let due = sql_runs::take_due(&mut stage.conn, &BTreeMap::new()).await.unwrap().unwrap();
    assert_eq!((due.rule_id, due.org.as_str(), due.chain_id), (stage.rule, "acme", CHAIN));
    assert_eq!(sql_runs::take_due(&mut stage.conn, &BTreeMap::new()).await.unwrap(), None);
    let waits: f64 = sqlx::query_scalar("SELECT extract(epoch FROM next_run_at - now())::float8 FROM alerts.rules")
        .fetch_one(&mut stage.conn)
        .await
        .unwrap();
    assert!((290.0..=300.0).contains(&waits), "{waits}");
    assert_eq!(cursors::fingerprint_of_rules(&mut stage.conn, CHAIN).await.unwrap(), fingerprint);
    stage.run("UPDATE alerts.rules SET muted_until = now()").await;
    assert_ne!(cursors::fingerprint_of_rules(&mut stage.conn, CHAIN).await.unwrap(), fingerprint);
}

/// Makes a rule with SQL that is due; `asked`: so many seconds ago.
async fn due_rule(conn: &mut PgConnection, org: OrgId, name: &str, asked: Option<f64>) {
    sqlx::query(
        "INSERT INTO alerts.rules (org_id, name, chain_id, definition, first_block, created_by, next_run_at, asked_at)
         VALUES ($1, $2, 7, '{\"source\": {\"sql\": \"select 1\", \"every_seconds\": 300}}', 0, 'test', now(),
                 now() - make_interval(secs => $3))",
    )
    .bind(org.0)
    .bind(name)
    .bind(asked)
    .execute(conn)
    .await
    .unwrap();
}

/// Takes all that is due, of each of which the question takes as long as its organisation's do; returns the names.
async fn take_all(stage: &mut Stage, milliseconds: &BTreeMap<OrgId, u64>) -> Vec<String> {
    let (mut names, mut spent) = (Vec::new(), BTreeMap::<OrgId, Duration>::new());
    while let Some(due) = sql_runs::take_due(&mut stage.conn, &spent).await.unwrap() {
        *spent.entry(due.org_id).or_default() += Duration::from_millis(milliseconds[&due.org_id]);
        let name = sqlx::query_scalar("SELECT name FROM alerts.rules WHERE id = $1").bind(due.rule_id.0);
        names.push(name.fetch_one(&mut stage.conn).await.unwrap());
    }
    names
}

#[tokio::test]
async fn whoever_was_asked_for_longest_ago_is_next_and_slow_rules_keep_no_other_organisation_waiting() {
    let mut stage = Stage::new(&[]).await;
    let other: i64 = sqlx::query_scalar("INSERT INTO control.orgs (name) VALUES ('other') RETURNING id")
        .fetch_one(&mut stage.conn)
        .await
        .unwrap();
    let (ours, other) = (stage.org, OrgId(other));
    for (name, asked) in [("a-1", Some(500.0)), ("a-2", Some(900.0)), ("a-3", None), ("a-4", Some(100.0))] {
        due_rule(&mut stage.conn, ours, name, asked).await;
    }
    for (name, asked) in [("b-1", Some(400.0)), ("b-2", Some(300.0)), ("b-3", Some(350.0))] {
        due_rule(&mut stage.conn, other, name, asked).await;
    }
    // What the other one asks takes no time, so it is asked all of that before we are asked a second time.
    let times = BTreeMap::from([(ours, 20_000), (other, 1)]);
    assert_eq!(take_all(&mut stage, &times).await, ["b-1", "a-3", "b-3", "b-2", "a-2", "a-1", "a-4"]);

    // In the next invocation whoever was served longest ago begins.
    stage.run("UPDATE alerts.rules SET next_run_at = now() WHERE name IN ('a-1', 'b-1')").await;
    stage.run("UPDATE alerts.rules SET asked_at = now() - interval '1 minute' WHERE name LIKE 'b%'").await;
    assert_eq!(take_all(&mut stage, &times).await, ["b-1", "a-1"]);
}
