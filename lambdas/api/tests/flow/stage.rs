//! The API with everything around it: a real Postgres, an AWS emulator, users and an issuer of tokens.

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_sqs::types::QueueAttributeName;
use chrono::TimeDelta;
use isotherm_access::issuer::AWS_IAM;
use isotherm_access::users::{self, NewUser};
use isotherm_access::{LocalIssuer, Role, UserId, local_issuer};
use isotherm_alerts::seal;
use isotherm_control::{audit, jobs, pipeline};
use isotherm_lab::ministack::{Ministack, REGION};
use isotherm_lab::postgres::TestDatabase;
use isotherm_outbound::{Client, Options};
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::database::{OnDemandPool, PoolOptions};
use isotherm_platform::lambda::{Invocation, identity};
use isotherm_types::{Clock as _, OrgId, SystemClock};
use lambda_api::{Api, Description, SealingKeys};
use serde_json::{Value, json};
use sqlx::PgPool;

const PIPELINE: &str = "
version: 1
jobs:
  - { name: work, operator: noop }
  - { name: source, operator: block_follower, always_on: true }
triggers:
  - { name: minute, job: work, input: { from: file }, cron: { schedule: rate(1 minute) } }
";

/// An AWS principal that is a writer of the default organisation.
pub(crate) const ANN: &str = "arn:aws:iam::123456789012:user/ann";

pub(crate) struct Stage {
    pub(crate) api: Api,
    pub(crate) pool: PgPool,
    pub(crate) database: TestDatabase,
    pub(crate) issuer: LocalIssuer,
    secret: String,
}

async fn queue(clients: &Clients, name: &str) -> String {
    let queue = clients.sqs().create_queue().queue_name(name).attributes(QueueAttributeName::FifoQueue, "true");
    queue.send().await.unwrap().queue_url.unwrap()
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let ministack = Ministack::shared().await.unwrap();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(ministack.endpoint_url())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("test", "test", None, None, "lab"))
            .load()
            .await;
        let clients = Clients::from_config(config);
        let event_queues = EventQueues {
            events: queue(&clients, "isotherm-events.fifo").await,
            thresholds: queue(&clients, "isotherm-thresholds.fifo").await,
            dead_letters: queue(&clients, "isotherm-dead_letters.fifo").await,
            alerts: queue(&clients, "isotherm-alerts.fifo").await,
            deliveries: queue(&clients, "isotherm-deliveries.fifo").await,
        };
        let pool = PgPool::connect(&database.url).await.unwrap();
        let mut conn = pool.acquire().await.unwrap();
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        pipeline::apply(&mut conn, org, &pipeline::parse(PIPELINE).unwrap(), "test").await.unwrap();
        drop(conn);
        let issuer = LocalIssuer::generate().unwrap();
        let secret = format!("isotherm/database-{}", database.name);
        let keys = format!("isotherm/alerts-{}", database.name);
        let ring = seal::new_secret("k1").unwrap();
        clients.secrets_manager().create_secret().name(&keys).secret_string(ring).send().await.unwrap();
        let api = Api {
            database: OnDemandPool::new(secret.clone(), PoolOptions::lambda("test")),
            clients,
            event_queues,
            authenticator: identity::authenticator(issuer.issuers().to_string().parse().unwrap()).unwrap(),
            description: Description::default(),
            sealing_keys: SealingKeys::new(keys),
            outbound: Client::new(Options { allow_loopback_http: true, ..Options::default() }).unwrap(),
            query_function: "none".to_owned(),
        };
        let stage = Self { api, pool, database, issuer, secret };
        stage.set_database(&stage.database.url).await;
        stage.add_user(org, AWS_IAM, ANN, Role::Writer).await;
        stage
    }

    pub(crate) async fn set_database(&self, url: &str) {
        let client = self.api.clients.secrets_manager();
        let value = json!({ "url": url }).to_string();
        if client.create_secret().name(&self.secret).secret_string(&value).send().await.is_err() {
            client.put_secret_value().secret_id(&self.secret).secret_string(&value).send().await.unwrap();
        }
    }

    pub(crate) async fn direct(&self, event: Value) -> Value {
        self.api.handle(event, &Invocation { request_id: "r-1".to_owned() }).await
    }

    /// Status and body.
    pub(crate) async fn http(&self, event: Value) -> (u64, Value) {
        let response = self.direct(event).await;
        let body = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
        (response["statusCode"].as_u64().unwrap(), body)
    }

    pub(crate) async fn counts(&self) -> (i64, i64) {
        sqlx::query_as("SELECT (SELECT count(*) FROM control.events), (SELECT count(*) FROM control.outbox)")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn last_actor(&self, subject: &str) -> String {
        let mut conn = self.pool.acquire().await.unwrap();
        audit::trail(&mut conn, subject, 1).await.unwrap().pop().unwrap().actor
    }

    pub(crate) async fn add_user(&self, org: OrgId, issuer: &str, subject: &str, role: Role) -> UserId {
        let mut conn = self.pool.acquire().await.unwrap();
        let (issuer, subject, name) = (issuer.to_owned(), subject.to_owned(), subject.to_owned());
        users::add(&mut conn, org, &NewUser { issuer, subject, name, role }, "test").await.unwrap().id
    }

    /// A user who logs in, and the header that shows it.
    pub(crate) async fn logged_in(&self, org: OrgId, subject: &str, role: Role) -> (UserId, String) {
        let user = self.add_user(org, local_issuer::ISSUER, subject, role).await;
        (user, self.bearer(subject))
    }

    pub(crate) fn bearer(&self, subject: &str) -> String {
        let token = self.issuer.token(subject, SystemClock.now(), TimeDelta::hours(1)).unwrap();
        format!("Bearer {token}")
    }
}
