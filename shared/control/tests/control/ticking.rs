//! Ticks of cron triggers: fired, skipped, made up for or missed, each once.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use isotherm_control::cron::tick_key;
use isotherm_control::tasks::{self, Cancelled};
use isotherm_control::triggers::{self, CaughtUp, EVENT_LIFE, Ticked};
use isotherm_control::{audit, dispatch};
use isotherm_types::{EventId, TaskId, TriggerId};
use sqlx::PgConnection;

use crate::stage::{JOBS, Stage, until_somebody_waits};

/// Minutes of a day long before the database's own time; triggers are made to start at the first.
fn minute(minute: i64) -> DateTime<Utc> {
    "2026-11-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
}

/// A stage whose trigger `beat` has the given settings and starts at minute 0.
async fn stage(settings: &str) -> (Stage, TriggerId) {
    let mut stage = Stage::new().await;
    stage.apply(&beat(settings)).await;
    sqlx::query("UPDATE control.triggers SET ticked_until = $1 WHERE name = 'beat'")
        .bind(minute(0))
        .execute(&mut stage.conn)
        .await
        .unwrap();
    let beat = triggers::active(&mut stage.conn, "cron").await.unwrap().remove(0);
    (stage, beat.id)
}

fn beat(settings: &str) -> String {
    JOBS.replace("schedule: rate(1 minute)", &format!("schedule: rate(1 minute), {settings}"))
}

async fn ticked(conn: &mut PgConnection, beat: TriggerId, at: i64) -> Ticked {
    triggers::tick(conn, beat, minute(at)).await.unwrap()
}

async fn fired(stage: &mut Stage, beat: TriggerId, at: i64) -> EventId {
    match ticked(&mut stage.conn, beat, at).await {
        Ticked::Fired(fired) => fired.event_id,
        other => panic!("{other:?}"),
    }
}

/// The task that the event leads to.
async fn dispatched(stage: &mut Stage, event_id: EventId) -> Option<TaskId> {
    let made = dispatch::handle_event(&mut stage.conn, event_id).await.unwrap();
    made.first().map(|created| match created {
        tasks::Created::New(task_id) => *task_id,
        other => panic!("{other:?}"),
    })
}

/// A sweep that waits no longer for the ticks that were due at `due` at the latest: a minute's own tick comes within it.
async fn caught_up(stage: &mut Stage, beat: TriggerId, due: i64) -> CaughtUp {
    triggers::catch_up(&mut stage.conn, beat, minute(due + 1)).await.unwrap()
}

async fn rows(stage: &mut Stage) -> Vec<(String, String, Option<String>)> {
    let rows = sqlx::query_as("SELECT fire_key, outcome, reason FROM control.trigger_fires ORDER BY fire_key");
    rows.fetch_all(&mut stage.conn).await.unwrap()
}

async fn states(stage: &mut Stage) -> Vec<String> {
    let states: Vec<(String,)> =
        sqlx::query_as("SELECT state FROM control.tasks ORDER BY id").fetch_all(&mut stage.conn).await.unwrap();
    states.into_iter().map(|(state,)| state).collect()
}

