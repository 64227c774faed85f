//! What is done to many tasks in one transaction must leave the same rows as doing it one by one.

use std::time::Duration;

use isotherm_control::dispatch;
use isotherm_control::tasks::{self, Claim, Claimant, Done, Failure, NewTask};
use isotherm_control::{ControlError, events};
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset, Disposition, EventBody, EventId, Fence, TaskId};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::outbox::invalidated;
use crate::stage::Stage;

const JOBS: &str = "
version: 1
jobs:
  - { name: a, operator: noop, max_attempts: 2, max_concurrency: 2 }
  - { name: b, operator: noop, max_attempts: 3, max_concurrency: 5 }
  - { name: c, operator: noop, max_attempts: 1, max_concurrency: 50, input_datasets: [logs] }
  - { name: other, operator: parquet_compact }
  - { name: gather, operator: noop, strategy: bulk, input_datasets: [143/blocks] }
";

/// Everything that must agree, in words: ids and instants differ.
const PICTURE: &str = "
    SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
        SELECT format('%s/%s %s fence=%s left=%s worker=%s out=%s err=%s tries=[%s] trail=[%s]', j.name, t.idempotency_key, t.state,
                   t.fence, t.attempts_left, t.worker, t.output, t.error_code,
                   (SELECT string_agg(format('%s %s %s %s', a.fence, a.worker, a.outcome, a.stderr_tail), ', ' ORDER BY a.fence)
                      FROM control.task_attempts a WHERE a.task_id = t.id),
                   (SELECT string_agg(format('%s %s %s>%s', l.actor, l.action, l.from_state, l.to_state), ', ' ORDER BY l.id)
                      FROM control.audit_log l WHERE l.subject = 'task' AND l.subject_id = t.id)) AS line
          FROM control.tasks t JOIN control.jobs j ON j.id = t.job_id) AS lines";
const WORKER: Claimant<'static> = Claimant { worker: "w", operator: "noop", ecs_task_arn: None };

/// One side of the comparison.
struct Side {
    stage: Stage,
    in_batches: bool,
    /// Claims so far: key and attempt.
    held: Vec<(String, TaskId, Fence)>,
}

impl Side {
    async fn new(in_batches: bool) -> Self {
        let mut stage = Stage::new().await;
        stage.apply(JOBS).await;
        Self { stage, in_batches, held: Vec::new() }
    }

