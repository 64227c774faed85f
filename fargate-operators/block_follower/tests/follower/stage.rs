//! A chain, a database with a running task in it, and followers to set on them.

use std::time::Duration;

use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::fault_proxy::FaultProxy;
use isotherm_lab::oracle::Oracle;
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::process::eventually;
use isotherm_lab::tape::Tape;
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use isotherm_platform::operator_main::{Context, OperatorEnd, Progress};
use isotherm_platform::stop::StopSender;
use isotherm_platform::{Environment, Fault, Stop};
use isotherm_types::{Fence, TaskId, TaskSpec};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, Row};
use tokio::task::JoinHandle;

pub(crate) const CHAIN_ID: u64 = 10_143;

pub(crate) struct Stage {
    pub(crate) chain: Anvil,
    pub(crate) traffic: Traffic,
    pub(crate) database: TestDatabase,
    pub(crate) pool: PgPool,
    pub(crate) task_id: TaskId,
}

/// A follower at work.
pub(crate) struct Running {
    work: JoinHandle<Result<OperatorEnd, Fault>>,
    stop: StopSender,
}

impl Stage {
    /// A chain on which blocks are final two blocks later, and which moves only when told to.
    pub(crate) async fn new() -> Self {
        Self::with(AnvilOptions::deterministic()).await
    }

    /// A chain on which nothing is final during a test.
    pub(crate) async fn without_finality() -> Self {
        // Deep enough in memory to go back by as many blocks as a test likes.
        let options =
            AnvilOptions { slots_in_an_epoch: 1000, prune_history: Some(300), ..AnvilOptions::deterministic() };
        Self::with(options).await
    }

    async fn with(options: AnvilOptions) -> Self {
        Self::on(TestDatabase::migrated().await.unwrap(), options).await
    }

    /// Such a chain and a database of the caller's own.
    pub(crate) async fn on(database: TestDatabase, options: AnvilOptions) -> Self {
        let chain = Anvil::start(AnvilOptions { chain_id: CHAIN_ID, ..options }).await.unwrap();
        let pool = PgPool::connect(&database.url).await.unwrap();
        let task_id = running_task(&pool).await;
        let options = TrafficOptions { transactions_per_block: 8, empty_block_one_in: 5 };
        let traffic = Traffic::new(chain.rpc_url(), CHAIN_ID, 7, options);
        Self { chain, traffic, database, pool, task_id }
    }

    /// The task of a follower that begins at block 0; `changes` replace settings.
    pub(crate) fn spec(&self, changes: &Value) -> TaskSpec {
        let mut config = json!({"chain_id": CHAIN_ID, "chain": "demo", "start": 0, "poll_interval_ms": 20,
            "partition_blocks": 10, "max_reorg_depth": 8, "finality": {"kind": "tags"}, "batch_bytes": 100_000});
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        TaskSpec {
            version: isotherm_types::operator::OPERATOR_PROTOCOL,
            task_id: self.task_id,
            fence: Fence(1),
            attempt: 1,
            job: "follow-demo".to_owned(),
            config,
            input: json!({}),
        }
    }

    pub(crate) fn follow(&self, changes: &Value) -> Running {
        self.follow_at(&self.chain.rpc_url(), changes)
    }

    pub(crate) fn follow_at(&self, rpc_urls: &str, changes: &Value) -> Running {
        self.start(&self.database.url, rpc_urls, changes)
    }

    /// A follower that reaches its database through `proxy`.
    pub(crate) fn follow_through(&self, proxy: &FaultProxy, changes: &Value) -> Running {
        self.start(&proxy.through(&self.database.url), &self.chain.rpc_url(), changes)
    }

    fn start(&self, database_url: &str, rpc_urls: &str, changes: &Value) -> Running {
        let (stop, stopped) = Stop::pair();
        let environment = Environment::from_pairs([("DATABASE_URL", database_url), ("RPC_URLS", rpc_urls)]);
        let context = Context { environment, stop: stopped, progress: Progress::unheard() };
        let work = tokio::spawn(operator_block_follower::follow(self.spec(changes), context));
        Running { work, stop }
    }

