//! A database, an AWS account of its own, receivers, and the real function over them. Alerts and their messages are made by plain SQL.

use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use isotherm_alerts::channel::Address;
use isotherm_alerts::channels::{self, NewChannel};
use isotherm_alerts::seal::Keyring;
use isotherm_lab::ministack::{self, Ministack};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::webhook_zoo::WebhookZoo;
use isotherm_platform::aws::Clients;
use isotherm_platform::secrets::SecretCache;
use isotherm_types::{ChannelId, OrgId};
use lambda_alert_deliver::{ATTEMPT, Deliverer, Limits, Senders, Settings};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

/// Whom emails come from.
pub(crate) const FROM: &str = "alerts@example.com";
/// Where nobody is.
pub(crate) const NO_SLACK: &str = "http://127.0.0.1:1/api";
/// The key that signs webhooks, and the one before it.
pub(crate) const NEW_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
pub(crate) const OLD_KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDMfKQ9r8GKYo=";
/// Name of the secret with the keys that seal addresses, and what it holds.
const SECRET: &str = "isotherm-alerts";
const KEYS: &str = r#"{"keys":[{"id":"k1","key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}]}"#;

pub(crate) struct Stage {
    pub(crate) database: TestDatabase,
    pub(crate) conn: PgConnection,
    pub(crate) account: String,
    /// Of the emulator itself.
    pub(crate) endpoint: String,
    pub(crate) zoo: WebhookZoo,
    ring: Keyring,
    pub(crate) org: OrgId,
    rule: i64,
    fired: i64,
}

/// Clients of `account` at `endpoint`.
pub(crate) async fn clients(endpoint: &str, account: &str) -> Clients {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new(ministack::REGION))
        .credentials_provider(Credentials::new(account, "secret", None, None, "lab"))
        .load()
        .await;
    Clients::from_config(config)
}

/// The function over a database and an account that are there already; it does not linger.
pub(crate) async fn deliverer(
    database_url: &str,
    endpoint: &str,
    account: &str,
    slack_api: &str,
    attempt: Duration,
) -> Deliverer {
    let clients = clients(endpoint, account).await;
    let settings = Settings {
        email_from: Some(FROM.to_owned()),
        slack_api: slack_api.to_owned(),
        allow_loopback_http: true,
        attempt,
    };
    let pool = PgPoolOptions::new().max_connections(2).connect(database_url).await.unwrap();
    let senders = Arc::new(Senders::new(&clients, settings).unwrap());
    let limits = Limits { linger: Duration::ZERO, ..Limits::default() };
    let secrets = SecretCache::new(Duration::from_secs(600));
    Deliverer { pool, clients, senders, keys_secret_arn: SECRET.to_owned(), secrets, limits }
}

