//! What should have been found and told, from the rows of hot storage and what was received. Plain SQL over plain rules: a token's
//! transfers of so much or more.

use sqlx::PgConnection;

/// What is not over yet: the cursor is not at the tip, or a row may still change.
pub(crate) const UNFINISHED: &str = "
SELECT (SELECT count(*) FROM hot.cursors h
         WHERE NOT EXISTS (SELECT FROM alerts.cursors c
                            WHERE c.chain_id = h.chain_id AND c.block_hash = h.tip_hash AND c.recheck_from IS NULL))
     + (SELECT count(*) FROM alerts.alert_events WHERE state IN ('pending', 'sent', 'moved'))";

/// What a run was like.
pub(crate) const FIGURES: [(&str, &str); 5] = [
    ("alerts", "SELECT count(*) FROM alerts.alert_events WHERE state = 'confirmed'"),
    ("retracted", "SELECT count(*) FROM alerts.alert_events WHERE state = 'retracted'"),
    ("moved", "SELECT count(*) FROM lab_received WHERE kind = 'moved'"),
    ("taken_back", "SELECT count(*) FROM lab_received WHERE kind = 'retracted'"),
    ("messages", "SELECT count(*) FROM lab_received"),
];

/// What must not be the case, each as a query that counts it.
pub(crate) const RULES: [(&str, &str); 9] = [
    // A match on the chain without an alert in its block.
    (
        "missed",
        "WITH expected AS (
             SELECT r.rule_id, l.transaction_hash, l.block_hash,
                    row_number() OVER (PARTITION BY r.rule_id, l.transaction_hash ORDER BY l.log_index) AS nth
               FROM lab_rules r JOIN hot.logs l ON l.address = r.address AND l.data >= r.least
         ), found AS (
             SELECT e.rule_id, e.transaction_hash, e.block_hash,
                    row_number() OVER (PARTITION BY e.rule_id, e.transaction_hash ORDER BY e.position) AS nth
               FROM alerts.alert_events e WHERE e.state = 'confirmed'
         )
         SELECT count(*) FROM (SELECT * FROM expected EXCEPT SELECT * FROM found) AS missed",
    ),
    // An alert that no match on the chain stands behind.
    (
        "ghosts",
        "WITH expected AS (
             SELECT r.rule_id, l.transaction_hash, l.block_hash,
                    row_number() OVER (PARTITION BY r.rule_id, l.transaction_hash ORDER BY l.log_index) AS nth
               FROM lab_rules r JOIN hot.logs l ON l.address = r.address AND l.data >= r.least
         ), found AS (
             SELECT e.rule_id, e.transaction_hash, e.block_hash,
                    row_number() OVER (PARTITION BY e.rule_id, e.transaction_hash ORDER BY e.position) AS nth
               FROM alerts.alert_events e WHERE e.state NOT IN ('retracted', 'cancelled')
         )
         SELECT count(*) FROM (SELECT * FROM found EXCEPT SELECT * FROM expected) AS ghosts",
    ),
    ("doubled_alerts", "SELECT count(*) - count(DISTINCT (rule_id, transaction_hash, position)) FROM alerts.alert_events"),
    (
        "not_told_once",
        "SELECT count(*) FROM alerts.alert_events e
          WHERE e.state = 'confirmed'
            AND 1 <> (SELECT count(*) FROM lab_received r WHERE r.alert_id = e.id AND r.kind = 'fired')",
    ),
    (
        "told_twice",
        "SELECT count(*) FROM (SELECT FROM lab_received WHERE kind = 'fired' GROUP BY alert_id, channel_id
                               HAVING count(*) > 1) AS twice",
    ),
    // Whoever was told of an alert was told last what is true: its block, or that it is gone.
    (
        "wrong_last_word",
        "WITH last AS (SELECT DISTINCT ON (alert_id, channel_id) * FROM lab_received ORDER BY alert_id, channel_id, place DESC)
         SELECT count(*) FROM last l JOIN alerts.alert_events e ON e.id = l.alert_id
          WHERE CASE e.state WHEN 'confirmed' THEN l.kind = 'retracted' OR l.block_hash <> e.block_hash
                             WHEN 'retracted' THEN l.kind <> 'retracted'
                             ELSE true END",
    ),
    (
        "corrected_before_told",
        "WITH first AS (SELECT DISTINCT ON (alert_id, channel_id) * FROM lab_received ORDER BY alert_id, channel_id, place)
         SELECT count(*) FROM first WHERE kind <> 'fired'",
    ),
    // A rule that waits for finality tells nothing that is taken back.
    (
        "final_corrected",
        "SELECT count(*) FROM lab_received r JOIN alerts.alert_events e ON e.id = r.alert_id
           JOIN lab_rules l ON l.rule_id = e.rule_id WHERE l.is_final AND r.kind <> 'fired'",
    ),
    // The history of every row ends with what the row is.
    (
        "wrong_histories",
        "SELECT count(*) FROM alerts.alert_events e
          WHERE (SELECT (h.to_state, h.block_hash) FROM alerts.alert_history h WHERE h.alert_id = e.id
                  ORDER BY h.id DESC LIMIT 1) IS DISTINCT FROM (e.state, e.block_hash)",
    ),
];

pub(crate) async fn count(conn: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(conn).await.unwrap()
}