    /// Mines blocks with traffic in them.
    pub(crate) async fn mine(&mut self, block_count: u64) {
        for _ in 0..block_count {
            self.traffic.mine_block().await.unwrap();
        }
    }

    /// Number and hash of the chain's newest block.
    pub(crate) async fn head(&self) -> (i64, String) {
        let block = self.chain.call("eth_getBlockByNumber", json!(["latest", false])).await.unwrap();
        let number = block["number"].as_str().unwrap().trim_start_matches("0x");
        (i64::from_str_radix(number, 16).unwrap(), block["hash"].as_str().unwrap().to_owned())
    }

    /// The chain's heads, the headers of all its blocks, and the whole blocks below `end`, on tape. The others are
    /// absent.
    pub(crate) async fn record(&self, end: i64) -> Tape {
        let mut tape = Tape::default();
        let rpc = self.chain.rpc();
        tape.record(rpc, "eth_chainId", json!([])).await.unwrap();
        for tag in ["latest", "safe", "finalized"] {
            tape.record(rpc, "eth_getBlockByNumber", json!([tag, false])).await.unwrap();
        }
        for number in 0..=self.head().await.0 {
            let name = format!("{number:#x}");
            tape.record(rpc, "eth_getBlockByNumber", json!([name, false])).await.unwrap();
            if number < end {
                tape.record(rpc, "eth_getBlockByNumber", json!([name, true])).await.unwrap();
                tape.record(rpc, "eth_getBlockReceipts", json!([name])).await.unwrap();
            } else {
                tape.set("eth_getBlockByNumber", &json!([name, true]), Value::Null);
                tape.set("eth_getBlockReceipts", &json!([name]), Value::Null);
            }
        }
        tape
    }

    /// The stored tip.
    pub(crate) async fn tip(&self) -> Option<(i64, String)> {
        let row = sqlx::query("SELECT tip_number, '0x' || encode(tip_hash, 'hex') AS tip_hash FROM hot.cursors");
        let row = row.fetch_optional(&self.pool).await.unwrap()?;
        Some((row.get::<Option<i64>, _>("tip_number")?, row.get("tip_hash")))
    }

