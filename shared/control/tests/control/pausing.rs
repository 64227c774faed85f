//! Pausing: what runs goes on, what is queued waits, and each change is written down once.

use isotherm_control::jobs::{self, PauseChange};
use isotherm_control::tasks::{self, Claim};
use isotherm_control::{audit, dispatch};

use crate::stage::Stage;

async fn set(stage: &mut Stage, job: &str, paused: bool) -> PauseChange {
    let org = jobs::org(&mut stage.conn, jobs::DEFAULT_ORG).await.unwrap();
    jobs::set_paused(&mut stage.conn, org, job, paused, "ann", Some("maintenance")).await.unwrap()
}

#[tokio::test]
async fn queued_tasks_of_a_paused_job_wait_and_running_ones_go_on() {
    let mut stage = Stage::new().await;
    let job_id = stage.job("work").await;
    let (one, two) = (stage.new_task("work", "one").await, stage.new_task("work", "two").await);
    let fence = stage.claimed(one, "w1").await.fence;
    assert_eq!(set(&mut stage, "work", true).await, PauseChange::Changed(job_id));

    assert!(matches!(stage.claim(two, "w2").await, Claim::HeldBack));
    assert_eq!(tasks::next_due(&mut stage.conn, "noop").await.unwrap(), None);
    assert!(dispatch::ready(&mut stage.conn, 9).await.unwrap().wakes.is_empty());
    let three = stage.new_task("work", "three").await;
    assert_eq!(stage.show(three).await.task.wait.reason(), tasks::Wait::JobPaused);
    tasks::complete(&mut stage.conn, one, fence, &serde_json::Value::Null, None).await.unwrap();

    stage.apply(crate::stage::JOBS).await;
    assert!(matches!(stage.claim(two, "w2").await, Claim::HeldBack), "applying a file does not resume");
    assert_eq!(set(&mut stage, "work", false).await, PauseChange::Changed(job_id));
    assert_eq!(dispatch::ready(&mut stage.conn, 9).await.unwrap().wakes.len(), 2);
    stage.claimed(two, "w2").await;
}

#[tokio::test]
async fn a_paused_source_waits_once_its_task_has_ended() {
    let mut stage = Stage::new().await;
    let first = stage.new_task("source", "always-on-1").await;
    let fence = stage.claimed(first, "w1").await.fence;
    set(&mut stage, "source", true).await;
    tasks::release(&mut stage.conn, first, fence, None).await.unwrap();
    assert!(matches!(stage.claim(first, "w2").await, Claim::HeldBack));
    assert!(dispatch::sweep(&mut stage.conn).await.unwrap().wakes.is_empty());
    set(&mut stage, "source", false).await;
    stage.claimed(first, "w2").await;
}

#[tokio::test]
async fn pausing_twice_is_one_change_and_an_unknown_job_is_told() {
    let mut stage = Stage::new().await;
    let job_id = stage.job("work").await;
    assert_eq!(set(&mut stage, "work", false).await, PauseChange::Already(job_id));
    assert_eq!(set(&mut stage, "work", true).await, PauseChange::Changed(job_id));
    assert_eq!(set(&mut stage, "work", true).await, PauseChange::Already(job_id));
    assert_eq!(set(&mut stage, "nope", true).await, PauseChange::Unknown);
    let trail = audit::trail(&mut stage.conn, "job", job_id.0).await.unwrap();
    let told: Vec<_> = trail.iter().filter(|entry| entry.actor == "ann").collect();
    assert_eq!(told.len(), 1, "{trail:?}");
    assert_eq!((told[0].action.as_str(), told[0].reason.as_deref()), ("paused", Some("maintenance")));
}
