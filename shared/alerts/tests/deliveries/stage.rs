//! A database with a rule, alerts, channels and their deliveries, made by plain SQL.

use std::time::Duration;

use chrono::DateTime;
use isotherm_alerts::deliveries::{self, Capacity, Claim, Claimed, Ended, Verdict};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::ChannelId;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

pub(crate) const LEASE: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    pub(crate) database: TestDatabase,
    pub(crate) conn: PgConnection,
    org: i64,
    rule: i64,
}

/// Room for everything.
pub(crate) fn capacity() -> Capacity {
    let (room, most) = (10_000, 10_000);
    Capacity { room, per_channel: most, per_doubtful_channel: most, per_org: most, lease: LEASE, ..Capacity::default() }
}

pub(crate) fn accepted(message_id: &str) -> Verdict {
    Verdict::Accepted { status: Some(200), message_id: Some(message_id.to_owned()) }
}

pub(crate) fn ended(claimed: &Claimed, verdict: Verdict) -> Ended {
    Ended::new(claimed, verdict, DateTime::UNIX_EPOCH, Duration::from_millis(12))
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let mut conn = database.connect().await.unwrap();
        let org = sqlx::query_scalar("SELECT id FROM control.orgs WHERE name = 'default'");
        let org: i64 = org.fetch_one(&mut conn).await.unwrap();
        let rule = sqlx::query_scalar(
            "INSERT INTO alerts.rules (org_id, name, chain_id, definition, first_block, created_by)
             VALUES ($1, 'large', 7, '{\"chain\":\"demo\"}', 0, 'test') RETURNING id",
        );
        let rule: i64 = rule.bind(org).fetch_one(&mut conn).await.unwrap();
        Self { database, conn, org, rule }
    }

    pub(crate) async fn channel(&mut self, kind: &str, per_minute: i32) -> ChannelId {
        let made = sqlx::query_scalar(
            "INSERT INTO alerts.channels (org_id, name, kind, sealed_address, per_minute, created_by)
             VALUES ($1, 'c' || (SELECT count(*) FROM alerts.channels), $2, '\\x00', $3, 'test') RETURNING id",
        );
        ChannelId(made.bind(self.org).bind(kind).bind(per_minute).fetch_one(&mut self.conn).await.unwrap())
    }

    /// The same, of an organisation that has nothing else.
    pub(crate) async fn channel_of_another_org(&mut self, kind: &str, per_minute: i32) -> ChannelId {
        let made = sqlx::query_scalar(
            "WITH org AS (INSERT INTO control.orgs (name) VALUES ('other') RETURNING id)
             INSERT INTO alerts.channels (org_id, name, kind, sealed_address, per_minute, created_by)
             SELECT id, 'theirs', $1, '\\x00', $2, 'test' FROM org RETURNING id",
        );
        ChannelId(made.bind(kind).bind(per_minute).fetch_one(&mut self.conn).await.unwrap())
    }

    /// A message that is about no alert.
    pub(crate) async fn test_message(&mut self, channel: ChannelId) {
        self.run(format!(
            "INSERT INTO alerts.deliveries (id, org_id, channel_id, kind, content)
             SELECT gen_random_uuid(), org_id, id, 'test', '{{\"channel\": \"c\", \"asked_by\": \"ann\"}}'
               FROM alerts.channels WHERE id = {}",
            channel.0
        ))
        .await;
    }

    /// New alerts, each with a first message to each of `channels`.
    pub(crate) async fn fire(&mut self, count: i32, channels: &[ChannelId]) -> Vec<Uuid> {
        let alerts: Vec<Uuid> = sqlx::query_scalar(
            "INSERT INTO alerts.alert_events (id, org_id, rule_id, rule_version, chain_id, identity, transaction_hash, block_number,
                                              block_hash, block_time, state, severity, title, message, facts, sent_at)
             SELECT gen_random_uuid(), $1, $2, 1, 7, sha256(gen_random_uuid()::text::bytea), sha256(n::text::bytea), n,
                    sha256(('b' || n)::bytea), now(), 'sent', 'warning', 'title ' || n, 'message', '{\"n\":1}', now()
               FROM generate_series(1, $3) AS n RETURNING id",
        )
        .bind(self.org)
        .bind(self.rule)
        .bind(count)
        .fetch_all(&mut self.conn)
        .await
        .unwrap();
        for channel in channels {
            self.deliver(&alerts, *channel, "fired").await;
        }
        alerts
    }

    /// A delivery of `kind` for each alert.
    pub(crate) async fn deliver(&mut self, alerts: &[Uuid], channel: ChannelId, kind: &str) {
        sqlx::query(
            "INSERT INTO alerts.deliveries (id, org_id, channel_id, alert_id, kind, not_before)
             SELECT gen_random_uuid(), $1, $2, a.id, $4, now() - interval '1 second' + a.place * interval '1 microsecond'
               FROM unnest($3::uuid[]) WITH ORDINALITY AS a (id, place)",
        )
        .bind(self.org)
        .bind(channel.0)
        .bind(alerts)
        .bind(kind)
        .execute(&mut self.conn)
        .await
        .unwrap();
    }

    pub(crate) async fn claim(&mut self) -> Claim {
        deliveries::claim(&mut self.conn, &capacity()).await.unwrap()
    }

    /// Claims exactly one message.
    pub(crate) async fn claim_one(&mut self) -> Claimed {
        let mut claim = self.claim().await;
        assert_eq!(claim.messages.len(), 1, "{claim:?}");
        claim.messages.remove(0)
    }

    /// Writes the end of one attempt down; returns whether it was the present one.
    pub(crate) async fn end(&mut self, claimed: &Claimed, verdict: Verdict) -> bool {
        let written = deliveries::finish(&mut self.conn, &[ended(claimed, verdict)]).await.unwrap();
        written.contains(&claimed.id)
    }

    /// Lets time pass: what waits, what is leased, what fails and what is refilled is so much older.
    pub(crate) async fn pass(&mut self, seconds: u32) {
        self.run(format!(
            "UPDATE alerts.deliveries SET not_before = not_before - interval '{seconds} seconds',
                    lease_expires_at = lease_expires_at - interval '{seconds} seconds';
             UPDATE alerts.budgets SET refilled_at = refilled_at - interval '{seconds} seconds';
             UPDATE alerts.channels SET failing_since = failing_since - interval '{seconds} seconds',
                    last_failed_at = last_failed_at - interval '{seconds} seconds'"
        ))
        .await;
    }

    pub(crate) async fn run(&mut self, statements: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(statements.into())).execute(&mut self.conn).await.unwrap();
    }

    pub(crate) async fn count(&mut self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.conn).await.unwrap()
    }

    /// State and last error of each delivery of `kind`, in order of their alerts.
    pub(crate) async fn states(&mut self, kind: &str) -> Vec<(String, Option<String>)> {
        let query = "SELECT d.state, d.last_error_code FROM alerts.deliveries d LEFT JOIN alerts.alert_events a ON a.id = d.alert_id
                      WHERE d.kind = $1 ORDER BY a.block_number, d.channel_id";
        sqlx::query_as(query).bind(kind).fetch_all(&mut self.conn).await.unwrap()
    }
}
