//! What people are shown: lists of tasks, jobs, triggers, firings, changes and dead letters.

use std::time::Duration;

use isotherm_control::audit::{self, AuditFilter, Subject};
use isotherm_control::task::TaskState;
use isotherm_control::tasks::{self, Failure, SinceThen, TaskFilter, Wait};
use isotherm_control::triggers::{self, Fired};
use isotherm_control::{dispatch, jobs};
use isotherm_types::{Disposition, EventId, OrgId, TaskId};
use serde_json::json;

use crate::stage::Stage;

async fn org(stage: &mut Stage) -> OrgId {
    jobs::org(&mut stage.conn, jobs::DEFAULT_ORG).await.unwrap()
}

async fn listed(stage: &mut Stage, filter: &TaskFilter) -> Vec<i64> {
    tasks::list(&mut stage.conn, filter).await.unwrap().iter().map(|task| task.task_id.0).collect()
}

async fn fail(stage: &mut Stage, task_id: TaskId, disposition: Disposition) {
    let fence = stage.claimed(task_id, "w1").await.fence;
    let failure = Failure { code: "test.broken", message: "it broke", disposition, stderr_tail: None };
    tasks::fail(&mut stage.conn, task_id, fence, &failure).await.unwrap();
}

#[tokio::test]
async fn tasks_are_found_by_job_operator_state_and_time() {
    let mut stage = Stage::new().await;
    let one = stage.new_task("work", "one").await;
    let two = stage.new_task("watch", "two").await;
    let three = stage.new_task("source", "three").await;
    stage.run("UPDATE control.tasks SET created_at = now() - interval '2 hours' WHERE id IN ($1, 1)", two).await;
    fail(&mut stage, one, Disposition::GiveUp).await;
    let all = TaskFilter::default();
    let of = |change: fn(&mut TaskFilter)| {
        let mut filter = all.clone();
        change(&mut filter);
        filter
    };
    for (filter, expected) in [
        (all.clone(), vec![three.0, two.0, one.0]),
        (of(|filter| filter.limit = 1), vec![three.0]),
        (of(|filter| filter.job = Some("watch".to_owned())), vec![two.0]),
        (of(|filter| filter.operator = Some("noop".to_owned())), vec![two.0, one.0]),
        (of(|filter| filter.state = Some(TaskState::Failed)), vec![one.0]),
        // The first was made long ago and failed just now.
        (of(|filter| filter.since = Some(Duration::from_secs(3600))), vec![three.0, one.0]),
    ] {
        assert_eq!(listed(&mut stage, &filter).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_queued_task_says_why_it_waits() {
    let mut stage = Stage::new().await;
    let (one, two, three) = (
        stage.new_task("work", "one").await,
        stage.new_task("work", "two").await,
        stage.new_task("work", "three").await,
    );
    assert_eq!(stage.show(three).await.task.wait.reason(), Wait::ForWorker);
    stage.claimed(one, "w1").await;
    sqlx::query("UPDATE control.orgs SET max_concurrency = 1").execute(&mut stage.conn).await.unwrap();
    assert_eq!(stage.show(three).await.task.wait.reason(), Wait::OrgLimit { limit: 1 });
    sqlx::query("UPDATE control.orgs SET max_concurrency = NULL").execute(&mut stage.conn).await.unwrap();
    stage.claimed(two, "w2").await;
    assert_eq!(stage.show(three).await.task.wait.reason(), Wait::JobLimit { limit: 2 });
    tasks::release(&mut stage.conn, two, isotherm_types::Fence(1), None).await.unwrap();
    fail(&mut stage, two, Disposition::Retry).await;
    let task = stage.show(two).await.task;
    assert_eq!((task.attempts_used, task.attempts_left, task.max_attempts), (1, 1, 2), "a release counts for nothing");
    assert!(matches!(task.wait.reason(), Wait::BackOff { .. }), "{task:?}");
    stage.apply("{ version: 1, jobs: [] }").await;
    assert_eq!(stage.show(three).await.task.wait.reason(), Wait::JobInactive);
}

#[tokio::test]
async fn jobs_are_shown_with_their_tasks_last_end_and_triggers() {
    let mut stage = Stage::new().await;
    let org = org(&mut stage).await;
    let one = stage.new_task("work", "one").await;
    stage.new_task("work", "two").await;
    fail(&mut stage, one, Disposition::GiveUp).await;
    let all = jobs::overview(&mut stage.conn, org, None).await.unwrap();
    assert_eq!(all.iter().map(|job| job.job.name.as_str()).collect::<Vec<_>>(), ["source", "watch", "work"]);
    let work = &all[2];
    let counts: Vec<u64> = work.tasks.iter().map(|(_, tasks)| *tasks).collect();
    assert_eq!((work.state(), counts), ("active", vec![1, 0, 0, 1, 0]));
    assert_eq!(work.last_end.map(|end| (end.task_id, end.state)), Some((one, TaskState::Failed)));
    assert_eq!(work.triggers, ["beat", "full"]);
    assert_eq!((all[0].last_end, all[0].triggers.len()), (None, 0));

    jobs::set_paused(&mut stage.conn, org, "work", true, "ann", None).await.unwrap();
    let named = jobs::overview(&mut stage.conn, org, Some("work")).await.unwrap();
    assert_eq!(named.iter().map(jobs::JobOverview::state).collect::<Vec<_>>(), ["paused"]);
    stage.apply("{ version: 1, jobs: [] }").await;
    assert_eq!(jobs::overview(&mut stage.conn, org, Some("work")).await.unwrap()[0].state(), "inactive");
    assert_eq!(jobs::names(&mut stage.conn, org).await.unwrap(), ["source", "watch", "work"]);
}

#[tokio::test]
async fn a_triggers_history_leads_to_its_tasks() {
    let mut stage = Stage::new().await;
    let org = org(&mut stage).await;
    let beat = triggers::active(&mut stage.conn, "cron").await.unwrap().remove(0);
    let Fired::Now(fired) = triggers::fire(&mut stage.conn, &beat, "tick-1", &json!({})).await.unwrap() else {
        panic!("did not fire");
    };
    let event_id = fired.event_id;
    let before = triggers::history(&mut stage.conn, beat.id, 9).await.unwrap();
    assert_eq!((before[0].event_id, before[0].task), (Some(event_id), None), "no task has come of it yet");
    dispatch::handle_event(&mut stage.conn, event_id).await.unwrap();
    sqlx::query(
        "INSERT INTO control.trigger_fires (trigger_id, fire_key, org_id, outcome, reason, scheduled_for, fired_at)
         VALUES ($1, 'tick-0', $2, 'missed', 'nobody was there', now() - interval '1 day', now() - interval '1 minute')",
    )
    .bind(beat.id.0)
    .bind(org.0)
    .execute(&mut stage.conn)
    .await
    .unwrap();

    let history = triggers::history(&mut stage.conn, beat.id, 9).await.unwrap();
    let words: Vec<_> = history.iter().map(|firing| (firing.fire_key.as_str(), firing.outcome.as_str())).collect();
    assert_eq!(words, [("tick-1", "fired"), ("tick-0", "missed")]);
    assert_eq!(history[0].task, Some((TaskId(1), TaskState::Queued)));
    assert_eq!((history[1].task, history[1].reason.as_deref()), (None, Some("nobody was there")));
    assert_eq!(triggers::history(&mut stage.conn, beat.id, 1).await.unwrap().len(), 1);

    let all = triggers::overview(&mut stage.conn, org, None).await.unwrap();
    assert_eq!(all.iter().map(|each| each.trigger.name.as_str()).collect::<Vec<_>>(), ["beat", "full"]);
    assert_eq!((all[0].job.as_str(), all[0].active), ("work", true));
    assert_eq!(all[0].last_firing.as_ref().map(|firing| firing.fire_key.as_str()), Some("tick-1"));
    assert!(all[0].next_tick.is_some() && all[1].next_tick.is_none());
    stage.apply("{ version: 1, jobs: [] }").await;
    let gone = triggers::overview(&mut stage.conn, org, Some("beat")).await.unwrap();
    assert_eq!((gone[0].active, gone[0].next_tick), (false, None));
}

#[tokio::test]
async fn the_trail_is_searched_by_subject_actor_and_time_and_read_in_pages() {
    let mut stage = Stage::new().await;
    let org = org(&mut stage).await;
    let one = stage.new_task("work", "one").await;
    tasks::cancel(&mut stage.conn, one, "ann", "x").await.unwrap();
    jobs::set_paused(&mut stage.conn, org, "work", true, "ann", None).await.unwrap();
    sqlx::query("UPDATE control.audit_log SET at = now() - interval '1 day' WHERE actor = 'ann' AND subject = 'task'")
        .execute(&mut stage.conn)
        .await
        .unwrap();
    let all = AuditFilter::default();
    let of = |change: fn(&mut AuditFilter)| {
        let mut filter = all.clone();
        change(&mut filter);
        filter
    };
    let (hour, row) = (Duration::from_secs(3600), |kind: &str, id| Some(Subject::Row { kind: kind.to_owned(), id }));
    let mut cases = vec![
        (of(|filter| filter.actor = Some("ann".to_owned())), vec!["paused work", "cancelled work"]),
        (of(|filter| filter.subject = Some(Subject::Job("work".to_owned()))), vec!["paused work", "created work"]),
        (of(|filter| filter.subject = Some(Subject::Trigger("beat".to_owned()))), vec!["created beat"]),
        (of(|filter| filter.subject = Some(Subject::Job("beat".to_owned()))), vec![]),
    ];
    cases.push((AuditFilter { subject: row("task", one.0), ..all.clone() }, vec!["cancelled work", "created work"]));
    cases.push((AuditFilter { subject: row("chain", 143), ..all.clone() }, vec![]));
    cases.push((AuditFilter { actor: Some("ann".to_owned()), since: Some(hour), ..all.clone() }, vec!["paused work"]));
    cases.push((AuditFilter { org_id: Some(OrgId(org.0 + 1)), ..all.clone() }, vec![]));
    for (filter, expected) in cases {
        let found = audit::list(&mut stage.conn, &filter).await.unwrap();
        let words: Vec<_> = found
            .iter()
            .map(|entry| format!("{} {}", entry.action, entry.subject_name.as_deref().unwrap_or("?")))
            .collect();
        assert_eq!(words, expected, "{filter:?}");
    }

    let whole = audit::list(&mut stage.conn, &all).await.unwrap();
    let mut paged = Vec::new();
    loop {
        let before = paged.last().map(|entry: &audit::Listed| entry.id);
        let page = audit::list(&mut stage.conn, &AuditFilter { before, limit: 2, ..all.clone() }).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert!(whole.len() > 4 && paged == whole, "{paged:?}");
}

#[tokio::test]
async fn a_dead_letter_says_what_has_become_of_its_task() {
    let mut stage = Stage::new().await;
    let task_id = stage.new_task("work", "one").await;
    fail(&mut stage, task_id, Disposition::GiveUp).await;
    let event_ids: Vec<EventId> = sqlx::query_scalar("SELECT id FROM control.events ORDER BY id")
        .fetch_all(&mut stage.conn)
        .await
        .unwrap()
        .into_iter()
        .map(EventId)
        .collect();
    let mut asked = event_ids.clone();
    asked.push(EventId(999));
    let dead = tasks::dead(&mut stage.conn, &asked).await.unwrap();
    let [letter] = &dead[..] else { panic!("{dead:?}") };
    assert_eq!((letter.task_id, letter.job.as_str(), letter.code.as_str()), (task_id, "work", "test.broken"));
    assert_eq!(letter.since, SinceThen::Nothing);
    tasks::retry(&mut stage.conn, task_id, "ann", "x").await.unwrap();
    assert_eq!(tasks::dead(&mut stage.conn, &event_ids).await.unwrap()[0].since, SinceThen::Retried);
    fail(&mut stage, task_id, Disposition::GiveUp).await;
    assert_eq!(tasks::dead(&mut stage.conn, &event_ids).await.unwrap()[0].since, SinceThen::FailedAgain);
    tasks::retry(&mut stage.conn, task_id, "ann", "x").await.unwrap();
    let fence = stage.claimed(task_id, "w1").await.fence;
    tasks::complete(&mut stage.conn, task_id, fence, &json!(null), None).await.unwrap();
    assert_eq!(tasks::dead(&mut stage.conn, &event_ids).await.unwrap()[0].since, SinceThen::Completed);
}
