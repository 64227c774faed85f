//! The whole platform at work once, with every function and every operator, and what they call.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::aws_calls::recorder::Recording;
use isotherm_lab::process::eventually;
use isotherm_lab::tools;
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use isotherm_lab::webhook_zoo::{Behaviour, WebhookZoo};
use isotherm_local_stack::names;
use isotherm_types::{Clock as _, SystemClock};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::stack::Stack;

/// Blocks of the chain, and the first that is followed; those before it are fetched.
const BLOCKS: u64 = 70;
const FOLLOWED: &str = "40";

/// Found in every block, and by SQL at each sweep.
const RULES: &str = "
alerts:
  - { name: each-block, chain: test, source: { dataset: blocks }, channels: [hooks, ann, pager] }
  - name: counted
    chain: test
    source: { sql: SELECT max(block_number) AS alert_key FROM test.blocks, every_seconds: 60 }
    channels: [hooks]
";

/// What a stack that follows a chain has no jobs for.
const PIPELINE: &str = "
version: 1
jobs:
  - { name: called, operator: noop, config: { steps: 1 } }
  - { name: hopeless, operator: noop, max_attempts: 1, config: { fail_with: noop.asked_to_fail } }
  - name: anchored
    operator: integrity_check
    secrets: { DATABASE_URL: isotherm/database, RPC_URLS: isotherm/rpc/test }
    config: { chain_id: CHAIN, chain: test, level: anchor, agree: 1, sample: 10, finality: { kind: tags } }
triggers:
  - { name: call, job: called, webhook: { secret: isotherm/webhook/test } }
";

/// The signing key of the webhook.
const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

struct Drive {
    stack: Stack,
    chain: Anvil,
    traffic: Traffic,
    calls: PathBuf,
}

/// Lets everything run, and returns what was recorded.
pub(crate) async fn everything() -> Recording {
    let mut drive = Drive::start().await;
    drive.history_is_fetched_and_compacted().await;
    drive.queries_are_answered().await;
    drive.people_are_told().await;
    drive.a_lost_worker_is_stopped().await;
    drive.jobs_are_called_checked_and_failed().await;
    drive.must(&["smoke", "--timeout-seconds", "120"]).await;
    drive.everybody_has_called().await;
    let recording = drive.recording();
    assert_eq!(drive.stack.run(&["down", "--wipe"]).await.code, Some(0), "{}", drive.stack.log());
    recording
}

impl Drive {
    async fn start() -> Self {
        // Blocks of now: people are not told of old ones.
        let now = SystemClock.now().timestamp().unsigned_abs();
        let options = AnvilOptions { timestamp: Some(now), ..AnvilOptions::deterministic() };
        let chain = Anvil::start(options).await.unwrap();
        let mut traffic = Traffic::new(chain.rpc_url(), chain.chain_id(), 7, TrafficOptions::default());
        while chain.block_number().await.unwrap() + 1 < BLOCKS {
            traffic.mine_block().await.unwrap();
        }
        let mut stack = Stack::new();
        let calls = stack.folder().join("calls.jsonl");
        let (url, file) = (chain.rpc_url(), calls.to_str().unwrap());
        let up = ["up", "--rpc-url", &url, "--chain", "test", "--start", FOLLOWED, "--partition-blocks", "20"];
        stack.start(&[&up[..], &["--record-calls", file]].concat()).await;
        eventually("the chain's head to be stored", async || stack.tip().await + 1 == BLOCKS).await.unwrap();
        Self { stack, chain, traffic, calls }
    }

    fn recording(&self) -> Recording {
        Recording::of_file(&self.calls).unwrap()
    }

    /// Waits until `role` has made a call of `action` on a resource whose ARN has `part` in it.
    async fn until_called(&self, role: &str, action: &str, part: &str) {
        let called = eventually(format!("{role} to call {action} on {part}"), async || {
            let recording = self.recording();
            let mut calls = recording.calls.iter();
            calls.any(|call| call.principal == role && call.action == action && call.resource.contains(part))
        });
        called.await.unwrap_or_else(|error| panic!("{error}: {:#?}", self.recording()));
    }

    async fn must(&self, arguments: &[&str]) {
        let ended = self.stack.run(arguments).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    }

    async fn history_is_fetched_and_compacted(&self) {
        self.must(&["backfill", "--chain", "test", "--from", "0", "--to", FOLLOWED, "--yes"]).await;
        self.must(&["jobs", "run", "heartbeat"]).await;
        let compact = names::operator_role("parquet_compact");
        self.until_called(&compact, "s3:PutObject", "isotherm-cold").await;
        let compacted = async || {
            let status = self.stack.status().await;
            let datasets = status["chains"][0]["datasets"].as_array().cloned().unwrap_or_default();
            datasets.iter().filter_map(|dataset| dataset["cold_files"].as_u64()).min() >= Some(1)
        };
        eventually("cold files of each dataset", compacted).await.unwrap();
    }

    async fn queries_are_answered(&self) {
        let sql = "select block_number, block_hash from blocks order by 1";
        assert!(!self.stack.rows(sql).await.is_empty());
        let file = self.stack.folder().join("blocks.parquet");
        self.must(&["query", "--format", "parquet", "--output", file.to_str().unwrap(), sql]).await;
        self.must(&["query", "--mode", "batch", "--format", "csv", sql]).await;
    }

