//! The real stack file on a real emulator, with a program that keeps its events in place of each function.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_sdk_sqs::types::QueueAttributeName;
use isotherm_lab::ministack::{self, Ministack, MinistackOptions};
use isotherm_lab::process::eventually;
use isotherm_local_stack::aws::DEFAULT_ACCOUNT;
use isotherm_local_stack::package::Sources;
use isotherm_local_stack::provision::{Change, Options, Provisioned, Step, provision};
use isotherm_local_stack::schedules::{self, CronSchedule, CronTarget};
use isotherm_local_stack::stack_file::Authorization;
use isotherm_local_stack::{LocalAws, Stack};
use serde_json::{Value, json};

/// Stands for the library, which goes through S3 with the rest of the zip.
const LIBRARY_BYTES: usize = 1_000_000;

struct Scene {
    folder: tempfile::TempDir,
    stack: Stack,
    options: Options,
    account: String,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["programs", "duckdb/lib", "duckdb/extensions", "events"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        let mut stack = Stack::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../terraform/stack.yaml")).unwrap();
        for (key, function) in &mut stack.functions {
            std::fs::hard_link(echo_program(), path(&format!("programs/lambda-{key}")))
                .or_else(|_| std::fs::copy(echo_program(), path(&format!("programs/lambda-{key}"))).map(drop))
                .unwrap();
            function.environment.insert("ECHO_FOLDER".to_owned(), path("events").display().to_string());
        }
        std::fs::write(path("programs/isotherm-sql-sandbox"), "sandbox").unwrap();
        std::fs::write(path("duckdb/lib/libduckdb.so"), vec![0; LIBRARY_BYTES]).unwrap();
        std::fs::write(path("duckdb/extensions/httpfs.duckdb_extension"), "httpfs").unwrap();
        // Calls of the HTTP API are not signed, so they reach the default account only.
        let account = DEFAULT_ACCOUNT.to_owned();
        let options = Options {
            sources: Sources { programs: path("programs"), duckdb: path("duckdb") },
            bucket_suffix: account.clone(),
            secrets: BTreeMap::from([
                ("database".to_owned(), json!({ "url": "postgres://u:p@h/d" }).to_string()),
                ("alerts".to_owned(), json!({ "keys": [] }).to_string()),
            ]),
            token_issuers: "[]".to_owned(),
        };
        Self { folder, stack, options, account }
    }

    async fn aws(&self, emulator: &Ministack) -> LocalAws {
        LocalAws::new(&emulator.endpoint_url(), ministack::REGION, &self.account).await
    }

    async fn provision(&self, aws: &LocalAws) -> (Provisioned, Vec<Step>) {
        let mut steps = Vec::new();
        let made = provision(&self.stack, aws, &self.options, &mut |step| steps.push(step)).await.unwrap();
        (made, steps)
    }

    /// Waits for an event of `function` that `wanted` holds of.
    async fn event(&self, function: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        eventually(format!("event of {function}"), async || {
            found = self.events(function).into_iter().find(&wanted);
            found.is_some()
        })
        .await
        .unwrap();
        found.unwrap()
    }

    fn events(&self, function: &str) -> Vec<Value> {
        let entries = std::fs::read_dir(self.folder.path().join("events")).unwrap().map(Result::unwrap);
        let ours = entries.filter(|entry| {
            let name = entry.file_name().into_string().unwrap();
            name.starts_with(&format!("isotherm-{function}.")) && name.ends_with(".json")
        });
        ours.map(|entry| serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap()).collect()
    }
}

/// Built beside the tests, as every example.
fn echo_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/echo_bootstrap");
    assert!(program.exists(), "{} is missing: `cargo test` builds it", program.display());
    program
}

fn cron(trigger_id: i64, expression: &str, timezone: &str) -> CronSchedule {
    CronSchedule { trigger_id, expression: expression.to_owned(), timezone: timezone.to_owned() }
}

fn changed(steps: &[Step]) -> Vec<(&str, &str, Change)> {
    let changed = steps.iter().filter(|step| step.change != Change::Unchanged);
    changed.map(|step| (step.kind, step.name.as_str(), step.change)).collect()
}

