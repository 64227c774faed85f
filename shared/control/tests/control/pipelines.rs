//! Applying a file: idempotent, and what is gone stops.

use isotherm_control::pipeline::ChangeKind;
use isotherm_control::task::TaskState;
use isotherm_control::triggers::CronConfig;
use isotherm_control::{dispatch, jobs, triggers};

use crate::stage::{JOBS, Stage};

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
