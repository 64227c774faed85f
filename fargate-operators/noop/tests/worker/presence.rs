//! The worker says that it is there, and works all the same if it cannot.

use isotherm_control::task::TaskState;
use isotherm_control::worker_leases;
use isotherm_lab::process::eventually;
use serde_json::json;

use crate::lab::{JobOptions, Lab};

#[tokio::test]
async fn an_idle_worker_is_there_until_it_ends() {
    let lab = Lab::start().await;
    let mut conn = lab.connection().await;
    let worker = lab.worker().spawn();
    eventually("the worker's word", async || worker_leases::idle_count(&mut conn, "noop").await.unwrap() == 1)
        .await
        .unwrap();
    worker.stop().await.unwrap();
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM control.worker_leases").fetch_one(&mut conn).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_worker_that_cannot_say_that_it_is_there_works_all_the_same() {
    let lab = Lab::start().await;
    lab.execute("ALTER TABLE control.worker_leases RENAME TO worker_leases_elsewhere").await;
    let task = lab.task(json!({"steps": 1}), JobOptions::default()).await;
    lab.worker().idle_seconds(1).first_task(task).run_to_its_end().await.unwrap();
    assert_eq!(lab.row(task).await.task.state, TaskState::Completed);
}
