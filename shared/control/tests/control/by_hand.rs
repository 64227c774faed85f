//! Firings by hand: once for each idempotency key, also when two calls come at the same moment.

use isotherm_control::triggers::{FiredByHand, fire_by_hand, run_job};
use isotherm_control::{ControlError, audit, dispatch, events, jobs};
use isotherm_types::{Classified, EventBody, OrgId};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::stage::{Stage, until_somebody_waits};

async fn org(stage: &mut Stage) -> OrgId {
    jobs::org(&mut stage.conn, jobs::DEFAULT_ORG).await.unwrap()
}

async fn run(
    conn: &mut PgConnection,
    org: OrgId,
    key: Option<&str>,
    input: Value,
) -> Result<FiredByHand, ControlError> {
    run_job(conn, org, "work", key, &input, "ann").await
}

async fn fire(
    conn: &mut PgConnection,
    org: OrgId,
    key: Option<&str>,
    input: Value,
) -> Result<FiredByHand, ControlError> {
    fire_by_hand(conn, org, "beat", key, &input, "ann").await
}

#[tokio::test]
async fn a_trigger_fired_by_hand_adds_to_its_input_and_names_the_person() {
    let mut stage = Stage::new().await;
    let org = org(&mut stage).await;
    let first = fire(&mut stage.conn, org, Some("k1"), json!({ "block": 7 })).await.unwrap();
    assert!(first.is_new);
    let event = events::read(&mut stage.conn, first.event_id).await.unwrap();
    let EventBody::TriggerFired { trigger_id: Some(trigger_id), fire_key, input, .. } = event.body else {
        panic!("{event:?}");
    };
    assert_eq!((fire_key.as_str(), input), ("manual-k1", json!({ "from": "file", "block": 7 })));
    let trail = audit::trail(&mut stage.conn, "trigger", trigger_id.0).await.unwrap();
    let last = trail.last().unwrap();
    assert_eq!((last.actor.as_str(), last.action.as_str()), ("ann", "fired"));
    assert_eq!(dispatch::handle_event(&mut stage.conn, first.event_id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_key_is_told_the_first_event_and_another_input_is_a_conflict() {
    let mut stage = Stage::new().await;
    let org = org(&mut stage).await;
    let input = || json!({ "block": 7, "nul": "\u{0}" });
    for job in [false, true] {
        let conn = &mut stage.conn;
        let call = async |conn: &mut PgConnection, key, input| {
            if job { run(conn, org, key, input).await } else { fire(conn, org, key, input).await }
        };
        let first = call(conn, Some("k1"), input()).await.unwrap();
        let again = call(conn, Some("k1"), json!({ "block": 7.0, "nul": "\u{0}" })).await.unwrap();
        assert_eq!(again, FiredByHand { event_id: first.event_id, is_new: false, trace_id: None });
        for other in [json!({}), json!({ "block": 8, "nul": "\u{0}" })] {
            let conflict = call(conn, Some("k1"), other).await.unwrap_err();
            assert_eq!(conflict.code(), "control.idempotency_conflict");
        }
        let others =
            [call(conn, Some("k2"), input()).await, call(conn, None, input()).await, call(conn, None, input()).await];
        for other in others {
            let other = other.unwrap();
            assert!(other.is_new && other.event_id != first.event_id);
        }
        assert_eq!(call(conn, Some("k 1"), input()).await.unwrap_err().code(), "control.bad_idempotency_key");
    }
    assert_eq!(stage.count("SELECT count(*) FROM control.events").await, 8);
}

#[tokio::test]
async fn two_runs_at_the_same_moment_are_one() {
    let mut stage = Stage::new().await;
    let org = org(&mut stage).await;
    let (mut one, mut other) = (stage.connect().await, stage.connect().await);
    // Both stop at the job's row, and go on together.
    let mut holder = stage.connect().await;
    sqlx::raw_sql("BEGIN; SELECT 1 FROM control.jobs WHERE name = 'work' FOR UPDATE")
        .execute(&mut holder)
        .await
        .unwrap();
    let let_go = async {
        until_somebody_waits(&mut stage.conn).await;
        sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    };
    let (first, second, ()) =
        tokio::join!(run(&mut one, org, Some("k"), json!({})), run(&mut other, org, Some("k"), json!({})), let_go);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.event_id, second.event_id);
    assert_ne!(first.is_new, second.is_new);
    assert_eq!(stage.count("SELECT count(*) FROM control.events").await, 1);
    assert_eq!(stage.count("SELECT count(*) FROM control.audit_log WHERE action = 'run' AND actor = 'ann'").await, 1);
}

#[tokio::test]
async fn two_firings_at_the_same_moment_are_one() {
    let mut stage = Stage::new().await;
    let org = org(&mut stage).await;
    let (mut one, mut other) = (stage.connect().await, stage.connect().await);
    let (first, second) =
        tokio::join!(fire(&mut one, org, Some("k"), json!({})), fire(&mut other, org, Some("k"), json!({})));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.event_id, second.event_id);
    assert_ne!(first.is_new, second.is_new);
    assert_eq!(stage.count("SELECT count(*) FROM control.events").await, 1);
}

#[tokio::test]
async fn a_paused_job_is_run_and_waits_a_source_and_an_unknown_name_are_refused() {
    let mut stage = Stage::new().await;
    let org = org(&mut stage).await;
    sqlx::query("UPDATE control.jobs SET paused = true WHERE name = 'work'").execute(&mut stage.conn).await.unwrap();
    let fired = run(&mut stage.conn, org, None, json!({})).await.unwrap();
    assert_eq!(dispatch::handle_event(&mut stage.conn, fired.event_id).await.unwrap().len(), 1);

    let source = run_job(&mut stage.conn, org, "source", None, &json!({}), "ann").await.unwrap_err();
    assert_eq!(source.code(), "control.always_on");
    let job = run_job(&mut stage.conn, org, "wrok", None, &json!({}), "ann").await.unwrap_err();
    assert_eq!(job.to_string(), "there is no active job called \"wrok\"; near it: work");
    let trigger = fire_by_hand(&mut stage.conn, org, "beta\0", None, &json!({}), "ann").await.unwrap_err();
    assert_eq!(trigger.to_string(), "there is no active trigger called \"beta\\0\"; near it: beat");
    stage.apply("{ version: 1, jobs: [] }").await;
    assert_eq!(run(&mut stage.conn, org, None, json!({})).await.unwrap_err().code(), "control.unknown_job");
    assert_eq!(fire(&mut stage.conn, org, None, json!({})).await.unwrap_err().code(), "control.unknown_trigger");
}