/// The one rule of an organisation.
async fn rule(conn: &mut PgConnection, org: OrgId) -> i64 {
    let rule = sqlx::query_scalar(
        "INSERT INTO alerts.rules (org_id, name, chain_id, definition, first_block, created_by)
         VALUES ($1, 'large', 7, '{\"chain\":\"demo\"}', 0, 'lab') RETURNING id",
    );
    rule.bind(org.0).fetch_one(conn).await.unwrap()
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let mut conn = database.connect().await.unwrap();
        let org = sqlx::query_scalar("SELECT id FROM control.orgs WHERE name = 'default'");
        let org = OrgId(org.fetch_one(&mut conn).await.unwrap());
        let rule = rule(&mut conn, org).await;
        let (endpoint, account) = (Ministack::shared().await.unwrap().endpoint_url(), ministack::account());
        let clients = clients(&endpoint, &account).await;
        clients.secrets_manager().create_secret().name(SECRET).secret_string(KEYS).send().await.unwrap();
        let email = aws_sdk_sesv2::Client::new(clients.config());
        email.create_email_identity().email_identity(FROM).send().await.unwrap();
        let (zoo, ring) = (WebhookZoo::start().await.unwrap(), Keyring::parse(KEYS).unwrap());
        Self { database, conn, account, endpoint, zoo, ring, org, rule, fired: 0 }
    }

    /// The function, its AWS at the emulator.
    pub(crate) async fn deliverer(&self) -> Deliverer {
        self.deliverer_at(&self.endpoint, NO_SLACK).await
    }

    pub(crate) async fn deliverer_at(&self, endpoint: &str, slack_api: &str) -> Deliverer {
        deliverer(&self.database.url, endpoint, &self.account, slack_api, ATTEMPT).await
    }

    /// The function, with less patience for receivers.
    pub(crate) async fn impatient(&self, attempt: Duration) -> Deliverer {
        deliverer(&self.database.url, &self.endpoint, &self.account, NO_SLACK, attempt).await
    }

    /// A new channel, as if its code had come back.
    pub(crate) async fn channel(&mut self, address: Address, per_minute: i32) -> ChannelId {
        let channel = self.unconfirmed(address, per_minute).await;
        self.run(
            "UPDATE alerts.channels SET confirmed_at = now() WHERE confirmed_at IS NULL;
             DELETE FROM alerts.channel_codes;
             DELETE FROM alerts.deliveries WHERE content ->> 'type' = 'channel.code'",
        )
        .await;
        channel
    }

    /// A new channel, which is to be sent a code if it needs one.
    pub(crate) async fn unconfirmed(&mut self, address: Address, per_minute: i32) -> ChannelId {
        let name = format!("c{}", self.count("SELECT count(*) FROM alerts.channels").await);
        let new = NewChannel { name, address, per_minute, owner_id: None };
        channels::create(&mut self.conn, self.org, new, &self.ring, "lab").await.unwrap().id
    }

    /// A webhook that goes to `url`, signed with both keys.
    pub(crate) async fn webhook(&mut self, url: &str, per_minute: i32) -> ChannelId {
        let keys = vec![NEW_KEY.to_owned(), OLD_KEY.to_owned()];
        self.channel(Address::Webhook { url: url.to_owned(), keys }, per_minute).await
    }

    /// What is made from now on belongs to another organisation; returns the one before, with its rule.
    pub(crate) async fn go_to_another_org(&mut self) -> (OrgId, i64) {
        let org = sqlx::query_scalar("INSERT INTO control.orgs (name) VALUES ('other') RETURNING id");
        let org = OrgId(org.fetch_one(&mut self.conn).await.unwrap());
        let rule = rule(&mut self.conn, org).await;
        let before = (self.org, self.rule);
        (self.org, self.rule) = (org, rule);
        before
    }

    /// What is made from now on belongs to this one again.
    pub(crate) fn go_back(&mut self, (org, rule): (OrgId, i64)) {
        (self.org, self.rule) = (org, rule);
    }

    /// Lets the organisation send as much as its channels may.
    pub(crate) async fn unlimited(&mut self) {
        let statement = format!(
            "INSERT INTO alerts.budgets (scope, scope_id, lane, per_minute, burst, tokens)
             SELECT 'org', {}, lane, 10000000, 10000000, 10000000 FROM unnest(ARRAY['first', 'again']) AS lane
                 ON CONFLICT (scope, scope_id, lane) DO UPDATE
                SET per_minute = 10000000, burst = 10000000, tokens = 10000000",
            self.org.0
        );
        self.run(statement).await;
    }

    /// New alerts, each with a first message to each of `channels`.
    pub(crate) async fn fire(&mut self, count: i64, channels: &[ChannelId]) -> Vec<Uuid> {
        let alerts: Vec<Uuid> = sqlx::query_scalar(
            "INSERT INTO alerts.alert_events (id, org_id, rule_id, rule_version, chain_id, identity, transaction_hash, block_number,
                                              block_hash, block_time, state, severity, title, message, facts, sent_at)
             SELECT gen_random_uuid(), $1, $2, 1, 7, sha256(('i' || n)::bytea), sha256(('t' || n)::bytea), n, sha256(('b' || n)::bytea),
                    now(), 'sent', 'warning', 'Transfer ' || n, 'of token 7', '{\"args.value\":\"5\"}', now()
               FROM generate_series($3 + 1, $3 + $4) AS n RETURNING id",
        )
        .bind(self.org.0)
        .bind(self.rule)
        .bind(self.fired)
        .bind(count)
        .fetch_all(&mut self.conn)
        .await
        .unwrap();
        self.fired += count;
        for channel in channels {
            self.deliver(&alerts, *channel, "fired").await;
        }
        alerts
    }

    /// A message of `kind` about each alert.
    pub(crate) async fn deliver(&mut self, alerts: &[Uuid], channel: ChannelId, kind: &str) {
        sqlx::query(
            "INSERT INTO alerts.deliveries (id, org_id, channel_id, alert_id, kind, not_before)
             SELECT gen_random_uuid(), $1, $2, a.id, $4, now() - interval '1 second' + a.place * interval '1 microsecond'
               FROM unnest($3::uuid[]) WITH ORDINALITY AS a (id, place)",
        )
        .bind(self.org.0)
        .bind(channel.0)
        .bind(alerts)
        .bind(kind)
        .execute(&mut self.conn)
        .await
        .unwrap();
    }

    /// Lets time pass, as far as the database knows of it: due times, leases, buckets, failures of channels.
    pub(crate) async fn pass(&mut self, span: Duration) {
        let seconds = span.as_secs_f64();
        self.run(format!(
            "UPDATE alerts.deliveries SET not_before = not_before - interval '{seconds} seconds',
                    lease_expires_at = lease_expires_at - interval '{seconds} seconds' WHERE state IN ('queued', 'sending');
             UPDATE alerts.budgets SET refilled_at = refilled_at - interval '{seconds} seconds';
             UPDATE alerts.channels SET failing_since = failing_since - interval '{seconds} seconds',
                    last_failed_at = last_failed_at - interval '{seconds} seconds' WHERE failing_since IS NOT NULL"
        ))
        .await;
    }

    pub(crate) async fn run(&mut self, statements: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(statements.into())).execute(&mut self.conn).await.unwrap();
    }

    pub(crate) async fn count(&mut self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.conn).await.unwrap()
    }

    /// What the emulator's page about `what` says of this account.
    pub(crate) async fn inspect(&self, what: &str) -> serde_json::Value {
        let path = format!("/_ministack/{what}?account={}", self.account);
        let page = Ministack::shared().await.unwrap().inspect(&path).await.unwrap();
        json!(page)
    }
}
