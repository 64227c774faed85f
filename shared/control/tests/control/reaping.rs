//! The reaper against everything that moves while it works.

use std::time::Duration;

use isotherm_control::reap::{self, Reaped};
use isotherm_control::task::TaskState;
use isotherm_control::tasks::{self, AfterFailure, Claimant};
use isotherm_control::workers_to_stop::{self, WorkerToStop};
use isotherm_types::{Fence, TaskId};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::stage::{REOPEN_ATTEMPTS, Stage, until_somebody_waits};

async fn reap(stage: &mut Stage) -> Reaped {
    reap::reap(&mut stage.conn, reap::PAGE_ROWS).await.unwrap()
}

/// Starts the reaper while `meanwhile` holds the task's row, lets it run into the row's lock, and then commits.
async fn reap_while(stage: &mut Stage, meanwhile: sqlx::Transaction<'_, sqlx::Postgres>) -> Reaped {
    let mut reaper: PgConnection = stage.connect().await;
    let run = tokio::spawn(async move { reap::reap(&mut reaper, 10).await.unwrap() });
    until_somebody_waits(&mut stage.conn).await;
    meanwhile.commit().await.unwrap();
    run.await.unwrap()
}

async fn expired_task(stage: &mut Stage) -> (TaskId, Fence) {
    let task_id = stage.new_task("work", "one").await;
    let fence = stage.claimed(task_id, "w1").await.fence;
    stage.expire(task_id).await;
    (task_id, fence)
}

/// So many tasks of `work` whose workers are silent, oldest first.
async fn expired_tasks(stage: &mut Stage, count: i32) -> Vec<TaskId> {
    let limit = "UPDATE control.jobs SET max_concurrency = $1 WHERE name = 'work'";
    sqlx::query(limit).bind(count).execute(&mut stage.conn).await.unwrap();
    let mut tasks = Vec::new();
    for i in 0..count {
        let task_id = stage.new_task("work", &format!("task-{i}")).await;
        stage.claimed(task_id, "w1").await;
        stage.expire(task_id).await;
        tasks.push(task_id);
    }
    tasks
}

/// From now on the database does `instead` where one of `tasks` would stop running.
async fn refuse(stage: &mut Stage, tasks: &[TaskId], instead: &str) {
    let ids: Vec<String> = tasks.iter().map(|task_id| task_id.0.to_string()).collect();
    let trigger = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {instead} END $$;
         CREATE TRIGGER stuck BEFORE UPDATE ON control.tasks FOR EACH ROW
         WHEN (OLD.id IN ({}) AND NEW.state <> 'running') EXECUTE FUNCTION refuse();",
        ids.join(", ")
    );
    sqlx::raw_sql(AssertSqlSafe(trigger)).execute(&mut stage.conn).await.unwrap();
}

#[tokio::test]
async fn the_worker_of_a_lost_task_is_to_be_stopped_until_it_is_or_has_found_back() {
    let mut stage = Stage::new().await;
    let (task_id, fence) = expired_task(&mut stage).await;
    stage.run("UPDATE control.tasks SET ecs_task_arn = 'arn:7' WHERE id = $1", task_id).await;
    reap(&mut stage).await;
    let silent = WorkerToStop { ecs_task_arn: "arn:7".to_owned(), task_id, fence };
    assert_eq!(workers_to_stop::due(&mut stage.conn).await.unwrap(), std::slice::from_ref(&silent));
    // Whoever was told of it a moment ago is at it.
    assert_eq!(workers_to_stop::due(&mut stage.conn).await.unwrap(), []);
    let later = "UPDATE control.workers_to_stop SET tried_at = tried_at - interval '31 seconds' WHERE task_id = $1";
    stage.run(later, task_id).await;
    assert_eq!(
        workers_to_stop::due(&mut stage.conn).await.unwrap(),
        std::slice::from_ref(&silent),
        "as nobody said that it is stopped"
    );

    let other = stage.new_task("work", "other").await;
    stage.claimed(other, "w1").await;
    stage.run("UPDATE control.tasks SET ecs_task_arn = 'arn:7' WHERE id = $1", other).await;
    stage.run(later, task_id).await;
    assert_eq!(workers_to_stop::due(&mut stage.conn).await.unwrap(), [], "it works again");

    stage.expire(other).await;
    reap(&mut stage).await;
    // The order to stop it for the first loss came too late to count for the second.
    workers_to_stop::stopped(&mut stage.conn, &silent).await.unwrap();
    let again = workers_to_stop::due(&mut stage.conn).await.unwrap();
    assert_eq!(again.iter().map(|worker| worker.task_id).collect::<Vec<_>>(), [other]);
    workers_to_stop::stopped(&mut stage.conn, &again[0]).await.unwrap();
    assert_eq!(stage.count("SELECT count(*) FROM control.workers_to_stop").await, 0);
}

