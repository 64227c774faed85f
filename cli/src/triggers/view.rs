//! Triggers and their firings for people and for programs.

use isotherm_control::jobs::DEFAULT_ORG;
use isotherm_control::triggers::{Firing, Measure, ThresholdConfig, TriggerConfig, TriggerOverview};
use serde_json::{Value, json};

use crate::output::{instant, maybe_instant, say, table};

pub(super) fn print_list(triggers: &[TriggerOverview]) {
    let headings = ["trigger", "kind", "job", "when", "next tick (UTC)", "last firing (UTC)", "outcome", "active"];
    let mut table = table(&headings, &[]);
    for overview in triggers {
        let last = overview.last_firing.as_ref();
        table.add_row([
            overview.trigger.name.clone(),
            overview.trigger.config.kind().to_owned(),
            overview.job.clone(),
            when(overview),
            maybe_instant(overview.next_tick),
            last.map_or_else(String::new, |firing| instant(firing.fired_at)),
            last.map_or_else(String::new, outcome),
            if overview.active { "yes" } else { "no" }.to_owned(),
        ]);
    }
    say!("{table}");
}

/// The schedule with its time zone, the path, or the bound.
fn when(overview: &TriggerOverview) -> String {
    match &overview.trigger.config {
        TriggerConfig::Cron(cron) => format!("{} {}", cron.schedule, cron.timezone),
        TriggerConfig::Webhook(_) => format!("POST {}", webhook_path(overview)),
        TriggerConfig::Threshold(threshold) => bound(threshold),
    }
}

fn webhook_path(overview: &TriggerOverview) -> String {
    format!("/v1/webhooks/{DEFAULT_ORG}/{}", overview.trigger.name)
}

fn bound(threshold: &ThresholdConfig) -> String {
    let ThresholdConfig { chain_id, every, .. } = threshold;
    let dataset = threshold.dataset.map_or_else(String::new, |dataset| format!(" of {dataset}"));
    match threshold.measure {
        Measure::FinalizedBlocks => format!("every {every} finalized blocks of chain {chain_id}"),
        Measure::Blocks => format!("every {every} blocks of chain {chain_id}"),
        Measure::Rows => format!("every {every} rows{dataset} of chain {chain_id}"),
        Measure::Bytes => format!("every {every} bytes{dataset} of chain {chain_id}"),
        Measure::LagSeconds => format!("chain {chain_id} lags more than {every} s"),
    }
}

/// The outcome, and why it led to no event.
fn outcome(firing: &Firing) -> String {
    match &firing.reason {
        Some(reason) => format!("{}: {reason}", firing.outcome),
        None => firing.outcome.clone(),
    }
}

pub(super) fn print_history(firings: &[Firing]) {
    let headings = ["when (UTC)", "scheduled for (UTC)", "key", "outcome", "event", "task", "state"];
    let mut table = table(&headings, &["event", "task"]);
    for firing in firings {
        table.add_row([
            instant(firing.fired_at),
            maybe_instant(firing.scheduled_for),
            firing.fire_key.clone(),
            outcome(firing),
            firing.event_id.map_or_else(String::new, |event_id| event_id.0.to_string()),
            firing.task.map_or_else(String::new, |(task_id, _)| task_id.0.to_string()),
            firing.task.map_or_else(String::new, |(_, state)| state.to_string()),
        ]);
    }
    say!("{table}");
}

pub(super) fn to_json(overview: &TriggerOverview) -> Value {
    let trigger = &overview.trigger;
    let config = match &trigger.config {
        TriggerConfig::Cron(cron) => json!(cron),
        TriggerConfig::Webhook(webhook) => json!(webhook),
        TriggerConfig::Threshold(threshold) => json!(threshold),
    };
    let is_webhook = matches!(trigger.config, TriggerConfig::Webhook(_));
    json!({
        "trigger_id": trigger.id.0, "trigger": trigger.name, "kind": trigger.config.kind(), "job": overview.job,
        "active": overview.active, "config": config, "input": trigger.input, "next_tick": overview.next_tick,
        "next_block": overview.next_block, "path": is_webhook.then(|| webhook_path(overview)),
        "last_firing": overview.last_firing.as_ref().map(firing_json),
    })
}

