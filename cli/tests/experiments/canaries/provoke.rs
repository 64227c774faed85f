//! What fails: endpoints, an endpoint's honesty, operators, object storage, the database's password. And what shows it.

use std::fs;
use std::time::Duration;

use aws_sdk_ecs::types::LaunchType;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_s3::presigning::PresigningConfig;
use isotherm_lab::http_faults::{HttpFaults, RawReply, Verdict};
use isotherm_lab::ministack::REGION;
use isotherm_lab::process::eventually;
use isotherm_local_stack::provision::secrets;
use isotherm_local_stack::{LocalAws, names};
use reqwest::Method;
use serde_json::{Value, json};

use super::doors::{Mood, REFUSALS};
use super::drive::{ACCOUNT, Drive, password_of};
use super::stores::has;

/// What a stack that follows a chain has no jobs for.
const PIPELINE: &str = "
version: 1
jobs:
  - { name: called, operator: noop, config: { steps: 1 } }
  - { name: hopeless, operator: noop, max_attempts: 1, secrets: { RPC_URLS: isotherm/rpc/test }, config: { fail_with: noop.asked_to_fail } }
  - name: panicking
    operator: noop
    max_attempts: 1
    secrets: { DATABASE_URL: isotherm/database, RPC_URLS: isotherm/rpc/test }
    config: { panic: true }
  - name: checked
    operator: integrity_check
    secrets: { DATABASE_URL: isotherm/database, RPC_URLS: isotherm/rpc/test }
    config: { chain_id: CHAIN, chain: test, level: anchor, agree: 1, sample: 10, finality: { kind: depth, blocks: 4 } }
triggers:
  - { name: call, job: called, webhook: { secret: isotherm/webhook/test } }
";

/// Commands that show what has happened.
const SHOWN: [&[&str]; 16] = [
    &["status", "--output", "json"],
    &["follower", "status", "--output", "json"],
    &["follower", "evidence", "--output", "json"],
    &["tasks", "list", "--output", "json"],
    &["jobs", "list", "--output", "json"],
    &["jobs", "show", "panicking", "--output", "json"],
    &["triggers", "list", "--output", "json"],
    &["channels", "list", "--output", "json"],
    &["channels", "show", "hooks"],
    &["alerts", "events", "--output", "json"],
    &["alerts", "deliveries", "--output", "json"],
    &["audit", "--limit", "10000", "--output", "json"],
    &["dlq", "list", "--output", "json"],
    &["gaps"],
    &["whoami"],
    &["doctor"],
];

/// Functions that are started by an event of this kind.
const BY_EVENT: [(&str, &str); 6] = [
    ("reaper", "reap"),
    ("trigger_threshold", "sweep"),
    ("dispatcher", "sweep"),
    ("trigger_cron", "sweep"),
    ("alert_evaluate", "sweep"),
    ("alert_deliver", "sweep"),
];

impl Drive {
    /// Files of two partitions are written; queries read them by addresses that AWS's key has signed, and leave answers in storage.
    pub(crate) async fn cold_rows_are_asked_for(&mut self) {
        let stack = &self.stack;
        let compacted = async || {
            let status = stack.status().await;
            let datasets = status["chains"][0]["datasets"].as_array().cloned().unwrap_or_default();
            datasets.iter().filter_map(|dataset| dataset["cold_files"].as_u64()).min() >= Some(2)
        };
        eventually("two cold files of each dataset", compacted).await.unwrap();
        for dataset in ["blocks", "transactions", "logs"] {
            self.must(&["query", "--format", "csv", &format!("select * from {dataset}")]).await;
        }
        self.must(&["query", "--mode", "batch", "--format", "csv", "select block_number, block_hash from blocks"])
            .await;
        self.run(&["query", "select no_such_column from blocks"]).await;

        let bucket = names::bucket("cold", super::BUCKETS);
        let listed = self.aws.s3().list_objects_v2().bucket(&bucket).send().await.unwrap();
        let key = listed.contents()[0].key().unwrap();
        let other = LocalAws::with_secret(&self.text("endpoint_url"), REGION, ACCOUNT, "another secret").await;
        let mut statuses = Vec::new();
        for aws in [&self.aws, &other] {
            let lifetime = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
            let signed = aws.s3().get_object().bucket(&bucket).key(key).presigned(lifetime).await.unwrap();
            statuses.push(reqwest::get(signed.uri()).await.unwrap().status().as_u16());
        }
        self.saw("aws_secret", statuses == [200, 403]);
    }