    pub(crate) async fn number(&self, sql: &'static str) -> Option<i64> {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Blocks, rows and bytes that were counted for a dataset.
    pub(crate) async fn counted(&self, dataset: &str) -> (i64, i64, i64) {
        let counts = "SELECT block_count, row_count, size_bytes FROM control.dataset_cursors WHERE dataset = $1";
        sqlx::query_as(counts).bind(dataset).fetch_one(&self.pool).await.unwrap()
    }

    /// Rows that are stored of a dataset.
    pub(crate) async fn stored(&self, dataset: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM hot.{dataset}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until the stored tip is the chain's newest block.
    pub(crate) async fn caught_up(&self) {
        let head = self.head().await;
        eventually(format!("tip {head:?}"), async || self.tip().await.as_ref() == Some(&head)).await.unwrap();
    }

    /// Compares every stored block and its counts with what the chain itself says, from `start` to its newest block.
    pub(crate) async fn assert_equals_chain(&self, start: u64) {
        let oracle = Oracle::walk(self.chain.rpc(), "latest", start).await.unwrap();
        let mut conn = self.database.connect().await.unwrap();
        let blocks: Vec<(u64, String)> =
            stored_hashes(&mut conn, "block_number AS number, block_hash AS hash", "blocks").await;
        let expected: Vec<_> = oracle.blocks().values().map(|block| (block.number, block.hash.clone())).collect();
        assert_eq!(blocks, expected);
        let transactions =
            stored_hashes(&mut conn, "block_number AS number, transaction_hash AS hash", "transactions").await;
        let expected: Vec<_> = oracle
            .blocks()
            .values()
            .flat_map(|block| block.transaction_hashes.iter().map(|hash| (block.number, hash.clone())))
            .collect();
        assert_eq!(transactions, expected);
        let logs = self.number("SELECT count(*) FROM hot.logs").await.unwrap();
        assert_eq!(logs.cast_unsigned(), oracle.total().logs);
        let orphans = "SELECT count(*) FROM hot.logs l LEFT JOIN hot.blocks b USING (chain_id, block_number, block_hash) WHERE b.block_hash IS NULL";
        assert_eq!(self.number(orphans).await, Some(0));
        let arrivals = self.number("SELECT count(*) FROM hot.block_arrivals").await.unwrap();
        assert_eq!(arrivals.cast_unsigned(), oracle.total().blocks);
    }

    /// Replays the events and compares what they say with what is stored: advances continue one another, save after an
    /// invalidation, which goes back to its ancestor.
    pub(crate) async fn assert_events_tell_the_story(&self) {
        let bodies: Vec<Value> =
            sqlx::query_scalar("SELECT body FROM control.events ORDER BY id").fetch_all(&self.pool).await.unwrap();
        let mut next = None;
        let mut tip = Value::Null;
        for body in &bodies {
            let start = body["blocks"]["start"].as_i64().unwrap();
            let end = body["blocks"]["end"].as_i64().unwrap();
            match body["kind"].as_str().unwrap() {
                "dataset_advanced" => {
                    assert!(next.is_none_or(|next| next == start), "{body} after {next:?}");
                    (next, tip) = (Some(end), body["tip"].clone());
                }
                "dataset_invalidated" => {
                    assert_eq!(next, Some(end), "{body}");
                    next = Some(start);
                    assert_eq!(body["common_ancestor"]["number"].as_i64().unwrap() + 1, start);
                }
                other => panic!("{other}"),
            }
        }
        let (number, hash) = self.tip().await.unwrap();
        assert_eq!(tip, json!({"number": number, "hash": hash}));
        let told =
            "SELECT count(*) FROM control.events e WHERE NOT EXISTS (SELECT FROM control.outbox WHERE event_id = e.id)";
        assert_eq!(self.number(told).await, Some(0));
    }
}

impl Running {
    /// Stops the follower as the worker does.
    pub(crate) async fn stop(self) {
        self.stop.request();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.work).await.expect("it stops soon");
        assert_eq!(ended.unwrap().unwrap(), OperatorEnd::Released);
    }

    /// Waits until it fails by itself.
    pub(crate) async fn failure(self) -> Fault {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.work).await.expect("it ends by itself");
        ended.unwrap().expect_err("it ends with a failure")
    }
}

/// A job and a task that is running under fence 1.
async fn running_task(pool: &PgPool) -> TaskId {
    let sql = "WITH job AS (
             INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets, input_datasets,
                 output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds, config_hash)
             SELECT id, 'follow-demo', 'block_follower', 'fargate', 'per_update', true, '{}', '{}', '{}', '{}', 3, 1, 30,
                 sha256('x') FROM control.orgs LIMIT 1
             RETURNING id, org_id)
         INSERT INTO control.tasks (org_id, job_id, idempotency_key, always_on, input, state, fence, attempts_left, worker,
             lease_expires_at, started_at)
         SELECT org_id, id, 'always-on-1', true, '{}', 'running', 1, 2, 'test', now() + interval '1 hour', now() FROM job
         RETURNING id";
    TaskId(sqlx::query_scalar(sql).fetch_one(pool).await.unwrap())
}

async fn stored_hashes(conn: &mut PgConnection, columns: &str, table: &str) -> Vec<(u64, String)> {
    let place = if table == "blocks" { "block_number" } else { "block_number, transaction_index" };
    let sql = format!("SELECT {columns} FROM hot.{table} ORDER BY {place}");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(conn).await.unwrap();
    let read = |row: &sqlx::postgres::PgRow| {
        let hash: Vec<u8> = row.get("hash");
        (row.get::<i64, _>("number").cast_unsigned(), isotherm_types::B256::from_slice(&hash).to_string())
    };
    rows.iter().map(read).collect()
}