#[tokio::test]
async fn a_trigger_that_skips_waits_for_the_firing_before_from_event_to_end() {
    let (mut stage, beat) = stage("overlap: skip").await;
    let event_id = fired(&mut stage, beat, 1).await;
    let reason = format!("{event_id} has no task yet");
    assert_eq!(ticked(&mut stage.conn, beat, 2).await, Ticked::Skipped { reason });
    // Published, and not handled yet.
    sqlx::query("DELETE FROM control.outbox").execute(&mut stage.conn).await.unwrap();
    assert!(matches!(ticked(&mut stage.conn, beat, 3).await, Ticked::Skipped { .. }));

    let task_id = dispatched(&mut stage, event_id).await.unwrap();
    let reason = format!("{task_id} is not over");
    assert_eq!(ticked(&mut stage.conn, beat, 4).await, Ticked::Skipped { reason: reason.clone() });
    let task = stage.claimed(task_id, "w1").await;
    assert_eq!(ticked(&mut stage.conn, beat, 5).await, Ticked::Skipped { reason: reason.clone() });
    for again in [1, 5] {
        assert_eq!(ticked(&mut stage.conn, beat, again).await, Ticked::Already, "a repetition");
    }
    let output = serde_json::json!({});
    tasks::complete(&mut stage.conn, task_id, task.spec().fence, &output, None).await.unwrap();
    fired(&mut stage, beat, 6).await;

    let rows = rows(&mut stage).await;
    let outcomes: Vec<&str> = rows.iter().map(|(_, outcome, _)| outcome.as_str()).collect();
    assert_eq!(outcomes, ["fired", "skipped", "skipped", "skipped", "skipped", "fired"]);
    assert_eq!(rows[4], (tick_key(minute(5)), "skipped".to_owned(), Some(reason)));
    let scheduled: (DateTime<Utc>,) = sqlx::query_as("SELECT max(scheduled_for) FROM control.trigger_fires")
        .fetch_one(&mut stage.conn)
        .await
        .unwrap();
    assert_eq!(scheduled.0, minute(6));
}

#[tokio::test]
async fn an_event_that_never_became_a_task_holds_a_trigger_back_for_a_while_only() {
    let (mut stage, beat) = stage("overlap: skip").await;
    fired(&mut stage, beat, 1).await;
    sqlx::query("UPDATE control.trigger_fires SET fired_at = now() - make_interval(secs => $1)")
        .bind(EVENT_LIFE.as_secs_f64() + 1.0)
        .execute(&mut stage.conn)
        .await
        .unwrap();
    assert!(matches!(ticked(&mut stage.conn, beat, 2).await, Ticked::Skipped { .. }), "it is still in the outbox");
    sqlx::query("DELETE FROM control.outbox").execute(&mut stage.conn).await.unwrap();
    fired(&mut stage, beat, 3).await;
}

#[tokio::test]
async fn a_trigger_that_replaces_ends_tasks_and_events_of_its_own_and_no_others() {
    let (mut stage, beat) = stage("overlap: replace").await;
    let other = stage.new_task("work", "trigger-1x").await;
    let first = fired(&mut stage, beat, 1).await;
    let first_task = dispatched(&mut stage, first).await.unwrap();
    let running = stage.claimed(first_task, "w1").await;
    let second = fired(&mut stage, beat, 2).await;
    assert_eq!(states(&mut stage).await, ["queued", "cancelled"]);
    assert_eq!(ticked(&mut stage.conn, beat, 2).await, Ticked::Already, "a repetition ends nothing");

    // The second's event is on its way when the third comes.
    let third = fired(&mut stage, beat, 3).await;
    assert_eq!(states(&mut stage).await, ["queued", "cancelled", "cancelled"]);
    assert_eq!(dispatched(&mut stage, second).await, None, "it comes too late");
    let third_task = dispatched(&mut stage, third).await.unwrap();
    assert_eq!(states(&mut stage).await, ["queued", "cancelled", "cancelled", "queued"]);

    let trail = audit::trail(&mut stage.conn, "task", first_task.0).await.unwrap();
    let end = trail.last().unwrap();
    assert_eq!((end.actor.as_str(), end.action.as_str()), ("cron", "cancelled"));
    let reason = format!("replaced by the firing {} of trigger beat", tick_key(minute(2)));
    assert_eq!(end.reason.as_deref(), Some(reason.as_str()));
    let output = serde_json::json!({});
    assert!(tasks::complete(&mut stage.conn, first_task, running.spec().fence, &output, None).await.is_err());
    for task_id in [other, third_task] {
        assert_eq!(tasks::cancel(&mut stage.conn, task_id, "test", "").await.unwrap(), Cancelled::Now);
    }
}

