//! From events to tasks, wake-ups and launches.

use isotherm_control::dispatch::{self, MOST_LAUNCHES, Outgoing};
use isotherm_control::events;
use isotherm_control::tasks::{self, Created, Failure};
use isotherm_types::{Disposition, TaskId};

use crate::outbox::invalidated;
use crate::stage::Stage;

async fn ready(stage: &mut Stage) -> Outgoing {
    dispatch::ready(&mut stage.conn, MOST_LAUNCHES).await.unwrap()
}

fn woken(outgoing: &Outgoing) -> Vec<TaskId> {
    outgoing.wakes.iter().map(|wake| wake.task_id).collect()
}

async fn age(stage: &mut Stage, task_id: TaskId) {
    stage
        .run(
            "UPDATE control.tasks SET woken_at = woken_at - interval '130 seconds',
                    launched_at = launched_at - interval '130 seconds' WHERE id = $1",
            task_id,
        )
        .await;
}

/// Lets the grace of idle workers pass.
async fn age_all(stage: &mut Stage) {
    sqlx::query("UPDATE control.tasks SET woken_at = woken_at - interval '10 seconds'")
        .execute(&mut stage.conn)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_sweep_keeps_each_source_alive_exactly_once() {
    let mut stage = Stage::new().await;
    let first = dispatch::sweep(&mut stage.conn).await.unwrap();
    assert_eq!((first.wakes.len(), first.launches.len()), (1, 1));
    assert_eq!(first.wakes[0].operator, "block_follower");
    assert_eq!(dispatch::sweep(&mut stage.conn).await.unwrap(), Outgoing::default(), "told once");
    assert_eq!(stage.count("SELECT count(*) FROM control.tasks").await, 1);

    let task_id = first.wakes[0].task_id;
    let fence = stage.claimed(task_id, "w1").await.fence;
    let halted = Failure { code: "chain.halted", message: "", disposition: Disposition::GiveUp, stderr_tail: None };
    tasks::fail(&mut stage.conn, task_id, fence, &halted).await.unwrap();
    assert_eq!(
        stage.count("SELECT count(*) FROM control.outbox").await,
        0,
        "a source is no dead letter: it is made anew"
    );
    let made = dispatch::ensure_sources(&mut stage.conn).await.unwrap();
    let [Created::New(next)] = made[..] else { panic!("{made:?}") };
    let wait: (bool,) = sqlx::query_as("SELECT not_before > now() FROM control.tasks WHERE id = $1")
        .bind(next.0)
        .fetch_one(&mut stage.conn)
        .await
        .unwrap();
    assert!(wait.0, "a source that gave up is not started again at once");
}

#[tokio::test]
async fn tasks_over_the_limit_wait_until_others_end() {
    let mut stage = Stage::new().await;
    let mut made = Vec::new();
    for i in 0..4 {
        made.push(stage.new_task("work", &format!("task-{i}")).await);
    }
    let first = ready(&mut stage).await;
    assert_eq!(woken(&first), made[..2], "max_concurrency is 2");
    assert_eq!(ready(&mut stage).await, Outgoing::default());
    let running = stage.claimed(made[0], "w1").await;
    stage.claimed(made[1], "w2").await;
    assert_eq!(ready(&mut stage).await, Outgoing::default());
    tasks::complete(&mut stage.conn, made[0], running.fence, &serde_json::Value::Null, None).await.unwrap();
    assert_eq!(woken(&ready(&mut stage).await), [made[2]]);
}

#[tokio::test]
async fn what_was_lost_on_the_way_is_sent_again_under_new_names() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    let first = ready(&mut stage).await;
    assert_eq!((first.wakes[0].number, first.launches[0].client_token()), (1, format!("task-{}-0", task_id.0)));
    age(&mut stage, task_id).await;
    let second = ready(&mut stage).await;
    assert_eq!((second.wakes[0].number, second.launches[0].client_token()), (2, format!("task-{}-0-2", task_id.0)));
    // After a claim and its end, the next fence starts counting anew.
    let fence = stage.claimed(task_id, "w1").await.fence;
    tasks::release(&mut stage.conn, task_id, fence, None).await.unwrap();
    let third = ready(&mut stage).await;
    assert_eq!((third.wakes[0].number, third.launches[0].client_token()), (1, format!("task-{}-1", task_id.0)));
}

