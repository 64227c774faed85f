//! The reaper against a real Postgres and an AWS emulator: the lost task is put back and its worker stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_ecs::types::{ContainerDefinition, LaunchType};
use isotherm_control::tasks::{self, Claim, Claimant, Created, NewTask};
use isotherm_control::{jobs, pipeline};
use isotherm_lab::ministack::{Ministack, REGION};
use isotherm_lab::postgres::TestDatabase;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::{EventQueues, TaskQueues};
use lambda_reaper::{Answer, Reaper, ReaperEvent};
use serde_json::json;
use sqlx::PgPool;

#[tokio::test]
async fn a_lost_task_is_put_back_and_its_worker_is_stopped() {
    let database = TestDatabase::migrated().await.unwrap();
    let ministack = Ministack::shared().await.unwrap();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(ministack.endpoint_url())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new("test", "test", None, None, "lab"))
        .load()
        .await;
    let clients = Clients::from_config(config);
    clients.ecs().create_cluster().cluster_name("isotherm").send().await.unwrap();
    let container = ContainerDefinition::builder().name("worker").image("isotherm-noop").build();
    let definition = clients.ecs().register_task_definition().family("isotherm-noop").container_definitions(container);
    definition.send().await.unwrap();
    let started = clients.ecs().run_task().cluster("isotherm").task_definition("isotherm-noop");
    let started = started.launch_type(LaunchType::Fargate).send().await.unwrap();
    let ecs_task_arn = started.tasks()[0].task_arn().unwrap().to_owned();

    let reaper = Reaper {
        pool: PgPool::connect(&database.url).await.unwrap(),
        clients,
        event_queues: EventQueues { events: String::new(), thresholds: String::new(), dead_letters: String::new() },
        task_queues: TaskQueues(BTreeMap::new()),
        cluster: "isotherm".to_owned(),
    };
    let mut conn = reaper.pool.acquire().await.unwrap();
    let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    let text = "{ version: 1, jobs: [{ name: beat, operator: noop }] }";
    pipeline::apply(&mut conn, org, &pipeline::parse(text).unwrap(), "test").await.unwrap();
    let job_id = jobs::active(&mut conn).await.unwrap()[0].id;
    let task = NewTask { job_id, idempotency_key: "one".to_owned(), input: json!({}), delay: Duration::ZERO };
    let Created::New(task_id) = tasks::create(&mut conn, &task, "test").await.unwrap() else { panic!("not new") };
    let claimant = Claimant { worker: "w1", operator: "noop", ecs_task_arn: Some(&ecs_task_arn) };
    let claim = tasks::claim(&mut conn, task_id, &claimant).await.unwrap();
    assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
    sqlx::query("UPDATE control.tasks SET lease_expires_at = now() - interval '1 second'")
        .execute(&mut *conn)
        .await
        .unwrap();
    drop(conn);

    let answer = reaper.handle(ReaperEvent).await.unwrap();
    assert_eq!(answer, Answer { queued: 1, failed: 0, overtaken: 0, faults: 0 });
    let described = reaper.clients.ecs().describe_tasks().cluster("isotherm").tasks(&ecs_task_arn);
    let described = described.send().await.unwrap();
    assert_eq!(described.tasks()[0].last_status(), Some("STOPPED"));
    let again = reaper.handle(ReaperEvent).await.unwrap();
    assert_eq!(again, Answer { queued: 0, failed: 0, overtaken: 0, faults: 0 });
}
