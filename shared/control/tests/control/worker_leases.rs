//! Which workers count as idle, and how long.

use isotherm_control::reap;
use isotherm_control::tasks;
use isotherm_control::worker_leases::{self, WorkerLease};
use isotherm_types::{Fence, TaskId};
use sqlx::Connection;

use crate::stage::Stage;

fn lease(worker: &'static str, working_on: Option<(TaskId, Fence)>) -> WorkerLease<'static> {
    WorkerLease { worker, operator: "noop", ecs_task_arn: None, working_on }
}

async fn idle(stage: &mut Stage) -> u32 {
    worker_leases::idle_count(&mut stage.conn, "noop").await.unwrap()
}

#[tokio::test]
async fn a_worker_counts_as_idle_while_its_lease_lasts_and_it_holds_no_task() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    worker_leases::announce(&mut stage.conn, &lease("w1", None)).await.unwrap();
    let other = WorkerLease { operator: "block_follower", ..lease("w2", None) };
    worker_leases::announce(&mut stage.conn, &other).await.unwrap();
    assert_eq!(idle(&mut stage).await, 1);

    // Its row is as old as before, but the task is its own.
    let fence = stage.claimed(task_id, "w1").await.fence;
    assert_eq!(idle(&mut stage).await, 0);
    assert!(worker_leases::renew(&mut stage.conn, &lease("w1", Some((task_id, fence)))).await.unwrap());
    tasks::complete(&mut stage.conn, task_id, fence, &serde_json::Value::Null, None).await.unwrap();
    assert_eq!(idle(&mut stage).await, 0, "it has not said yet that it waits");
    assert!(worker_leases::renew(&mut stage.conn, &lease("w1", None)).await.unwrap());
    assert_eq!(idle(&mut stage).await, 1);

    sqlx::query("UPDATE control.worker_leases SET lease_expires_at = now() - interval '1 second'")
        .execute(&mut stage.conn)
        .await
        .unwrap();
    assert_eq!(idle(&mut stage).await, 0, "it has been silent for too long");
    assert!(worker_leases::renew(&mut stage.conn, &lease("w1", None)).await.unwrap());
    assert_eq!(idle(&mut stage).await, 1);
    worker_leases::leave(&mut stage.conn, "w1").await.unwrap();
    assert_eq!(idle(&mut stage).await, 0);
    assert!(!worker_leases::renew(&mut stage.conn, &lease("w1", None)).await.unwrap(), "its row is gone");
}

#[tokio::test]
async fn a_worker_that_lost_its_task_is_no_capacity_unless_it_speaks_this_moment() {
    let mut stage = Stage::new().await;
    let (silent, speaking) = (stage.new_task("work", "one").await, stage.new_task("work", "two").await);
    for (task_id, worker) in [(silent, "w1"), (speaking, "w2")] {
        worker_leases::announce(&mut stage.conn, &lease(worker, None)).await.unwrap();
        stage.claimed(task_id, worker).await;
        stage.expire(task_id).await;
    }
    let mut other = stage.connect().await;
    let mut db_tx = other.begin().await.unwrap();
    assert!(worker_leases::renew(&mut db_tx, &lease("w2", None)).await.unwrap());
    assert_eq!(reap::reap(&mut stage.conn, 10).await.unwrap().lost.len(), 2, "nobody is waited for");
    db_tx.commit().await.unwrap();
    assert_eq!(idle(&mut stage).await, 1);
    assert_eq!(stage.count("SELECT count(*) FROM control.worker_leases WHERE worker = 'w1'").await, 0);
}