#[tokio::test]
async fn the_stack_is_created_once_and_later_only_what_differs_is_touched() {
    let emulator = Ministack::shared().await.unwrap();
    let mut scene = Scene::new();
    let aws = scene.aws(emulator).await;
    let (first, steps) = scene.provision(&aws).await;
    assert!(steps.iter().all(|step| step.change == Change::Created), "{steps:#?}");
    let (second, steps) = scene.provision(&aws).await;
    assert_eq!(changed(&steps), []);
    assert_eq!(second, first);
    let text = serde_json::to_string(&first).unwrap();
    assert_eq!(serde_json::from_str::<Provisioned>(&text).unwrap(), first);

    let call = aws.sqs().get_queue_attributes().queue_url(&first.queue_urls["events"]);
    let answer = call.attribute_names(QueueAttributeName::All).send().await.unwrap();
    let attributes = answer.attributes().unwrap();
    assert_eq!(attributes[&QueueAttributeName::VisibilityTimeout], "180");
    assert_eq!(attributes[&QueueAttributeName::FifoThroughputLimit], "perMessageGroupId");
    let redrive: Value = serde_json::from_str(&attributes[&QueueAttributeName::RedrivePolicy]).unwrap();
    assert!(redrive["deadLetterTargetArn"].as_str().unwrap().ends_with(":isotherm-events-dlq.fifo"));
    assert_eq!(redrive["maxReceiveCount"], 5);

    scene.stack.functions.get_mut("reaper").unwrap().timeout_seconds = 55;
    scene.stack.functions.get_mut("query").unwrap().reserved_concurrency = None;
    scene.stack.queues.get_mut("events").unwrap().visibility_seconds = 240;
    scene.stack.event_source_mappings.get_mut("dispatcher_events").unwrap().batch_size = 5;
    scene.stack.schedules.get_mut("reaper").unwrap().expression = "rate(2 minutes)".to_owned();
    scene.stack.schedules.remove("dispatcher_sweep");
    scene.stack.operators.get_mut("noop").unwrap().memory_mb = 1024;
    scene.stack.routes.remove("POST /v1/query");
    scene.stack.routes.get_mut("POST /v1/jobs/{job}/run").unwrap().authorization = Authorization::AwsIam;
    let changed_program = scene.options.sources.programs.join("lambda-trigger_cron");
    std::fs::remove_file(&changed_program).unwrap();
    std::fs::write(&changed_program, "another program").unwrap();
    let (_, steps) = scene.provision(&aws).await;
    assert_eq!(
        changed(&steps),
        [
            ("queue", "isotherm-events.fifo", Change::Updated),
            ("task definition", "isotherm-noop", Change::Updated),
            ("function", "isotherm-query", Change::Updated),
            ("function", "isotherm-reaper", Change::Updated),
            ("function", "isotherm-trigger-cron", Change::Updated),
            ("mapping", "dispatcher_events", Change::Updated),
            ("schedule", "isotherm-reaper", Change::Updated),
            ("schedule", "isotherm-dispatcher-sweep", Change::Removed),
            ("route", "POST /v1/jobs/{job}/run", Change::Updated),
            ("route", "POST /v1/query", Change::Removed),
        ]
    );
}

