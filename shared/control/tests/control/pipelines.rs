//! Applying a file: idempotent, and what is gone stops.

use isotherm_control::pipeline::{self, ChangeKind};
use isotherm_control::task::TaskState;
use isotherm_control::triggers::CronConfig;
use isotherm_control::{dispatch, jobs, triggers};

use sqlx::Connection;

use crate::stage::{JOBS, Stage, until_somebody_waits};

#[tokio::test]
async fn applying_a_file_twice_changes_nothing() {
    let mut stage = Stage::new().await;
    let before = stage.count("SELECT count(*) FROM control.audit_log").await;
    let applied = stage.apply(JOBS).await;
    assert!(applied.jobs.iter().all(|job| job.change == ChangeKind::Unchanged), "{applied:?}");
    assert!(applied.triggers.iter().all(|trigger| trigger.change == ChangeKind::Unchanged), "{applied:?}");
    assert_eq!(applied.triggers[0].schedule, Some(CronConfig::every("rate(1 minute)")));
    assert_eq!(stage.count("SELECT count(*) FROM control.audit_log").await, before);
}

#[tokio::test]
async fn what_leaves_the_file_becomes_inactive_and_comes_back_as_it_was() {
    let mut stage = Stage::new().await;
    let applied = stage.apply("{ version: 1, jobs: [] }").await;
    assert_eq!((applied.jobs.len(), applied.triggers.len()), (3, 2));
    assert!(applied.jobs.iter().all(|job| job.change == ChangeKind::Deactivated));
    assert!(jobs::active(&mut stage.conn).await.unwrap().is_empty());
    assert!(triggers::active(&mut stage.conn, "cron").await.unwrap().is_empty());
    let again = stage.apply(JOBS).await;
    assert!(again.jobs.iter().all(|job| job.change == ChangeKind::Changed));
    assert_eq!(stage.count("SELECT count(*) FROM control.jobs").await, 3);
}

#[tokio::test]
async fn a_source_that_changed_is_started_anew_and_one_that_left_is_not() {
    let mut stage = Stage::new().await;
    let old = dispatch::sweep(&mut stage.conn).await.unwrap().wakes[0].task_id;
    stage.claimed(old, "w1").await;
    stage.apply(&JOBS.replace("always_on: true", "always_on: true, config: { chain_id: 1 }")).await;
    assert_eq!(stage.show(old).await.task.state, TaskState::Cancelled);
    let new = dispatch::sweep(&mut stage.conn).await.unwrap().wakes[0].task_id;
    assert_eq!(stage.claimed(new, "w2").await.config, serde_json::json!({ "chain_id": 1 }));
    stage.apply("{ version: 1, jobs: [] }").await;
    assert_eq!(stage.show(new).await.task.state, TaskState::Cancelled);
    assert!(dispatch::sweep(&mut stage.conn).await.unwrap().wakes.is_empty());
}

#[tokio::test]
async fn a_changed_job_is_read_back_as_the_file_says() {
    let mut stage = Stage::new().await;
    let text = JOBS.replace(
        "{ name: source, operator: block_follower, always_on: true }",
        "{ name: source, operator: block_follower, always_on: true, secrets: { RPC_URLS: isotherm/rpc/x },
           input_datasets: [1/logs, traces], heartbeat_timeout_seconds: 2.5 }",
    );
    stage.apply(&text).await;
    let job_id = stage.job("source").await;
    let job = jobs::read(&mut stage.conn, job_id).await.unwrap();
    assert_eq!(job.secrets["RPC_URLS"], "isotherm/rpc/x");
    assert_eq!(job.input_datasets.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1/logs", "traces"]);
    assert_eq!(job.heartbeat_timeout.as_secs_f64(), 2.5);
    assert!(job.always_on && job.active && job.run_timeout.is_none());
    let org = jobs::org(&mut stage.conn, "default").await.unwrap();
    assert_eq!(jobs::list(&mut stage.conn, org).await.unwrap().len(), 3);
    assert!(jobs::org(&mut stage.conn, "nobody").await.is_err());
}

