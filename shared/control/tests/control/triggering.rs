//! Firings: once for each key, together with their event, and in ranges that tile.

use isotherm_control::threshold::{self, Facts};
use isotherm_control::triggers::{self, Fired, Trigger};
use isotherm_control::{dispatch, events};
use isotherm_types::{BlockNumber, ChainId, EventBody};

use crate::stage::{JOBS, Stage};

async fn trigger(stage: &mut Stage, kind: &str) -> Trigger {
    triggers::active(&mut stage.conn, kind).await.unwrap().remove(0)
}

fn facts(first: u64, finalized: u64) -> Facts {
    let number = |value| Some(BlockNumber(value));
    Facts {
        chain_id: ChainId(143),
        first_block: number(first),
        tip: number(finalized + 3),
        finalized: number(finalized),
        tip_age: None,
    }
}

async fn crossed(stage: &mut Stage, facts: Facts) -> Vec<String> {
    let crossed = threshold::evaluate(&mut stage.conn, &facts).await.unwrap();
    crossed.into_iter().map(|firing| firing.fire_key).collect()
}

#[tokio::test]
async fn one_key_fires_once_and_leads_to_one_task() {
    let mut stage = Stage::new().await;
    let beat = trigger(&mut stage, "cron").await;
    let addition = serde_json::json!({ "scheduled_time": "2026-11-23T06:38:00Z" });
    let Fired::Now(fired) = triggers::fire(&mut stage.conn, &beat, "tick-1", &addition).await.unwrap() else {
        panic!("did not fire");
    };
    let event_id = fired.event_id;
    assert_eq!(triggers::fire(&mut stage.conn, &beat, "tick-1", &addition).await.unwrap(), Fired::Already);
    assert_eq!(stage.count("SELECT count(*) FROM control.events").await, 1);
    assert_eq!(stage.count("SELECT count(*) FROM control.outbox").await, 1);
    let EventBody::TriggerFired { input, .. } = events::read(&mut stage.conn, event_id).await.unwrap().body else {
        panic!("another event");
    };
    assert_eq!(input, serde_json::json!({ "from": "file", "scheduled_time": "2026-11-23T06:38:00Z" }));

    assert_eq!(dispatch::handle_event(&mut stage.conn, event_id).await.unwrap().len(), 1);
    assert_eq!(dispatch::handle_event(&mut stage.conn, event_id).await.unwrap().len(), 0, "a second delivery");
    assert_eq!(stage.count("SELECT count(*) FROM control.tasks").await, 1);
}

#[tokio::test]
async fn a_threshold_fires_each_range_once_over_restarts() {
    let mut stage = Stage::new().await;
    assert_eq!(crossed(&mut stage, facts(37, 98)).await, Vec::<String>::new());
    assert_eq!(crossed(&mut stage, facts(37, 250)).await, ["blocks-143-37-100", "blocks-143-100-200"]);
    assert_eq!(crossed(&mut stage, facts(37, 250)).await, Vec::<String>::new());
    assert_eq!(crossed(&mut stage, facts(37, 299)).await, ["blocks-143-200-300"]);
    let elsewhere = Facts { chain_id: ChainId(1), ..facts(0, 900) };
    assert_eq!(crossed(&mut stage, elsewhere).await, Vec::<String>::new());
    // Its memory lost, the keys of its firings still hold it back.
    sqlx::query("UPDATE control.triggers SET next_block = NULL").execute(&mut stage.conn).await.unwrap();
    assert_eq!(crossed(&mut stage, facts(37, 299)).await, Vec::<String>::new());
    assert_eq!(stage.count("SELECT count(*) FROM control.events").await, 3);
    assert_eq!(stage.count("SELECT count(*) FROM control.trigger_fires").await, 3);
}

#[tokio::test]
async fn a_threshold_of_another_chain_starts_over_and_a_gone_one_is_silent() {
    let mut stage = Stage::new().await;
    assert_eq!(crossed(&mut stage, facts(0, 150)).await, ["blocks-143-0-100"]);
    stage.apply(&JOBS.replace("chain_id: 143", "chain_id: 144")).await;
    // The same numbers are other blocks there.
    let other = Facts { chain_id: ChainId(144), ..facts(0, 250) };
    assert_eq!(crossed(&mut stage, other).await, ["blocks-144-0-100", "blocks-144-100-200"]);
    stage.apply("{ version: 1, jobs: [] }").await;
    assert_eq!(crossed(&mut stage, Facts { chain_id: ChainId(144), ..facts(500, 950) }).await, Vec::<String>::new());
}

#[tokio::test]
async fn only_an_active_webhook_of_that_organisation_is_found_by_its_name() {
    let mut stage = Stage::new().await;
    let hook = "  - { name: hook, job: work, webhook: { secret: isotherm/webhook/hook } }";
    stage.apply(&format!("{}\n{hook}\n", JOBS.trim_end())).await;
    let found = async |stage: &mut Stage, org: &str, name: &str| {
        triggers::webhook(&mut stage.conn, org, name).await.unwrap().map(|trigger| trigger.name)
    };
    assert_eq!(found(&mut stage, "default", "hook").await.as_deref(), Some("hook"));
    assert_eq!(found(&mut stage, "default", "beat").await, None, "a cron trigger");
    assert_eq!(found(&mut stage, "nobody", "hook").await, None, "of another organisation");
    stage.apply(JOBS).await;
    assert_eq!(found(&mut stage, "default", "hook").await, None, "inactive");
}