#[tokio::test]
async fn a_silent_worker_loses_its_task_and_a_lively_one_does_not() {
    let mut stage = Stage::new().await;
    let lively = stage.new_task("work", "lively").await;
    stage.claimed(lively, "w2").await;
    let (task_id, fence) = expired_task(&mut stage).await;
    stage.run("UPDATE control.tasks SET ecs_task_arn = 'arn:7' WHERE id = $1", task_id).await;
    let reaped = reap(&mut stage).await;
    assert_eq!(reaped.lost.len(), 1);
    let lost = &reaped.lost[0];
    assert_eq!((lost.task_id, lost.fence), (task_id, fence));
    assert!(matches!(lost.after, AfterFailure::Queued { .. }));
    let details = stage.show(task_id).await;
    assert_eq!(details.attempts[0].outcome.as_deref(), Some("lost"));
    assert_eq!(details.trail.last().unwrap().actor, "reaper");
    assert_eq!(stage.show(lively).await.task.state, TaskState::Running);

    stage.make_due(task_id).await;
    stage.claimed(task_id, "w3").await;
    stage.expire(task_id).await;
    assert_eq!(reap(&mut stage).await.lost[0].after, AfterFailure::Failed, "the second attempt was the last");
}

#[tokio::test]
async fn a_worker_that_is_not_heard_of_any_more_is_forgotten() {
    let mut stage = Stage::new().await;
    sqlx::query(
        "INSERT INTO control.worker_leases (worker, operator, lease_expires_at)
         VALUES ('alive', 'noop', now() + interval '1 minute'), ('silent', 'noop', now() - interval '1 second')",
    )
    .execute(&mut stage.conn)
    .await
    .unwrap();
    assert_eq!(reap(&mut stage).await.silent_workers, 1);
    assert_eq!(stage.count("SELECT count(*) FROM control.worker_leases WHERE worker = 'alive'").await, 1);
    assert_eq!(reap(&mut stage).await.silent_workers, 0);
}

#[tokio::test]
async fn a_lost_source_is_always_queued_again() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("source", "always-on-1").await;
    for _ in 0..5 {
        stage.make_due(task_id).await;
        stage.claimed(task_id, "w1").await;
        stage.expire(task_id).await;
        assert!(matches!(reap(&mut stage).await.lost[0].after, AfterFailure::Queued { .. }));
    }
}

#[tokio::test]
async fn a_task_completed_between_the_reapers_read_and_write_is_not_reopened() {
    let mut stage = Stage::new().await;
    let (task_id, fence) = expired_task(&mut stage).await;
    let mut worker = stage.connect().await;
    let mut held = worker.begin().await.unwrap();
    tasks::complete(&mut held, task_id, fence, &serde_json::Value::Null, None).await.unwrap();
    let reaped = reap_while(&mut stage, held).await;
    assert_eq!((reaped.lost.len(), reaped.overtaken, reaped.faults.len()), (0, 1, 0), "{reaped:?}");
    assert_eq!(stage.show(task_id).await.task.state, TaskState::Completed);
}

#[tokio::test]
async fn a_reclaimed_task_is_not_rescued_from_its_new_worker() {
    let mut stage = Stage::new().await;
    let (task_id, fence) = expired_task(&mut stage).await;
    let mut worker = stage.connect().await;
    let mut held = worker.begin().await.unwrap();
    tasks::release(&mut held, task_id, fence, None).await.unwrap();
    let claimant = Claimant { worker: "w2", operator: "noop", ecs_task_arn: None };
    tasks::claim(&mut held, task_id, &claimant).await.unwrap();
    // Even a lease that looks over and an attempt that looks open: the fence alone must hold the reaper off.
    sqlx::query(REOPEN_ATTEMPTS).bind(task_id.0).execute(&mut *held).await.unwrap();
    sqlx::query("UPDATE control.tasks SET lease_expires_at = now() - interval '1 hour' WHERE id = $1")
        .bind(task_id.0)
        .execute(&mut *held)
        .await
        .unwrap();
    let reaped = reap_while(&mut stage, held).await;
    assert_eq!((reaped.lost.len(), reaped.overtaken), (0, 1), "{reaped:?}");
    let task = stage.show(task_id).await.task;
    assert_eq!((task.state, task.fence, task.worker.as_deref()), (TaskState::Running, Fence(2), Some("w2")));
}