    /// All doors misbehave, in one way after the other, before the follower and before whoever wants to start another stack.
    pub(crate) async fn the_node_refuses(&mut self, rounds: usize) {
        let urls = self.doors.urls();
        for mood in REFUSALS.iter().cycle().take(rounds) {
            let before = self.doors.provoked();
            self.doors.set_all(*mood);
            self.traffic.mine_block().await.unwrap();
            let doors = &self.doors;
            eventually(format!("{mood:?}"), async || doors.provoked() >= before + 3).await.unwrap();
            let ended = self.another().run(&["up", "--rpc-url", &urls, "--chain", "other"]).await;
            assert_ne!(ended.code, Some(0), "{mood:?}: {ended:?}");
            self.note(format!("isotherm up before {mood:?}"), format!("{}{}", ended.stdout, ended.stderr));
        }
        self.doors.set_all(Mood::Honest);
        self.the_tip_is_stored().await;
    }

    /// The first endpoint serves a block that cannot be true, and repeats its address in it; or another one's, of which it cannot know.
    pub(crate) async fn an_endpoint_lies(&mut self, of_another: bool) {
        let [first, second, ..] = &self.doors.doors;
        if of_another {
            first.repeat(&second.url);
        }
        first.set(Mood::Untrue);
        self.traffic.mine_block().await.unwrap();
        let conn = &mut self.conn;
        let kept = eventually("evidence to be kept", async || {
            let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM hot.evidence").fetch_one(&mut *conn);
            count.await.unwrap() > 0
        });
        kept.await.unwrap();
        self.doors.set_all(Mood::Honest);
        self.the_tip_is_stored().await;
    }

    /// A webhook's job, one that fails, one that panics, and one that asks the endpoints.
    pub(crate) async fn jobs_run_panic_and_fail(&mut self) {
        let file = self.stack.folder().join("pipeline.yaml");
        fs::write(&file, PIPELINE.replace("CHAIN", &self.chain.chain_id().to_string())).unwrap();
        self.must(&["apply", file.to_str().unwrap()]).await;
        self.a_webhook_fires().await;
        for job in ["checked", "hopeless", "panicking"] {
            self.must(&["jobs", "run", job]).await;
        }
        for (job, state) in
            [("called", "completed"), ("checked", "completed"), ("hopeless", "failed"), ("panicking", "failed")]
        {
            let list = ["tasks", "list", "--job", job, "--state", state];
            let stack = &self.stack;
            let ended = async || stack.json(&list).await != json!([]);
            eventually(format!("{job} to be {state}"), ended).await.unwrap();
            let task = self.stack.json(&list).await[0]["task_id"].to_string();
            self.must(&["tasks", "show", &task]).await;
            self.must(&["tasks", "logs", &task]).await;
        }
    }

    /// Queries meet a store that refuses, and repeats what it was asked.
    pub(crate) async fn storage_refuses(&mut self) {
        let refusing = HttpFaults::start("http://127.0.0.1:1", |call| {
            let authorization = call.header("authorization").unwrap_or_default();
            let said = format!("not for {} {} {authorization}", call.method(), call.path()).replace('&', "&amp;");
            let body = format!("<Error><Code>AccessDenied</Code><Message>{said}</Message></Error>");
            Verdict::AnswerRaw(RawReply { status: 403, content_type: "application/xml", body: body.into_bytes() })
        });
        let refusing = refusing.await.unwrap();
        self.restart("query", &[("AWS_ENDPOINT_URL_S3", &refusing.endpoint_url())]).await;
        let refused = self.run(&["query", "--format", "json", "select max(block_hash) from blocks"]).await;
        assert_ne!(refused.code, Some(0), "storage refused, and there was an answer: {refused:?}");
    }

