//! A chain with some blocks, a rule, channels, an alert and a message: what calls about alerts are about.

use isotherm_alerts::channel::Address;
use isotherm_alerts::channels::{self, NewChannel};
use isotherm_alerts::definition::Definition;
use isotherm_types::OrgId;
use lambda_api::rules::{self, Author};
use serde_json::{Value, json};

use crate::stage::Stage;

/// The alert and the message, which `default` has.
pub(crate) const ALERT: &str = "00000000-0000-8000-8000-00000000000a";
pub(crate) const DELIVERY: &str = "00000000-0000-4000-8000-00000000000d";

/// Blocks 0 to 19 of chain 31337, one a second; block N used N gas.
const CHAIN: &str = "
CREATE TABLE hot.blocks_31337 PARTITION OF hot.blocks FOR VALUES IN (31337);
INSERT INTO hot.blocks (block_hash, author, block_number, gas_used, extra_data, timestamp, chain_id, parent_hash,
                        uncles_hash, state_root, transactions_root, receipts_root, logs_bloom, difficulty, gas_limit,
                        mix_hash, nonce, transaction_count)
SELECT sha256(n::text::bytea), b, n, n, b, 1700000000 + n, 31337, sha256((n - 1)::text::bytea), b, b, b, b, b, b, 0, b, b, 0
  FROM generate_series(0, 19) AS n, (SELECT ''::bytea AS b) AS bytes;
INSERT INTO hot.cursors (chain_id, chain, partition_blocks, first_block, tip_number, tip_hash)
VALUES (31337, 'demo', 100, 0, 19, sha256('19'::bytea));
";

const EVENT: &str = "
INSERT INTO alerts.alert_events (id, org_id, rule_id, rule_version, chain_id, identity, block_number, block_hash, block_time, state,
                                 severity, title, message, facts, sent_at)
SELECT '00000000-0000-8000-8000-00000000000a', r.org_id, r.id, 1, 31337, sha256('a'), 7, sha256('7'::bytea), now(), 'sent', 'warning',
       'block 7', 'block 7 is full', '{\"gas_used\": 7}', now()
  FROM alerts.rules r WHERE r.name = 'full'
    ON CONFLICT DO NOTHING;
INSERT INTO alerts.alert_history (org_id, alert_id, from_state, to_state, block_number, block_hash)
SELECT org_id, id, NULL, 'pending', 7, block_hash FROM alerts.alert_events
 WHERE NOT EXISTS (SELECT FROM alerts.alert_history);
INSERT INTO alerts.deliveries (id, org_id, channel_id, alert_id, kind, state, attempts, finished_at)
SELECT '00000000-0000-4000-8000-00000000000d', c.org_id, c.id, '00000000-0000-8000-8000-00000000000a', 'fired', 'failed', 1, now()
  FROM alerts.channels c WHERE c.name = 'kept' AND c.deleted_at IS NULL
    ON CONFLICT (id) DO UPDATE SET state = 'failed', finished_at = now();
";

/// Channels as if their codes had come back.
const CONFIRMED: &str = "
UPDATE alerts.channels SET confirmed_at = now() WHERE confirmed_at IS NULL AND name IN ('kept', 'hooks');
DELETE FROM alerts.channel_codes;
DELETE FROM alerts.deliveries WHERE kind = 'notice';
";

/// Makes the chain.
pub(crate) async fn chain(stage: &Stage) {
    sqlx::raw_sql(CHAIN).execute(&stage.pool).await.unwrap();
}

/// The rule called `name`, which tells `kept`.
pub(crate) fn full(name: &str) -> Value {
    json!({
        "name": name, "chain": "demo", "source": { "dataset": "blocks" }, "condition": "gas_used >= 15",
        "channels": ["kept"],
    })
}

/// Puts back what calls before may have changed: the rule `full`, the channels `kept` and `hooks` of `owner`, the alert, and the
/// message, which is over.
pub(crate) async fn put_back(stage: &Stage, org: OrgId, owner: Option<i64>) {
    let mut conn = stage.pool.acquire().await.unwrap();
    let ring = stage.api.sealing_keys.get(&stage.api.clients).await.unwrap();
    for name in ["kept", "hooks"] {
        if channels::named(&mut conn, org, name).await.unwrap().is_none() {
            let address = Address::Email { to: format!("{name}@example.org") };
            let new = NewChannel { name: name.to_owned(), address, per_minute: 60, owner_id: owner };
            channels::create(&mut conn, org, new, &ring, "test").await.unwrap();
            sqlx::raw_sql(CONFIRMED).execute(&mut *conn).await.unwrap();
        }
    }
    let definition = Definition::parse(&full("full")).unwrap();
    rules::save(&mut conn, org, &definition, Author { name: "test", user: None }).await.unwrap();
    sqlx::raw_sql(EVENT).execute(&mut *conn).await.unwrap();
}
