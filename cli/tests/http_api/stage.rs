//! The functions behind the HTTP API as real programs on the emulator, behind its API Gateway; a chain that is half cold;
//! an issuer of tokens; and what the examples of the description name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::TimeDelta;
use isotherm_access::users::{self, NewUser};
use isotherm_access::{LocalIssuer, Role, UserId, grants, local_issuer, orgs};
use isotherm_alerts::seal;
use isotherm_cold_store::ObjectStore;
use isotherm_control::{jobs, pipeline};
use isotherm_hot_store::cursor;
use isotherm_lab::ministack::{self, Ministack, MinistackOptions};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::tools;
use isotherm_local_stack::aws::DEFAULT_ACCOUNT;
use isotherm_local_stack::package::Sources;
use isotherm_local_stack::provision::{Options, provision, secrets};
use isotherm_local_stack::{LocalAws, Provisioned, Stack};
use isotherm_types::{Clock as _, OrgId, SystemClock};
use serde_json::json;
use sqlx::PgConnection;

#[path = "../../../shared/query/tests/support/made_chain.rs"]
#[allow(dead_code, reason = "the engine's own tests use all of it")]
mod made_chain;

use made_chain::{CHAIN, compact, follow, range};

/// Name of the chain.
pub(crate) const CHAIN_NAME: &str = made_chain::CHAIN_NAME;
/// Its blocks, of which [`COLD_BLOCKS`] are cold.
const BLOCKS: u64 = 35;
/// The first ones.
const COLD_BLOCKS: u64 = 20;
/// Blocks in a file.
const PARTITION: u64 = 10;

/// The job, the source and the trigger that the description's examples name.
const PIPELINE: &str = "
version: 1
jobs:
  - { name: heartbeat, operator: noop }
  - { name: follow-demo, operator: block_follower, always_on: true }
triggers:
  - { name: orders, job: heartbeat, webhook: { secret: isotherm/webhook/orders } }
";

/// Functions that serve routes.
pub(crate) const FUNCTIONS: [&str; 3] = ["api", "query", "trigger_webhook"];

/// The running functions and all that they need.
pub(crate) struct Stage {
    pub(crate) made: Provisioned,
    pub(crate) aws: LocalAws,
    pub(crate) database: TestDatabase,
    /// The organisation `default`.
    pub(crate) org: OrgId,
    issuer: LocalIssuer,
    _emulator: Ministack,
}

/// Folder of the built programs.
fn programs(functions: &[&str]) -> PathBuf {
    let programs = PathBuf::from(env!("CARGO_BIN_EXE_isotherm")).parent().unwrap().to_path_buf();
    let of_functions = functions.iter().map(|function| format!("lambda-{function}"));
    for name in of_functions.chain(["isotherm-sql-sandbox".to_owned()]) {
        assert!(programs.join(&name).exists(), "{name} is not built: `cargo build --workspace --bins` builds it");
    }
    programs
}

/// The part of the real stack file that serves routes, with these functions.
fn with_routes(functions: &[&str]) -> Stack {
    let root = tools::repository_root().unwrap();
    let mut stack = Stack::read(&root.join("terraform/stack.yaml")).unwrap();
    assert!(
        stack.routes.values().all(|route| FUNCTIONS.contains(&route.function.as_str())),
        "another function has a route"
    );
    stack.functions.retain(|key, _| functions.contains(&key.as_str()));
    stack.event_source_mappings.clear();
    stack.schedules.clear();
    stack.operators.clear();
    stack.cron_triggers.function = "api".to_owned();
    stack
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(&FUNCTIONS).await
    }

    /// With these functions; those that serve routes have to be among them.
    pub(crate) async fn with(functions: &[&str]) -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let emulator = Ministack::start(MinistackOptions::default()).await.unwrap();
        let aws = LocalAws::new(&emulator.endpoint_url(), ministack::REGION, DEFAULT_ACCOUNT).await;
        let issuer = LocalIssuer::generate().unwrap();
        let options = Options {
            sources: Sources { programs: programs(functions), duckdb: tools::tools_folder().unwrap().join("duckdb") },
            bucket_suffix: "http-api".to_owned(),
            secrets: BTreeMap::from([
                ("database".to_owned(), json!({ "url": database.url }).to_string()),
                ("alerts".to_owned(), seal::new_secret("k1").unwrap()),
            ]),
            token_issuers: issuer.issuers().to_string(),
        };
        let made = provision(&with_routes(functions), &aws, &options, &mut |_| {}).await.unwrap();
        secrets::ensure(&aws, "webhook/orders", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").await.unwrap();
        let mut conn = database.connect().await.unwrap();
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        pipeline::apply(&mut conn, org, &pipeline::parse(PIPELINE).unwrap(), "test").await.unwrap();
        let objects = ObjectStore::new(aws.s3(), made.buckets["cold"].clone());
        half_cold_chain(&mut conn, &objects).await;
        Self { made, aws, database, org, issuer, _emulator: emulator }
    }

    /// Adds a user who shows tokens of the functions' own issuer.
    pub(crate) async fn add_user(&self, org: OrgId, subject: &str, role: Role) -> UserId {
        let mut conn = self.database.connect().await.unwrap();
        let (issuer, subject) = (local_issuer::ISSUER.to_owned(), subject.to_owned());
        let new = NewUser { issuer, name: subject.clone(), subject, role };
        users::add(&mut conn, org, &new, "test").await.unwrap().id
    }

    /// Another organisation, which may read everything.
    pub(crate) async fn other_org(&self) -> OrgId {
        let mut conn = self.database.connect().await.unwrap();
        let org = orgs::create(&mut conn, "other", "test").await.unwrap();
        grants::grant(&mut conn, org, (None, None), "test").await.unwrap();
        org
    }

    /// A token for whoever is the user `subject`.
    pub(crate) fn token(&self, subject: &str) -> String {
        token(&self.issuer, subject)
    }
}

/// A token of `issuer`, good for an hour.
pub(crate) fn token(issuer: &LocalIssuer, subject: &str) -> String {
    issuer.token(subject, SystemClock.now(), TimeDelta::hours(1)).unwrap()
}

async fn half_cold_chain(conn: &mut PgConnection, objects: &ObjectStore) {
    let scratch = tempfile::tempdir().unwrap();
    cursor::ensure(conn, CHAIN, CHAIN_NAME, PARTITION).await.unwrap();
    follow(conn, range(0, BLOCKS)).await;
    for partition in 0..COLD_BLOCKS / PARTITION {
        let start = partition * PARTITION;
        compact(conn, objects, scratch.path(), range(start, start + PARTITION)).await;
    }
}
