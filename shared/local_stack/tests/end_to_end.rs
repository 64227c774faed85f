//! The real stack file with the real programs: a wake-up goes in at one end, and a completed task comes out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use isotherm_access::LocalIssuer;
use isotherm_control::task::TaskState;
use isotherm_control::tasks::{TaskFilter, TaskRow};
use isotherm_control::{events, jobs, pipeline, tasks};
use isotherm_lab::ministack::{self, Ministack};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::process::eventually;
use isotherm_lab::tools;
use isotherm_local_stack::aws::DEFAULT_ACCOUNT;
use isotherm_local_stack::ecs_launcher::{EcsLauncher, LauncherOptions};
use isotherm_local_stack::package::Sources;
use isotherm_local_stack::provision::{Options, provision};
use isotherm_local_stack::{LocalAws, Stack};
use isotherm_types::EventBody;
use serde_json::json;

/// 32 zero bytes.
const SEALING_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

const PIPELINE: &str = "
version: 1
jobs:
  - name: heartbeat
    operator: noop
    config: { steps: 2, step_ms: 0 }
";

/// Folder of the built programs; tests are built into a folder inside it.
fn programs() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let programs = test.parent().and_then(Path::parent).unwrap().to_path_buf();
    for name in ["lambda-dispatcher", "operator-worker", "operator-noop"] {
        assert!(programs.join(name).exists(), "{name} is not built: `cargo build --workspace --bins` builds it");
    }
    programs
}

#[tokio::test]
async fn end_to_end_a_fired_job_runs_on_the_real_programs() {
    let database = TestDatabase::migrated().await.unwrap();
    let emulator = Ministack::shared().await.unwrap();
    let aws = LocalAws::new(&emulator.endpoint_url(), ministack::REGION, DEFAULT_ACCOUNT).await;
    let root = tools::repository_root().unwrap();
    let stack = Stack::read(&root.join("terraform/stack.yaml")).unwrap();
    let options = Options {
        sources: Sources { programs: programs(), duckdb: tools::tools_folder().unwrap().join("duckdb") },
        bucket_suffix: "test".to_owned(),
        secrets: BTreeMap::from([
            ("database".to_owned(), json!({ "url": database.url }).to_string()),
            ("alerts".to_owned(), json!({ "keys": [{ "id": "k1", "key": SEALING_KEY }] }).to_string()),
        ]),
        token_issuers: LocalIssuer::generate().unwrap().issuers().to_string(),
    };
    let made = provision(&stack, &aws, &options, &mut |_| {}).await.unwrap();
    let logs = tempfile::tempdir().unwrap();
    let launcher = LauncherOptions {
        worker: programs().join("operator-worker"),
        programs: programs(),
        bundles: BTreeMap::new(),
        logs: logs.path().to_path_buf(),
        cluster: made.cluster.clone(),
        poll_interval: Duration::from_millis(100),
    };
    let launcher = EcsLauncher::start(&aws, launcher).unwrap();

    let mut conn = database.connect().await.unwrap();
    let org_id = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    let wanted = pipeline::parse(PIPELINE).unwrap();
    let applied = pipeline::apply(&mut conn, org_id, &wanted, "test").await.unwrap();
    let fired = EventBody::TriggerFired {
        org_id,
        job_id: applied.jobs[0].id,
        trigger_id: None,
        fire_key: "by-hand-1".to_owned(),
        input: json!({}),
    };
    let event_id = events::record(&mut conn, &fired).await.unwrap();
    let body = json!({ "version": 1, "event_id": event_id }).to_string();
    let call = aws.sqs().send_message().queue_url(&made.queue_urls["events"]).message_body(body);
    let call =
        call.message_group_id(fired.message_group()).message_deduplication_id(format!("event-{}-events", event_id.0));
    call.send().await.unwrap();

    let mut last: Option<TaskRow> = None;
    let mut database_conn = database.connect().await.unwrap();
    let done = eventually("the task is completed", async || {
        last = tasks::list(&mut database_conn, &TaskFilter::default()).await.unwrap().pop();
        last.as_ref().is_some_and(|task| task.state == TaskState::Completed)
    });
    if done.await.is_err() {
        panic!("{last:?}\n{}", all_logs(logs.path()));
    }
    let task = last.unwrap();
    assert_eq!((task.job.as_str(), task.operator.as_str()), ("heartbeat", "noop"));

    // A sweep finds nothing left to do, and answers.
    let call = aws.lambda().invoke().function_name("isotherm-dispatcher");
    let answer = call.payload(json!({ "version": 1, "kind": "sweep" }).to_string().into_bytes().into()).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.function_error(), None, "{answer:?}");
    launcher.stop().await;
}

fn all_logs(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| std::fs::read_to_string(entry.path()).unwrap()).collect()
}