    async fn create(&mut self, wanted: &[(&'static str, String)]) {
        let mut new_tasks = Vec::new();
        for (job, key) in wanted {
            let job_id = self.stage.job(job).await;
            let input = serde_json::json!({ "key": key });
            new_tasks.push(NewTask { job_id, idempotency_key: key.clone(), input, delay: Duration::ZERO });
        }
        if self.in_batches {
            tasks::create_many(&mut self.stage.conn, &new_tasks, "test").await.unwrap();
            return;
        }
        for task in &new_tasks {
            tasks::create(&mut self.stage.conn, task, "test").await.unwrap();
        }
    }

    async fn claim(&mut self, most: u32) {
        sqlx::query("UPDATE control.tasks SET not_before = now() WHERE state = 'queued'")
            .execute(&mut self.stage.conn)
            .await
            .unwrap();
        let mut claimed = Vec::new();
        if self.in_batches {
            claimed = tasks::claim_many(&mut self.stage.conn, &WORKER, most).await.unwrap();
        } else {
            for _ in 0..most {
                let Some(task_id) = tasks::next_due(&mut self.stage.conn, "noop").await.unwrap() else { break };
                match tasks::claim(&mut self.stage.conn, task_id, &WORKER).await.unwrap() {
                    Claim::Claimed(task) => claimed.push(*task),
                    other => panic!("{other:?}"),
                }
            }
        }
        for task in claimed {
            self.held.push((task.input["key"].as_str().unwrap().to_owned(), task.task_id, task.fence));
        }
    }

    /// Completes what is held at these places, stale or not; returns what was accepted.
    async fn complete(&mut self, places: &[usize]) -> Vec<bool> {
        let output = serde_json::json!({ "done": "with \u{0} in it" });
        let attempt = |place: &usize| {
            let (_, task_id, fence) = &self.held[*place];
            Done { task_id: *task_id, fence: *fence, output: &output, stderr_tail: Some("tail") }
        };
        let done: Vec<Done<'_>> = places.iter().map(attempt).collect();
        if self.in_batches {
            return tasks::complete_many(&mut self.stage.conn, &done).await.unwrap();
        }
        let mut accepted = Vec::new();
        for Done { task_id, fence, output, stderr_tail } in done {
            match tasks::complete(&mut self.stage.conn, task_id, fence, output, stderr_tail).await {
                Ok(()) => accepted.push(true),
                Err(ControlError::StaleFence { .. }) => accepted.push(false),
                Err(error) => panic!("{error}"),
            }
        }
        accepted
    }

    /// Ends what is held at `place` in another way.
    async fn end_otherwise(&mut self, place: usize, choice: u32) {
        let (_, task_id, fence) = self.held[place];
        let failure = Failure { code: "test.x", message: "", disposition: Disposition::Retry, stderr_tail: None };
        let conn = &mut self.stage.conn;
        match choice {
            0 => drop(tasks::fail(conn, task_id, fence, &failure).await),
            1 => drop(tasks::release(conn, task_id, fence, None).await),
            _ => drop(tasks::cancel(conn, task_id, "a person", "test").await),
        }
    }

    async fn picture(&mut self) -> String {
        let picture: Option<String> = sqlx::query_scalar(PICTURE).fetch_one(&mut self.stage.conn).await.unwrap();
        picture.unwrap_or_default()
    }
}

#[tokio::test]
async fn random_histories_in_batches_and_one_by_one_leave_the_same_rows() {
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut one, mut many) = (Side::new(false).await, Side::new(true).await);
        for step in 0..12 {
            let mut wanted: Vec<(&str, String)> = (0..random.random_range(0..8))
                .map(|_| {
                    (["a", "b", "c", "other"][random.random_range(0..4)], format!("{:03}", random.random_range(0..40)))
                })
                .collect();
            wanted.sort();
            let most = random.random_range(1..7);
            one.create(&wanted).await;
            many.create(&wanted).await;
            one.claim(most).await;
            many.claim(most).await;
            let keys = |side: &Side| side.held.iter().map(|(key, _, fence)| (key.clone(), *fence)).collect::<Vec<_>>();
            assert_eq!(keys(&one), keys(&many), "seed {seed}, step {step}");
            let mut places: Vec<usize> = (0..one.held.len()).collect();
            places.shuffle(&mut random);
            if let Some(place) = places.pop() {
                let choice = random.random_range(0..3);
                one.end_otherwise(place, choice).await;
                many.end_otherwise(place, choice).await;
            }
            places.truncate(random.random_range(0..5));
            assert_eq!(one.complete(&places).await, many.complete(&places).await, "seed {seed}, step {step}");
            assert_eq!(one.picture().await, many.picture().await, "seed {seed}, step {step}");
        }
        assert!(one.held.len() > 10, "seed {seed} claimed next to nothing");
    }
}

#[tokio::test]
async fn batches_keep_the_limit_of_the_organisation_and_the_claimants_operator() {
    let mut side = Side::new(true).await;
    side.create(&["a", "b", "c", "other"].map(|job| (job, "1".to_owned()))).await;
    side.create(&["a", "b", "c", "other"].map(|job| (job, "2".to_owned()))).await;
    sqlx::query("UPDATE control.orgs SET max_concurrency = 4").execute(&mut side.stage.conn).await.unwrap();
    side.claim(3).await;
    side.claim(100).await;
    assert_eq!(side.held.len(), 4);
    sqlx::query("UPDATE control.orgs SET max_concurrency = NULL").execute(&mut side.stage.conn).await.unwrap();
    sqlx::query("UPDATE control.jobs SET paused = true WHERE name = 'c'").execute(&mut side.stage.conn).await.unwrap();
    side.claim(100).await;
    let of_paused = "SELECT count(*) FROM control.tasks t JOIN control.jobs j ON j.id = t.job_id
                      WHERE j.paused AND t.state = 'running'";
    let before = side.stage.count(of_paused).await;
    side.create(&[("c", "3".to_owned())]).await;
    side.claim(100).await;
    assert_eq!(side.stage.count(of_paused).await, before, "a paused job was claimed from");
}

