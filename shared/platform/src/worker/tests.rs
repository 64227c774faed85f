//! What a worker tries again, and how soon.

use isotherm_control::task::TaskState;
use isotherm_control::tasks::{Claimant, Created, NewTask};
use isotherm_control::{jobs, pipeline};
use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::postgres::{TestDatabase, shared};
use isotherm_lab::process::eventually;
use sqlx::PgConnection;

use super::*;
use crate::config::settings::EventQueues;
use crate::database::PROBE;
use crate::secret::Secret;

#[test]
fn a_contended_claim_and_a_short_wait_are_tried_again() {
    let wait = |seconds| Claim::NotDue { wait: Duration::from_secs(seconds) };
    let table = [
        (Claim::Contended, true),
        (wait(30), true),
        (wait(31), false),
        (Claim::HeldBack, false),
        (Claim::Unknown, false),
    ];
    for (refused, expected) in table {
        assert_eq!(OwnRetry::after(TaskId(1), &refused).is_some(), expected, "{refused:?}");
    }
}

/// A task of a job with two attempts, which a worker has claimed.
async fn claimed_task(conn: &mut PgConnection) -> Box<ClaimedTask> {
    let org = jobs::org(conn, jobs::DEFAULT_ORG).await.unwrap();
    let jobs_file = "{ version: 1, jobs: [{ name: beat, operator: noop, max_attempts: 2 }] }";
    pipeline::apply(conn, org, &pipeline::parse(jobs_file).unwrap(), "test").await.unwrap();
    let job_id = jobs::active(conn).await.unwrap()[0].id;
    let input = serde_json::json!({});
    let task = NewTask { job_id, idempotency_key: "one".to_owned(), input, delay: Duration::ZERO };
    let created = tasks::create(conn, &task, "test").await.unwrap();
    let Created::New(task_id) = created else { panic!("{created:?}") };
    let claimant = Claimant { worker: "test", operator: "noop", ecs_task_arn: None };
    let claim = tasks::claim(conn, task_id, &claimant).await.unwrap();
    let Claim::Claimed(task) = claim else { panic!("{claim:?}") };
    task
}

/// A worker that needs nothing but its database.
fn worker(pool: PgPool, stop: Stop) -> Worker {
    let settings = WorkerSettings {
        operator: "noop".to_owned(),
        operator_binary: "/nonexistent".into(),
        task_queue_url: String::new(),
        event_queues: EventQueues {
            events: String::new(),
            thresholds: String::new(),
            dead_letters: String::new(),
            alerts: String::new(),
            deliveries: String::new(),
        },
        database_secret_arn: String::new(),
        idle: Duration::ZERO,
        name: "test".to_owned(),
        ecs_task_arn: None,
        ecs_metadata_url: None,
        first_task: None,
        passed_on: std::collections::BTreeMap::new(),
    };
    Worker::new(settings, pool, Clients::from_config(aws_config::SdkConfig::builder().build()), stop)
}

/// A try over a connection that will never answer must not keep the worker from the next one for long: a database that has
/// been away is asked with less patience.
#[tokio::test]
async fn a_task_whose_lease_is_over_is_given_back_soon_after_the_database_is_back() {
    let postgres = TestDatabase::migrated().await.unwrap();
    let mut conn = postgres.connect().await.unwrap();
    let task = claimed_task(&mut conn).await;
    let proxy = FaultProxy::start(format!("127.0.0.1:{}", shared().await.unwrap().port())).await.unwrap();
    let pool = database::connect(&Secret::new(proxy.through(&postgres.url)), POOL).await.unwrap();
    let (_nobody_stops_it, stop) = Stop::pair();
    let worker = worker(pool, stop);

    proxy.switch(Mode::Blackhole);
    let (began, before) = (Instant::now(), proxy.connections());
    let second_try = async {
        eventually("a second try", async || proxy.connections() >= before + 2).await.unwrap();
        let began_after = began.elapsed();
        proxy.switch(Mode::Pass);
        began_after
    };
    let (retry, began_after) = tokio::join!(worker.give_back_late(&task), second_try);
    // Without that it would begin after the pool's own 5 s and the pause.
    assert!(began_after < PROBE + PAUSE_AFTER_TROUBLE + Duration::from_secs(2), "{began_after:?}");
    assert_eq!(retry.map(|retry| retry.task_id), Some(task.task_id));
    let left = tasks::show(&mut conn, task.task_id).await.unwrap().task;
    assert_eq!((left.state, left.attempts_left), (TaskState::Queued, 2), "no attempt is burnt");
}