pub(super) fn firing_json(firing: &Firing) -> Value {
    json!({
        "key": firing.fire_key, "fired_at": firing.fired_at, "scheduled_for": firing.scheduled_for,
        "outcome": firing.outcome, "reason": firing.reason, "event_id": firing.event_id,
        "task": firing.task.map(|(task_id, state)| json!({ "task_id": task_id.0, "state": state.as_str() })),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use isotherm_control::task::TaskState;
    use isotherm_control::triggers::{CronConfig, Trigger, WebhookConfig};
    use isotherm_types::{ChainId, Dataset, EventId, JobId, OrgId, TaskId, TriggerId};

    use super::*;
    use crate::golden;

    fn trigger(name: &str, config: TriggerConfig) -> TriggerOverview {
        let (id, org_id, job_id) = (TriggerId(1), OrgId(1), JobId(1));
        let trigger = Trigger { id, org_id, job_id, name: name.to_owned(), config, input: json!({ "from": "file" }) };
        TriggerOverview {
            trigger,
            job: "work".to_owned(),
            active: true,
            next_tick: None,
            next_block: None,
            last_firing: None,
        }
    }

    fn all() -> Vec<TriggerOverview> {
        let cron = TriggerOverview {
            next_tick: Some("2026-11-26T10:01:00Z".parse().unwrap()),
            last_firing: Some(fired()),
            ..trigger("beat", TriggerConfig::Cron(CronConfig::every("rate(1 minute)")))
        };
        let webhook = WebhookConfig {
            secret: "webhook/hook".to_owned(),
            tolerance_seconds: 300,
            max_body_bytes: 1_000,
            parameters: BTreeMap::from([("range".to_owned(), "/data/range".to_owned())]),
        };
        let rows = ThresholdConfig {
            chain_id: ChainId(143),
            measure: Measure::Rows,
            dataset: Some(Dataset::Logs),
            every: 1_000,
        };
        let blocks = ThresholdConfig { measure: Measure::FinalizedBlocks, dataset: None, every: 100, ..rows.clone() };
        vec![
            cron,
            trigger("hook", TriggerConfig::Webhook(webhook)),
            trigger("rows", TriggerConfig::Threshold(rows)),
            TriggerOverview { next_block: Some(300), ..trigger("full", TriggerConfig::Threshold(blocks)) },
        ]
    }

    fn fired() -> Firing {
        Firing {
            fire_key: "tick-2026-11-26T10:00:00Z".to_owned(),
            fired_at: "2026-11-26T10:00:01Z".parse().unwrap(),
            scheduled_for: Some("2026-11-26T10:00:00Z".parse().unwrap()),
            outcome: "fired".to_owned(),
            reason: None,
            event_id: Some(EventId(4)),
            task: Some((TaskId(7), TaskState::Completed)),
        }
    }

    #[test]
    fn triggers_for_programs_are_the_golden_files() {
        golden::check("triggers_list", &all().iter().map(to_json).collect());
        let skipped = Firing {
            outcome: "skipped".to_owned(),
            reason: Some("task 6 was running".to_owned()),
            event_id: None,
            task: None,
            ..fired()
        };
        golden::check("triggers_history", &[fired(), skipped].iter().map(firing_json).collect());
    }

    #[test]
    fn a_list_says_when_each_kind_fires() {
        let words: Vec<String> = all().iter().map(when).collect();
        let expected = [
            "rate(1 minute) UTC",
            "POST /v1/webhooks/default/hook",
            "every 1000 rows of logs of chain 143",
            "every 100 finalized blocks of chain 143",
        ];
        assert_eq!(words, expected);
    }
}