    async fn people_are_told(&mut self) {
        self.must(&["login"]).await;
        let token = fs::read_to_string(self.stack.folder().join("identity/token")).unwrap();
        let zoo = WebhookZoo::start().await.unwrap();
        let url = zoo.url(Behaviour::Accept);
        // By the API, which seals the address itself.
        let channel = json!({ "name": "hooks", "address": { "kind": "webhook", "url": url }, "per_minute": 600 });
        let channels = format!("{}/v1/channels", self.api());
        let added = reqwest::Client::new().post(channels).bearer_auth(token.trim()).body(channel.to_string());
        let added = added.header("content-type", "application/json").send().await.unwrap();
        assert_eq!(added.status().as_u16(), 201, "{:?}", added.bytes().await);
        self.must(&["channels", "add", "ann", "--email", "ann@example.org", "--per-minute", "600"]).await;
        self.must(&["channels", "add", "pager", "--sms", "+15551230042", "--per-minute", "600"]).await;
        let rules = self.stack.folder().join("alerts.yaml");
        fs::write(&rules, RULES).unwrap();
        self.must(&["alerts", "apply", rules.to_str().unwrap()]).await;
        let tried = format!("{}/v1/alerts/counted/test", self.api());
        let tried = reqwest::Client::new().post(tried).bearer_auth(token.trim()).body("{}");
        let tried = tried.header("content-type", "application/json").send().await.unwrap();
        assert_eq!(tried.status().as_u16(), 200, "{:?}", tried.bytes().await);
        self.traffic.mine_block().await.unwrap();

        let deliver = names::function_role("alert_deliver");
        self.until_called(&deliver, "ses:SendEmail", "identity/").await;
        self.until_called(&deliver, "sns:Publish", "").await;
        eventually("the webhook", async || zoo.count(&url) > 0).await.unwrap();
        for function in ["api", "alert_evaluate"] {
            let role = names::function_role(function);
            self.until_called(&role, "lambda:InvokeFunction", &names::function("query")).await;
        }
    }

    /// All workers stand still at once, so that the follower's is among them.
    async fn a_lost_worker_is_stopped(&self) {
        let workers = self.stack.processes("operator-worker");
        assert!(!workers.is_empty());
        for worker in &workers {
            // One that was idle may have ended by itself.
            let _ = kill(*worker, Signal::SIGSTOP);
        }
        self.until_called(&names::function_role("reaper"), "ecs:StopTask", "task/isotherm/").await;
        for worker in &workers {
            let _ = kill(*worker, Signal::SIGCONT);
        }
    }

    async fn jobs_are_called_checked_and_failed(&self) {
        let file = self.stack.folder().join("pipeline.yaml");
        fs::write(&file, PIPELINE.replace("CHAIN", &self.chain.chain_id().to_string())).unwrap();
        self.must(&["apply", file.to_str().unwrap()]).await;
        let set = self.stack.run_with_input(&["secrets", "set", "webhook/test"], KEY).await;
        assert_eq!(set.code, Some(0), "{set:?}");

        let (now, body) = (SystemClock.now().timestamp(), "{}");
        let signature = Webhook::new(KEY).unwrap().sign("msg_1", now, body.as_bytes()).unwrap();
        let call = reqwest::Client::new().post(format!("{}/v1/webhooks/default/call", self.api())).body(body);
        let call = call.header("webhook-id", "msg_1").header("webhook-timestamp", now.to_string());
        let answer = call.header("webhook-signature", signature).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 202, "{:?}", answer.bytes().await);

        for job in ["anchored", "hopeless"] {
            self.must(&["jobs", "run", job]).await;
        }
        for (job, state) in [("called", "completed"), ("anchored", "completed"), ("hopeless", "failed")] {
            let list = ["tasks", "list", "--job", job, "--state", state];
            let ended = async || self.stack.json(&list).await != json!([]);
            eventually(format!("{job} to be {state}"), ended).await.unwrap();
        }
    }

    /// Whatever starts reads the database's secret; a worker takes its wake-up away once there is nothing else to do. The follower's
    /// never comes to that.
    async fn everybody_has_called(&self) {
        let root = tools::repository_root().unwrap();
        let stack = isotherm_local_stack::Stack::read(&root.join("terraform/stack.yaml")).unwrap();
        let functions = stack.functions.keys().map(|key| names::function_role(key));
        let operators = stack.operators.keys().map(|key| names::operator_role(key));
        for role in functions.chain(operators).collect::<BTreeSet<_>>() {
            self.until_called(&role, "secretsmanager:GetSecretValue", "isotherm/database").await;
        }
        for (key, operator) in stack.operators.iter().filter(|(key, _)| *key != "block_follower") {
            let queue = names::queue(&operator.queue, true);
            self.until_called(&names::operator_role(key), "sqs:DeleteMessage", &queue).await;
        }
    }

    fn api(&self) -> String {
        let running: Value = self.stack.running().unwrap();
        running["api_url"].as_str().unwrap().to_owned()
    }
}