#[tokio::test]
async fn a_trigger_that_queues_lets_tasks_wait_for_each_other() {
    let (mut stage, beat) = stage("overlap: queue").await;
    for at in 1..4 {
        let event_id = fired(&mut stage, beat, at).await;
        dispatched(&mut stage, event_id).await.unwrap();
    }
    assert_eq!(states(&mut stage).await, ["queued"; 3]);
}

#[tokio::test]
async fn of_two_ticks_at_the_same_moment_one_sees_the_other() {
    for (overlap, cancelled) in [("skip", 0), ("replace", 1)] {
        let (mut stage, beat) = stage(&format!("overlap: {overlap}")).await;
        // Something holds the first one up after its look and before its end: the lock of the table it writes to.
        let mut brake = stage.connect().await;
        sqlx::raw_sql("BEGIN; LOCK TABLE control.audit_log IN EXCLUSIVE MODE").execute(&mut brake).await.unwrap();
        let mut conns = [stage.connect().await, stage.connect().await];
        let [first, second] = &mut conns;
        let ticks = async { tokio::join!(ticked(first, beat, 1), ticked(second, beat, 2)) };
        let release = async {
            until_waiting(&mut stage.conn, 2).await;
            sqlx::raw_sql("COMMIT").execute(&mut brake).await.unwrap();
        };
        let ((first, second), ()) = tokio::join!(ticks, release);
        let fired = [&first, &second].iter().filter(|ticked| matches!(ticked, Ticked::Fired(_))).count();
        let live = stage.count("SELECT count(*) FROM control.trigger_fires WHERE outcome = 'fired'").await;
        match overlap {
            "skip" => assert_eq!((fired, live), (1, 1), "{first:?} {second:?}"),
            _ => assert_eq!((fired, live), (2, 2), "{first:?} {second:?}"),
        }
        let ended = stage.count("SELECT count(*) FROM control.tasks WHERE state = 'cancelled'").await;
        assert_eq!(ended, cancelled, "{overlap}");
    }
}