    /// All that commands say of it, and what waits in queues.
    pub(crate) async fn everything_is_shown(&mut self) {
        for arguments in SHOWN {
            self.run(arguments).await;
        }
        // Some of it is printed for people in another form.
        for arguments in [&["follower", "evidence"][..], &["audit"], &["tasks", "list"], &["dlq", "list"]] {
            self.must(arguments).await;
        }
        let url = format!("{}/_ministack/sqs/messages?account={ACCOUNT}", self.text("endpoint_url"));
        let mut waiting = Value::Null;
        let told = eventually("the tasks that failed to be told of", async || {
            let page = reqwest::get(&url).await.unwrap().bytes().await.unwrap();
            waiting = serde_json::from_slice(&page).unwrap();
            let queues = waiting["messages"][ACCOUNT][REGION].as_object();
            queues
                .is_some_and(|queues| queues.iter().any(|queue| queue.0.contains("dead-letters") && is_filled(queue.1)))
        });
        told.await.unwrap();
        self.note("queues", waiting.to_string());
    }

    /// The secret holds a wrong password, in its place and where the driver knows no parameter: functions that start and a worker say
    /// why they cannot.
    pub(crate) async fn postgres_refuses_a_password(&mut self, functions: usize) {
        let (right, wrong) = (self.text("database_url"), self.word());
        let refused = right.replace(&format!(":{}@", password_of(&right)), &format!(":{wrong}@"));
        let refused = format!("{refused}&pasword={wrong}");
        secrets::ensure(&self.aws, "database", &json!({ "url": refused }).to_string()).await.unwrap();
        let mut are_refused = true;
        for (function, kind) in BY_EVENT.into_iter().take(functions) {
            self.restart(function, &[("ISOTHERM_NOTE", "restarted")]).await;
            let event = json!({ "version": 1, "kind": kind }).to_string();
            let name = names::function(function);
            let answer = self.aws.lambda().invoke().function_name(name).payload(Blob::new(event)).send().await.unwrap();
            are_refused &= answer.function_error().is_some();
            let said = answer.payload().map(|payload| String::from_utf8_lossy(payload.as_ref()).into_owned());
            self.note(function, said.unwrap_or_default());
        }
        self.restart("api", &[("ISOTHERM_NOTE", "restarted")]).await;
        let token = fs::read_to_string(self.stack.folder().join("identity/token")).unwrap();
        let (status, _) = self.call(Method::GET, "/v1/whoami", token.trim(), &Value::Null).await;
        are_refused &= status >= 500;
        self.a_worker_is_refused().await;
        secrets::ensure(&self.aws, "database", &json!({ "url": right }).to_string()).await.unwrap();
        self.hide("refused_password", wrong);
        self.saw("refused_password", are_refused);
    }

    async fn a_worker_is_refused(&self) {
        let (ecs, family) = (self.aws.ecs(), names::task_definition("noop"));
        let run = ecs.run_task().cluster(names::cluster()).task_definition(family).launch_type(LaunchType::Fargate);
        let started = run.count(1).send().await.unwrap();
        let arn = started.tasks()[0].task_arn().unwrap();
        let id = arn.rsplit('/').next().unwrap();
        let log = self.stack.folder().join(format!("up/logs/noop-{id}.log"));
        let is_refused = async || fs::read(&log).is_ok_and(|text| has(&text, "database.unreachable"));
        eventually("a worker to be refused", is_refused).await.unwrap();
    }
}

fn is_filled(list: &Value) -> bool {
    list.as_array().is_some_and(|list| !list.is_empty())
}