#[tokio::test]
async fn a_plan_over_what_was_applied_is_empty_and_a_newer_program_restarts_nothing() {
    let mut stage = Stage::new().await;
    let org = jobs::org(&mut stage.conn, jobs::DEFAULT_ORG).await.unwrap();
    let numbers = "config: { one: 1.0, big: 1e16, small: 1.5e-7, huge: 1e300, none: null, list: [1.0, { x: 2 }] }";
    let text = JOBS.replace("always_on: true", &format!("always_on: true, heartbeat_timeout_seconds: 0.1, {numbers}"));
    stage.apply(&text).await;
    let file = pipeline::parse(&text).unwrap();
    let stored = pipeline::stored(&mut stage.conn, org).await.unwrap();
    assert!(pipeline::plan(&stored, &file).unwrap().is_empty(), "{stored:#?}");

    // A program that knows more fields hashes the same definition otherwise.
    sqlx::query("UPDATE control.jobs SET config_hash = sha256('x')").execute(&mut stage.conn).await.unwrap();
    sqlx::query("UPDATE control.triggers SET config_hash = sha256('x')").execute(&mut stage.conn).await.unwrap();
    let stored = pipeline::stored(&mut stage.conn, org).await.unwrap();
    let plan = pipeline::plan(&stored, &file).unwrap();
    assert!(plan.is_empty(), "{plan:#?}");
}

#[tokio::test]
async fn what_was_planned_is_what_is_applied() {
    let mut stage = Stage::new().await;
    let org = jobs::org(&mut stage.conn, jobs::DEFAULT_ORG).await.unwrap();
    let source = dispatch::sweep(&mut stage.conn).await.unwrap().wakes[0].task_id;
    let text = JOBS
        .replace("always_on: true", "always_on: true, config: { chain_id: 1 }")
        .replace("name: watch", "name: look")
        .replace("every: 100", "every: 50");
    let stored = pipeline::stored(&mut stage.conn, org).await.unwrap();
    let plan = pipeline::plan(&stored, &pipeline::parse(&text).unwrap()).unwrap();
    let changes: Vec<_> = plan.jobs.iter().map(|job| (job.name.as_str(), job.change, job.stops_source)).collect();
    assert_eq!(
        changes,
        [
            ("work", ChangeKind::Unchanged, false),
            ("source", ChangeKind::Changed, true),
            ("look", ChangeKind::Created, false),
            ("watch", ChangeKind::Deactivated, false),
        ]
    );
    assert_eq!(plan.triggers[1].fields[0].field, "threshold.every");
    assert_eq!(stage.show(source).await.task.state, TaskState::Queued, "a plan changes nothing");
    let applied = stage.apply(&text).await;
    assert_eq!(applied.plan, plan);
    assert_eq!(stage.show(source).await.task.state, TaskState::Cancelled);
    let stored = pipeline::stored(&mut stage.conn, org).await.unwrap();
    let again = pipeline::plan(&stored, &pipeline::parse(&text).unwrap()).unwrap();
    assert!(again.is_empty(), "{again:?}");
}

#[tokio::test]
async fn two_applies_at_once_end_as_one_after_the_other() {
    let mut stage = Stage::new().await;
    let org = jobs::org(&mut stage.conn, jobs::DEFAULT_ORG).await.unwrap();
    let (mut first, mut second) = (stage.connect().await, stage.connect().await);
    let one =
        pipeline::parse("{ version: 1, jobs: [{ name: a, operator: noop }, { name: b, operator: noop }] }").unwrap();
    let two =
        pipeline::parse("{ version: 1, jobs: [{ name: b, operator: noop }, { name: a, operator: other }] }").unwrap();
    let (one, two) =
        tokio::join!(pipeline::apply(&mut first, org, &one, "one"), pipeline::apply(&mut second, org, &two, "two"));
    one.unwrap();
    two.unwrap();
    let active = stage.count("SELECT count(*) FROM control.jobs WHERE active AND name IN ('a', 'b')").await;
    assert_eq!(active, 2);
    assert_eq!(
        stage.count("SELECT count(*) FROM control.audit_log WHERE action = 'created' AND reason = 'a'").await,
        1
    );
}

#[tokio::test]
async fn who_sets_schedules_waits_for_who_sets_them_already() {
    let stage = Stage::new().await;
    let (mut first, mut second, mut watcher) = (stage.connect().await, stage.connect().await, stage.connect().await);
    let mut db_tx = first.begin().await.unwrap();
    pipeline::hold_schedules(&mut db_tx).await.unwrap();
    let waiting = async {
        let mut db_tx = second.begin().await.unwrap();
        pipeline::hold_schedules(&mut db_tx).await.unwrap();
    };
    let release = async {
        until_somebody_waits(&mut watcher).await;
        db_tx.commit().await.unwrap();
    };
    tokio::join!(waiting, release);
}