#[tokio::test]
async fn a_heartbeat_between_the_reapers_read_and_write_keeps_the_task() {
    let mut stage = Stage::new().await;
    let (task_id, fence) = expired_task(&mut stage).await;
    let mut worker = stage.connect().await;
    let mut held = worker.begin().await.unwrap();
    assert!(tasks::heartbeat(&mut held, task_id, fence, Duration::from_secs(60), None).await.unwrap());
    let reaped = reap_while(&mut stage, held).await;
    assert_eq!((reaped.lost.len(), reaped.overtaken), (0, 1), "{reaped:?}");
    assert_eq!(stage.show(task_id).await.task.state, TaskState::Running);
}

#[tokio::test]
async fn a_page_of_rows_that_cannot_be_rescued_does_not_keep_the_rest_waiting() {
    let mut stage = Stage::new().await;
    let tasks = expired_tasks(&mut stage, 7).await;
    // The first five cannot be changed; a page holds two.
    refuse(&mut stage, &tasks[..5], "RAISE EXCEPTION 'stuck';").await;
    let reaped = reap::reap(&mut stage.conn, 2).await.unwrap();
    let rescued: Vec<TaskId> = reaped.lost.iter().map(|lost| lost.task_id).collect();
    assert_eq!(rescued, tasks[5..]);
    assert_eq!(reaped.faults.len(), 5);
}

#[tokio::test]
async fn rows_that_failed_do_not_use_up_the_time_of_the_next_run() {
    let mut stage = Stage::new().await;
    let tasks = expired_tasks(&mut stage, 6).await;
    // All but the last take a while and cannot be changed; a run is ended before it has tried them all.
    refuse(&mut stage, &tasks[..5], "PERFORM pg_sleep(0.4); RAISE EXCEPTION 'stuck';").await;
    for _ in 0..5 {
        let mut conn = stage.connect().await;
        let _ = tokio::time::timeout(Duration::from_millis(1_500), reap::reap(&mut conn, 10)).await;
    }
    assert_eq!(stage.show(tasks[5]).await.task.state, TaskState::Queued, "the runs got to it");
    sqlx::raw_sql("DROP TRIGGER stuck ON control.tasks").execute(&mut stage.conn).await.unwrap();
    assert_eq!(reap(&mut stage).await.lost.len(), 5, "those that failed are tried again");
    assert_eq!(stage.count("SELECT count(*) FROM control.reap_faults").await, 0);
}

#[tokio::test]
async fn a_row_that_somebody_holds_does_not_keep_the_rest_waiting() {
    let mut stage = Stage::new().await;
    let (held_task, _) = expired_task(&mut stage).await;
    let other = stage.new_task("work", "two").await;
    stage.claimed(other, "w2").await;
    stage.expire(other).await;
    let mut holder = stage.connect().await;
    let mut held = holder.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM control.tasks WHERE id = $1 FOR UPDATE")
        .bind(held_task.0)
        .execute(&mut *held)
        .await
        .unwrap();
    let reaped = tokio::time::timeout(Duration::from_secs(15), reap(&mut stage)).await.expect("the reaper goes on");
    assert_eq!(reaped.lost.iter().map(|lost| lost.task_id).collect::<Vec<_>>(), [other]);
    assert_eq!(reaped.faults.iter().map(|(task_id, _)| *task_id).collect::<Vec<_>>(), [held_task]);
}

#[tokio::test]
async fn a_task_of_an_operator_that_left_is_put_back_and_not_discarded() {
    let mut stage = Stage::new().await;
    let (task_id, _) = expired_task(&mut stage).await;
    stage.apply("{ version: 1, jobs: [] }").await;
    sqlx::query("UPDATE control.jobs SET operator = 'nobody_knows_it'").execute(&mut stage.conn).await.unwrap();
    assert_eq!(reap(&mut stage).await.lost.len(), 1);
    assert_eq!(stage.show(task_id).await.task.state, TaskState::Queued);
}