fn committed(start: u64) -> EventBody {
    EventBody::PartitionCommitted {
        chain_id: ChainId(143),
        dataset: Dataset::Logs,
        blocks: BlockRange::new(BlockNumber(start), BlockNumber(start + 100)).unwrap(),
        manifest_version: 1,
    }
}

#[tokio::test]
async fn events_in_a_batch_make_the_tasks_that_each_would_and_a_bad_one_keeps_none_back() {
    let (mut one, mut many) = (Side::new(false).await, Side::new(true).await);
    for side in [&mut one, &mut many] {
        let conn = &mut side.stage.conn;
        let mut ids = Vec::new();
        for start in [0, 100, 200, 100] {
            ids.push(events::record(conn, &committed(start)).await.unwrap());
        }
        ids.push(events::record(conn, &invalidated(143)).await.unwrap());
        let bad: i64 = sqlx::query_scalar(
            r#"INSERT INTO control.events (kind, body) VALUES ('star_exploded', '{"kind": "star_exploded"}') RETURNING id"#,
        )
        .fetch_one(&mut *conn)
        .await
        .unwrap();
        let unhandled = [EventId(bad), EventId(999_999)];
        if side.in_batches {
            let batch: Vec<EventId> = [&ids[..3], &unhandled, &ids[2..]].concat();
            let handled = dispatch::handle_events(conn, &batch).await.unwrap();
            assert_eq!(handled.made.len(), 5);
            let refused: Vec<EventId> = handled.refused.iter().map(|(event_id, _)| *event_id).collect();
            assert_eq!(refused, unhandled);
            assert!(dispatch::handle_events(conn, &batch).await.unwrap().made.is_empty());
        } else {
            for event_id in ids {
                dispatch::handle_event(conn, event_id).await.unwrap();
            }
        }
    }
    assert_eq!(one.picture().await, many.picture().await);
}

#[tokio::test]
async fn tasks_of_a_batch_are_made_in_the_order_of_its_events() {
    let mut side = Side::new(true).await;
    // As texts, these keys are in another order.
    let starts = [900, 1_000, 200, 10_000];
    let bodies = starts.map(committed);
    let ids = events::record_many(&mut side.stage.conn, &bodies).await.unwrap();
    dispatch::handle_events(&mut side.stage.conn, &ids).await.unwrap();
    let made: Vec<i64> =
        sqlx::query_scalar("SELECT (input #>> '{blocks,start}')::bigint FROM control.tasks ORDER BY id")
            .fetch_all(&mut side.stage.conn)
            .await
            .unwrap();
    assert_eq!(made, starts.map(u64::cast_signed));
}

#[tokio::test]
async fn a_firing_of_a_job_that_is_not_there_is_refused_in_a_batch_and_keeps_none_back() {
    let mut side = Side::new(true).await;
    let body = EventBody::TriggerFired {
        org_id: isotherm_types::OrgId(1),
        job_id: isotherm_types::JobId(999_999),
        trigger_id: None,
        fire_key: "once".to_owned(),
        input: serde_json::json!({}),
    };
    let event_id = events::record(&mut side.stage.conn, &body).await.unwrap();
    let alone = dispatch::handle_event(&mut side.stage.conn, event_id).await.unwrap_err();
    let good = events::record(&mut side.stage.conn, &committed(0)).await.unwrap();
    let handled = dispatch::handle_events(&mut side.stage.conn, &[event_id, good]).await.unwrap();
    let [(refused, error)] = &handled.refused[..] else { panic!("{handled:?}") };
    assert_eq!((*refused, error.to_string()), (event_id, alone.to_string()));
    assert_eq!(handled.made.len(), 1);
}

#[tokio::test]
async fn a_task_belongs_to_the_organisation_of_its_job() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "1").await;
    let other = sqlx::query_scalar::<_, i64>("INSERT INTO control.orgs (name) VALUES ('other') RETURNING id");
    let other = other.fetch_one(&mut stage.conn).await.unwrap();
    let moved = sqlx::query("UPDATE control.tasks SET org_id = $2 WHERE id = $1").bind(task_id.0).bind(other);
    let refused = moved.execute(&mut stage.conn).await.unwrap_err();
    assert_eq!(refused.as_database_error().and_then(|error| error.constraint()), Some("tasks_job_and_org_fkey"));
}