#[tokio::test]
async fn functions_hear_of_calls_messages_and_ticks() {
    let emulator = Ministack::shared().await.unwrap();
    let scene = Scene::new();
    let aws = scene.aws(emulator).await;
    let (made, _) = scene.provision(&aws).await;

    // A tick that is overdue fires at the scheduler's next look.
    let overdue = cron(7, "at(2020-01-01T00:00:00)", "UTC");
    let other = cron(8, "rate(1 hour)", "UTC");
    schedules::sync_cron(&aws, &made.cron_target, &[overdue.clone(), other]).await.unwrap();

    let url = format!("{}/v1/query", made.api_url);
    let answer = reqwest::Client::new()
        .post(url)
        .header("content-type", "application/json")
        .body(r#"{"sql":"SELECT 1"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(answer["endpoint"], aws.endpoint_url());
    assert_eq!(answer["bundled"], true);
    let event = scene.event("query", |_| true).await;
    assert_eq!(event["routeKey"], "POST /v1/query");
    assert_eq!(event["body"], r#"{"sql":"SELECT 1"}"#);

    let call = aws.sqs().send_message().queue_url(&made.queue_urls["events"]).message_group_id("chain-1");
    let call = call.message_deduplication_id("event-5-events").message_body(r#"{"version":1,"event_id":5}"#);
    call.send().await.unwrap();
    let event = scene.event("dispatcher", |event| event.get("Records").is_some()).await;
    assert_eq!(event["Records"][0]["body"], r#"{"version":1,"event_id":5}"#);
    assert_eq!(event["Records"][0]["attributes"]["MessageGroupId"], "chain-1");

    let event = scene.event("trigger-cron", |_| true).await;
    assert_eq!(event["trigger_id"], 7);
    assert_eq!(event["kind"], "tick");

    schedules::sync_cron(&aws, &made.cron_target, &[overdue]).await.unwrap();
    let listed = aws.scheduler().list_schedules().group_name(&made.cron_target.group).send().await.unwrap();
    let names: Vec<_> = listed.schedules().iter().filter_map(|schedule| schedule.name()).collect();
    assert_eq!(names, ["trigger-7"]);
    let never = cron(9, "rate(soon)", "UTC");
    assert!(schedules::ensure_cron(&aws, &made.cron_target, &never).await.is_err());
}

#[tokio::test]
async fn a_stack_that_was_stopped_goes_on_with_its_data() {
    let scene = Scene::new();
    let state = scene.folder.path().join("state");
    let start = async || Ministack::start(MinistackOptions { state: Some(state.clone()), ..Default::default() }).await;
    let emulator = start().await.unwrap();
    let aws = scene.aws(&emulator).await;
    let (first, _) = scene.provision(&aws).await;
    let call = aws.s3().put_object().bucket(&first.buckets["cold"]).key("kept").body(b"data".to_vec().into());
    call.send().await.unwrap();
    let call = aws.sqs().send_message().queue_url(&first.queue_urls["tasks_noop"]).message_group_id("task-1");
    call.message_deduplication_id("one").message_body("kept").send().await.unwrap();
    drop(emulator);

    // Another port: every address changes, no data do.
    let emulator = start().await.unwrap();
    let aws = scene.aws(&emulator).await;
    let (second, steps) = scene.provision(&aws).await;
    assert!(steps.iter().all(|step| step.change != Change::Created), "{steps:#?}");
    let object = aws.s3().get_object().bucket(&second.buckets["cold"]).key("kept").send().await.unwrap();
    assert_eq!(object.body.collect().await.unwrap().to_vec(), b"data");
    let received = aws.sqs().receive_message().queue_url(&second.queue_urls["tasks_noop"]).send().await.unwrap();
    assert_eq!(received.messages()[0].body(), Some("kept"));
    let answer = aws.lambda().invoke().function_name("isotherm-query").payload(b"{}".to_vec().into()).send().await;
    let answer: Value = serde_json::from_slice(answer.unwrap().payload().unwrap().as_ref()).unwrap();
    assert_eq!(answer["endpoint"], emulator.endpoint_url());
}

/// The emulator keeps a schedule's time zone, though it ticks in UTC whatever it is.
#[tokio::test]
async fn schedules_of_cron_triggers_are_brought_in_line_with_their_time_zones() {
    let emulator = Ministack::shared().await.unwrap();
    let aws = LocalAws::new(&emulator.endpoint_url(), ministack::REGION, &ministack::account()).await;
    let target = CronTarget {
        group: "isotherm-triggers".to_owned(),
        function_arn: "arn:aws:lambda:us-east-1:123456789012:function:isotherm-trigger-cron".to_owned(),
        role_arn: "arn:aws:iam::123456789012:role/isotherm-scheduler".to_owned(),
        retry_attempts: 3,
        max_event_age_seconds: 3600,
    };
    aws.scheduler().create_schedule_group().name(&target.group).send().await.unwrap();
    let plan = async |wanted: &[CronSchedule]| {
        let steps = schedules::plan_cron(&schedules::find_cron(&aws, &target).await.unwrap(), wanted);
        steps.iter().map(|step| (step.name.clone(), step.change)).collect::<Vec<_>>()
    };
    let step = |trigger_id: i64, change: Change| (format!("trigger-{trigger_id}"), change);

    let first = [cron(1, "cron(0 8 * * ? *)", "Europe/Berlin"), cron(2, "rate(1 hour)", "UTC")];
    assert_eq!(plan(&first).await, [step(1, Change::Created), step(2, Change::Created)]);
    schedules::sync_cron(&aws, &target, &first).await.unwrap();
    assert_eq!(plan(&first).await, [step(1, Change::Unchanged), step(2, Change::Unchanged)]);
    let call = aws.scheduler().get_schedule().group_name(&target.group).name("trigger-1");
    assert_eq!(call.send().await.unwrap().schedule_expression_timezone(), Some("Europe/Berlin"));

    let moved = [cron(1, "cron(0 8 * * ? *)", "Asia/Kolkata"), cron(3, "rate(1 day)", "UTC")];
    let steps = [step(1, Change::Updated), step(3, Change::Created), step(2, Change::Removed)];
    assert_eq!(plan(&moved).await, steps);
    schedules::sync_cron(&aws, &target, &moved).await.unwrap();
    assert_eq!(plan(&moved).await, [step(1, Change::Unchanged), step(3, Change::Unchanged)]);

    // One that cannot be read keeps all from being touched.
    let unreadable = [cron(1, "rate(1 day)", "UTC"), cron(4, "rate(soon)", "UTC")];
    assert!(schedules::sync_cron(&aws, &target, &unreadable).await.is_err());
    assert_eq!(plan(&moved).await, [step(1, Change::Unchanged), step(3, Change::Unchanged)]);
}