#[tokio::test]
async fn what_could_not_be_sent_is_sent_by_the_next_pass() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    let first = ready(&mut stage).await;
    dispatch::forget_wake(&mut stage.conn, &first.wakes[0]).await.unwrap();
    dispatch::forget_launch(&mut stage.conn, &first.launches[0]).await.unwrap();
    let second = ready(&mut stage).await;
    assert_eq!((second.wakes[0].number, second.launches[0].number), (2, 2));
    assert!(tasks::note_launch(&mut stage.conn, task_id, second.launches[0].fence, "arn:2").await.unwrap());
    stage.claimed(task_id, "w1").await;
    assert!(!tasks::note_launch(&mut stage.conn, task_id, second.launches[0].fence, "arn:late").await.unwrap());
}

#[tokio::test]
async fn a_launch_that_got_no_answer_is_asked_for_again_under_its_own_token() {
    let mut stage = Stage::new().await;
    stage.new_task("work", "one").await;
    let first = ready(&mut stage).await.launches.remove(0);
    dispatch::repeat_launch(&mut stage.conn, &first).await.unwrap();
    age_all(&mut stage).await;
    let again = ready(&mut stage).await.launches.remove(0);
    assert_eq!(again.client_token(), first.client_token());
}

#[tokio::test]
async fn two_dispatchers_never_send_the_same_thing() {
    let mut stage = Stage::new().await;
    for i in 0..2 {
        stage.new_task("work", &format!("task-{i}")).await;
    }
    let (mut one, mut two) = (stage.connect().await, stage.connect().await);
    let (first, second) =
        tokio::join!(dispatch::ready(&mut one, MOST_LAUNCHES), dispatch::ready(&mut two, MOST_LAUNCHES));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.wakes.len() + second.wakes.len(), 2, "{first:?} {second:?}");
    assert_eq!(first.launches.len() + second.launches.len(), 2);
}

#[tokio::test]
async fn bulk_tasks_coalesce_while_one_waits() {
    let mut stage = Stage::new().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let event_id = events::record(&mut stage.conn, &invalidated(143)).await.unwrap();
        made.extend(dispatch::handle_event(&mut stage.conn, event_id).await.unwrap());
    }
    let [Created::New(task_id)] = made[..] else { panic!("{made:?}") };
    stage.claimed(task_id, "w1").await;
    let event_id = events::record(&mut stage.conn, &invalidated(143)).await.unwrap();
    assert_eq!(
        dispatch::handle_event(&mut stage.conn, event_id).await.unwrap().len(),
        1,
        "the running one may be past it"
    );
    let other_chain = events::record(&mut stage.conn, &invalidated(7)).await.unwrap();
    assert!(dispatch::handle_event(&mut stage.conn, other_chain).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_free_worker_finds_the_next_due_task_of_its_operator() {
    let mut stage = Stage::new().await;
    assert_eq!(tasks::next_due(&mut stage.conn, "noop").await.unwrap(), None);
    let mut made = Vec::new();
    for i in 0..4 {
        made.push(stage.new_task("work", &format!("task-{i}")).await);
    }
    assert_eq!(tasks::next_due(&mut stage.conn, "parquet_compact").await.unwrap(), None);
    for expected in &made[..2] {
        assert_eq!(tasks::next_due(&mut stage.conn, "noop").await.unwrap(), Some(*expected));
        stage.claimed(*expected, "w1").await;
    }
    assert_eq!(tasks::next_due(&mut stage.conn, "noop").await.unwrap(), None, "max_concurrency is 2");
}
