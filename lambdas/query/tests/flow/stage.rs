//! The function with everything around it: a chain that is half cold, users, an issuer of tokens.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_sqs::types::QueueAttributeName;
use chrono::TimeDelta;
use isotherm_access::users::{self, NewUser};
use isotherm_access::{LocalIssuer, Role, grants, local_issuer, orgs};
use isotherm_cold_store::ObjectStore;
use isotherm_control::jobs;
use isotherm_hot_store::cursor;
use isotherm_lab::ministack::{Ministack, REGION, account};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::tools;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::lambda::{Invocation, identity};
use isotherm_query::engine::{AnswerLimits, SandboxConfig};
use isotherm_query::results::{InlineLimits, ResultStore};
use isotherm_query::{ColdServer, QueryEngine, SandboxMemory, WaitingSandbox};
use isotherm_types::{Clock as _, OrgId, SystemClock};
use lambda_query::{QueryFunction, Route};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::made_chain::{CHAIN, CHAIN_NAME, compact, follow, range};
use crate::sandbox_program;

/// Blocks of the chain; the first 20 are cold.
pub(crate) const BLOCKS: u64 = 35;

/// Many rows, each of which the answer has to write exactly.
pub(crate) const WIDE: &str = "select block_number, transaction_hash, nonce, value, value_binary, value_f64, success, \
     gas_price, value::HUGEINT as wide, nonce as nonce from transactions order by block_number, transaction_index";

pub(crate) struct Stage {
    pub(crate) function: QueryFunction,
    pub(crate) pool: PgPool,
    pub(crate) org: OrgId,
    issuer: LocalIssuer,
    _database: TestDatabase,
    _scratch: tempfile::TempDir,
}