/// Polls until so many connections wait for a lock.
async fn until_waiting(conn: &mut PgConnection, connections: i64) {
    until_somebody_waits(conn).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let waiting: (i64,) = sqlx::query_as("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
            .fetch_one(&mut *conn)
            .await
            .unwrap();
        if waiting.0 >= connections {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{} wait for a lock", waiting.0);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_tick_delivered_twice_at_the_same_moment_fires_once() {
    let (mut stage, beat) = stage("overlap: queue").await;
    let mut conns = [stage.connect().await, stage.connect().await];
    let [first, second] = &mut conns;
    let (first, second) = tokio::join!(ticked(first, beat, 1), ticked(second, beat, 1));
    assert!([&first, &second].contains(&&Ticked::Already), "{first:?} {second:?}");
    assert_eq!(stage.count("SELECT count(*) FROM control.events").await, 1);
}

#[tokio::test]
async fn a_tick_that_did_not_come_is_made_up_for_within_the_window_and_missed_after_it() {
    let (mut stage, beat) = stage("catch_up_seconds: 300").await;
    fired(&mut stage, beat, 3).await;
    assert_eq!(caught_up(&mut stage, beat, 10).await, CaughtUp { fired: 3, skipped: 0, missed: 4 });
    let found = rows(&mut stage).await;
    let outcomes: Vec<(String, &str)> = found.iter().map(|(key, outcome, _)| (key.clone(), outcome.as_str())).collect();
    let expected: Vec<(String, &str)> =
        (1..9).map(|at| (tick_key(minute(at)), if at == 3 || at > 5 { "fired" } else { "missed" })).collect();
    assert_eq!(outcomes, expected);
    for late in 1..9 {
        assert_eq!(ticked(&mut stage.conn, beat, late).await, Ticked::Already, "minute {late} comes late");
    }
    fired(&mut stage, beat, 9).await;
    assert_eq!(caught_up(&mut stage, beat, 10).await, CaughtUp::default(), "a second sweep");
    assert_eq!(caught_up(&mut stage, beat, 11).await, CaughtUp::default(), "what came by itself");
    assert_eq!(stage.count("SELECT count(*) FROM control.events").await, 5);
}

#[tokio::test]
async fn ticks_that_are_made_up_for_overlap_like_any_other() {
    let (mut stage, beat) = stage("overlap: skip").await;
    assert_eq!(caught_up(&mut stage, beat, 10).await, CaughtUp { fired: 1, skipped: 7, missed: 0 });
    assert_eq!(stage.count("SELECT count(*) FROM control.events").await, 1);
}

#[tokio::test]
async fn a_long_silence_is_a_few_rows_that_say_everything() {
    let (mut stage, beat) = stage("catch_up_seconds: 0").await;
    let swept = caught_up(&mut stage, beat, 10_000).await;
    assert_eq!(swept, CaughtUp { fired: 0, skipped: 0, missed: 9998 });
    let rows = rows(&mut stage).await;
    assert_eq!(rows.len(), 101);
    let (key, outcome, reason) = &rows[0];
    assert_eq!((key.as_str(), outcome.as_str()), ("missed-2026-11-01T01:41:00Z-2026-11-07T22:38:00Z", "missed"));
    assert_eq!(
        reason.as_deref(),
        Some(
            "9898 ticks from 2026-11-01T01:41:00Z to 2026-11-07T22:38:00Z: it did not come, and was found out after \
             the catch-up window"
        )
    );
    assert_eq!(ticked(&mut stage.conn, beat, 5000).await, Ticked::Already, "a tick that has no row of its own");
}

#[tokio::test]
async fn a_trigger_starts_when_it_is_made_active_again_or_gets_another_schedule() {
    let mut stage = Stage::new().await;
    let long_ago = async |stage: &mut Stage| {
        let update = sqlx::query("UPDATE control.triggers SET ticked_until = $1 WHERE kind = 'cron'").bind(minute(0));
        update.execute(&mut stage.conn).await.unwrap();
    };
    let is_new =
        "SELECT count(*) FROM control.triggers WHERE kind = 'cron' AND ticked_until > now() - interval '1 minute'";
    assert_eq!(stage.count(is_new).await, 1, "when it is made");
    let threshold = "SELECT count(*) FROM control.triggers WHERE kind <> 'cron' AND ticked_until IS NOT NULL";
    assert_eq!(stage.count(threshold).await, 0);

    long_ago(&mut stage).await;
    stage.apply(&beat("overlap: skip, catch_up_seconds: 5")).await;
    assert_eq!(stage.count(is_new).await, 0, "its ticks are the same");
    stage.apply(&beat("timezone: Asia/Kolkata")).await;
    assert_eq!(stage.count(is_new).await, 1, "another clock");
    long_ago(&mut stage).await;
    stage.apply(&JOBS.replace("rate(1 minute)", "rate(2 minutes)")).await;
    assert_eq!(stage.count(is_new).await, 1, "another schedule");
    long_ago(&mut stage).await;
    stage.apply("{ version: 1, jobs: [] }").await;
    stage.apply(&JOBS.replace("rate(1 minute)", "rate(2 minutes)")).await;
    assert_eq!(stage.count(is_new).await, 1, "active again");
}

#[tokio::test]
async fn a_trigger_that_is_gone_or_of_another_kind_does_not_tick() {
    let (mut stage, beat) = stage("overlap: queue").await;
    let full = triggers::active(&mut stage.conn, "threshold").await.unwrap().remove(0);
    stage.apply("{ version: 1, jobs: [] }").await;
    for trigger_id in [beat, full.id, TriggerId(99)] {
        let error = triggers::tick(&mut stage.conn, trigger_id, minute(1)).await.unwrap_err();
        assert_eq!(isotherm_types::Classified::code(&error), "control.unknown_trigger");
        assert!(triggers::catch_up(&mut stage.conn, trigger_id, minute(9)).await.is_err());
    }
}