async fn queue(clients: &Clients, name: &str) -> String {
    let queue = clients.sqs().create_queue().queue_name(name).attributes(QueueAttributeName::FifoQueue, "true");
    queue.send().await.unwrap().queue_url.unwrap()
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let ministack = Ministack::shared().await.unwrap();
        let account = account();
        // The emulator checks the signature of presigned URLs, with this secret for every key.
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(ministack.endpoint_url())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(account.clone(), "test", None, None, "lab"))
            .load()
            .await;
        let clients = Clients::from_config(config);
        let (cold, results) = (format!("cold-{account}"), format!("results-{account}"));
        for bucket in [&cold, &results] {
            clients.s3().create_bucket().bucket(bucket).send().await.unwrap();
        }
        let event_queues = EventQueues {
            events: queue(&clients, "isotherm-events.fifo").await,
            thresholds: queue(&clients, "isotherm-thresholds.fifo").await,
            dead_letters: queue(&clients, "isotherm-dead_letters.fifo").await,
            alerts: queue(&clients, "isotherm-alerts.fifo").await,
            deliveries: queue(&clients, "isotherm-deliveries.fifo").await,
        };
        let pool = PgPool::connect(&database.url).await.unwrap();
        let objects = ObjectStore::new(clients.s3().clone(), cold);
        let scratch = tempfile::tempdir().unwrap();
        let mut conn = pool.acquire().await.unwrap();
        cursor::ensure(&mut conn, CHAIN, CHAIN_NAME, 10).await.unwrap();
        follow(&mut conn, range(0, BLOCKS)).await;
        for start in [0, 10] {
            compact(&mut conn, &objects, scratch.path(), range(start, start + 10)).await;
        }
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        drop(conn);
        let issuer = LocalIssuer::generate().unwrap();
        let function = QueryFunction {
            engine: QueryEngine {
                pool: pool.clone(),
                objects,
                sandbox: sandbox(scratch.path().to_owned()),
                limits: AnswerLimits { max_rows: 100_000, max_bytes: 16 << 20 },
                cold: ColdServer::keeping(64 << 20),
                waiting: WaitingSandbox::default(),
            },
            results: ResultStore::new(clients.s3().clone(), results),
            authenticator: identity::authenticator(issuer.issuers().to_string().parse().unwrap()).unwrap(),
            clients,
            event_queues,
            inline: InlineLimits { max_rows: 100_000, max_bytes: 16 << 20 },
            max_file_bytes: 64 << 20,
            places: 4,
            place_wait: Duration::from_millis(300),
        };
        function.engine.keep_a_sandbox_waiting(Duration::from_secs(60)).await;
        Self { function, pool, org, issuer, _database: database, _scratch: scratch }
    }

    /// Answer to a direct invocation.
    pub(crate) async fn direct(&self, event: Value) -> Value {
        self.function.handle(event, &Invocation { request_id: "r-1".to_owned() }).await
    }

    /// Answer to SQL that is asked directly; must be one.
    pub(crate) async fn ask(&self, request: Value) -> Value {
        let answer = self.direct(request.clone()).await;
        assert!(answer.get("error").is_none_or(Value::is_null), "{request}: {answer}");
        answer
    }

    /// How a query is.
    pub(crate) async fn ask_status(&self, id: &str) -> Value {
        let status = self.direct(json!({ "action": "query_status", "query_id": id })).await;
        assert_eq!(status["query_id"], json!(id), "{status}");
        status
    }

    /// Status and body of a call of `route`; values of its path in order, then the body.
    pub(crate) async fn http(&self, route: Route, path: &[&str], body: &Value, bearer: Option<&str>) -> (u64, Value) {
        let response = self.response(route, path, body, bearer).await;
        let body = response["body"].as_str().unwrap();
        let body = serde_json::from_str(body).unwrap_or_else(|_| json!(body));
        (response["statusCode"].as_u64().unwrap(), body)
    }

    /// The whole response to a call of `route`.
    pub(crate) async fn response(&self, route: Route, path: &[&str], body: &Value, bearer: Option<&str>) -> Value {
        let names = route.key().split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let parameters: serde_json::Map<String, Value> =
            names.zip(path).map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let headers = bearer.map_or_else(|| json!({}), |bearer| json!({ "authorization": bearer }));
        let event = json!({
            "version": "2.0",
            "routeKey": route.key(),
            "headers": headers,
            "pathParameters": parameters,
            "requestContext": {
                "routeKey": route.key(), "http": { "method": "POST", "path": "/" }, "timeEpoch": 0,
            },
            "body": if body.is_null() { Value::Null } else { json!(body.to_string()) },
            "isBase64Encoded": false,
        });
        self.direct(event).await
    }

    /// A user who logs in: the header that shows it.
    pub(crate) async fn logged_in(&self, org: OrgId, subject: &str, role: Role) -> String {
        let mut conn = self.pool.acquire().await.unwrap();
        let issuer = local_issuer::ISSUER.to_owned();
        let new = NewUser { issuer, subject: subject.to_owned(), name: subject.to_owned(), role };
        users::add(&mut conn, org, &new, "test").await.unwrap();
        let token = self.issuer.token(subject, SystemClock.now(), TimeDelta::hours(1)).unwrap();
        format!("Bearer {token}")
    }

    /// Another organisation that may read everything.
    pub(crate) async fn other_org(&self, name: &str) -> OrgId {
        let mut conn = self.pool.acquire().await.unwrap();
        let org = orgs::create(&mut conn, name, "test").await.unwrap();
        grants::grant(&mut conn, org, (None, None), "test").await.unwrap();
        org
    }

    /// The bytes behind a result's URL, which are what the answer says of them.
    pub(crate) async fn download(&self, result: &Value) -> Vec<u8> {
        let response = reqwest::get(result["url"].as_str().unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        let bytes = response.bytes().await.unwrap().to_vec();
        let sha256 = isotherm_cold_store::Sha256Digest::of(&bytes).to_string();
        assert_eq!((&result["bytes"], &result["sha256"]), (&json!(bytes.len()), &json!(sha256)));
        bytes
    }
}

pub(crate) fn sandbox(spill_folder: std::path::PathBuf) -> SandboxConfig {
    let httpfs = tools::tools_folder().unwrap().join("duckdb/extensions/httpfs.duckdb_extension");
    assert!(httpfs.exists(), "{} is missing; run `./isotherm tools`", httpfs.display());
    SandboxConfig {
        program: sandbox_program::path(),
        httpfs: Some(httpfs.canonicalize().unwrap()),
        memory: SandboxMemory::around(512 << 20),
        threads: 2,
        spill_bytes: 64 << 20,
        spill_folder,
    }
}

/// A query that does not end within the time that a test has: 105 rows five times over, and a filter on all five.
pub(crate) const ENDLESS: &str = "select count(*) from transactions a, transactions b, transactions c, transactions d, \
     transactions e where a.nonce + b.nonce + c.nonce + d.nonce + e.nonce <> 7";
