//! Which tasks an event asks for. Pure.

use isotherm_types::{ChainId, Dataset, Event, EventBody, JobId, TriggerId};
use serde_json::{Value, json};

use crate::jobs::{Job, Strategy};

/// A task that an event asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    /// The job.
    pub job_id: JobId,
    /// Names the task within the job: the same for every delivery of the event.
    pub idempotency_key: String,
    /// What it is about.
    pub input: Value,
    /// Whether a bulk task that waits already makes this one needless.
    pub coalesce: bool,
}

/// The tasks that `event` asks for, given the jobs that it may concern. Inactive jobs get none.
///
/// An event about data never fires a source; a source reads the chain.
pub fn route(event: &Event, jobs: &[Job]) -> Vec<Routed> {
    match &event.body {
        EventBody::TriggerFired { org_id, job_id, trigger_id, fire_key, input } => jobs
            .iter()
            .filter(|job| job.active && job.id == *job_id && job.org_id == *org_id)
            .map(|job| Routed {
                job_id: job.id,
                idempotency_key: firing_key(*trigger_id, fire_key),
                input: input.clone(),
                coalesce: false,
            })
            .collect(),
        EventBody::PartitionCommitted { chain_id, dataset, blocks, .. } => {
            let partition = format!("partition-{chain_id}-{dataset}-{}-{}", blocks.start(), blocks.end());
            let input =
                json!({ "cause": event.body.kind(), "chain_id": chain_id, "datasets": [dataset], "blocks": blocks });
            about_data(event, jobs, *chain_id, &[*dataset], &partition, &input)
        }
        EventBody::DatasetInvalidated { chain_id, datasets, blocks, .. } => {
            let input =
                json!({ "cause": event.body.kind(), "chain_id": chain_id, "datasets": datasets, "blocks": blocks });
            about_data(event, jobs, *chain_id, datasets, &event_key(event), &input)
        }
        // Told to `thresholds` or `dead_letters` only.
        EventBody::DatasetAdvanced { .. } | EventBody::TaskFailed { .. } => Vec::new(),
    }
}

fn about_data(
    event: &Event,
    jobs: &[Job],
    chain_id: ChainId,
    datasets: &[Dataset],
    partition_key: &str,
    input: &Value,
) -> Vec<Routed> {
    let concerned =
        |job: &&Job| job.active && !job.always_on && datasets.iter().any(|&dataset| job.reads(chain_id, dataset));
    let task = |job: &Job| {
        let (idempotency_key, input, coalesce) = match job.strategy {
            Strategy::PerUpdate => (event_key(event), input.clone(), false),
            Strategy::PerPartition => (partition_key.to_owned(), input.clone(), false),
            Strategy::Bulk => (format!("bulk-{}", event_key(event)), json!({ "cause": "bulk" }), true),
        };
        Routed { job_id: job.id, idempotency_key, input, coalesce }
    };
    jobs.iter().filter(concerned).map(task).collect()
}

fn event_key(event: &Event) -> String {
    format!("event-{}", event.id.0)
}

/// The key of the task that a firing asks for; `None` is a person.
pub(crate) fn firing_key(trigger_id: Option<TriggerId>, fire_key: &str) -> String {
    match trigger_id {
        Some(trigger_id) => format!("{}{fire_key}", firing_key_prefix(trigger_id)),
        None => format!("manual-{fire_key}"),
    }
}

/// What the keys of all tasks of a trigger begin with, and those of no other.
pub(crate) fn firing_key_prefix(trigger_id: TriggerId) -> String {
    format!("trigger-{}-", trigger_id.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use isotherm_types::{BlockNumber, BlockRange, EventId, OrgId};

    use super::*;
    use crate::jobs::Runtime;

    fn job(id: i64, strategy: Strategy, reads: &[&str]) -> Job {
        Job {
            id: JobId(id),
            org_id: OrgId(1),
            name: format!("job-{id}"),
            operator: "noop".to_owned(),
            runtime: Runtime::Fargate,
            strategy,
            always_on: false,
            config: json!({}),
            secrets: BTreeMap::new(),
            input_datasets: reads.iter().map(|name| name.parse().unwrap()).collect(),
            output_datasets: Vec::new(),
            max_attempts: 3,
            max_concurrency: 1,
            heartbeat_timeout: Duration::from_secs(10),
            run_timeout: None,
            stall_timeout: None,
            priority: 0,
            partition_blocks: None,
            active: true,
            paused: false,
        }
    }

    fn committed(id: i64) -> Event {
        let body = EventBody::PartitionCommitted {
            chain_id: ChainId(143),
            dataset: Dataset::Logs,
            blocks: BlockRange::new(BlockNumber(0), BlockNumber(100)).unwrap(),
            manifest_version: 1,
        };
        Event { id: EventId(id), body }
    }

    fn fired(job_id: i64, org_id: i64, trigger_id: Option<i64>) -> Event {
        let body = EventBody::TriggerFired {
            org_id: OrgId(org_id),
            job_id: JobId(job_id),
            trigger_id: trigger_id.map(TriggerId),
            fire_key: "tick-1".to_owned(),
            input: json!({ "x": 1 }),
        };
        Event { id: EventId(9), body }
    }

    #[test]
    fn an_event_reaches_the_jobs_that_read_its_dataset() {
        let jobs = [
            job(1, Strategy::PerUpdate, &["logs"]),
            job(2, Strategy::PerPartition, &["143/logs"]),
            job(3, Strategy::PerPartition, &["144/logs", "143/blocks"]),
            job(4, Strategy::Bulk, &["143/logs", "143/blocks"]),
            Job { active: false, ..job(5, Strategy::PerUpdate, &["logs"]) },
            Job { always_on: true, ..job(6, Strategy::PerUpdate, &["logs"]) },
        ];
        let routed = route(&committed(7), &jobs);
        let keys: Vec<(i64, &str)> = routed.iter().map(|task| (task.job_id.0, task.idempotency_key.as_str())).collect();
        assert_eq!(keys, [(1, "event-7"), (2, "partition-143-logs-0-100"), (4, "bulk-event-7")]);
    }

    #[test]
    fn a_partition_announced_twice_is_one_task_for_a_per_partition_job() {
        let jobs = [job(2, Strategy::PerPartition, &["logs"])];
        assert_eq!(route(&committed(7), &jobs), route(&committed(8), &jobs));
    }

    #[test]
    fn a_firing_is_named_by_its_trigger_or_as_made_by_hand() {
        let jobs = [job(2, Strategy::PerUpdate, &[])];
        assert_eq!(route(&fired(2, 1, Some(5)), &jobs)[0].idempotency_key, "trigger-5-tick-1");
        assert_eq!(route(&fired(2, 1, None), &jobs)[0].idempotency_key, "manual-tick-1");
    }

    #[test]
    fn a_firing_reaches_no_job_of_another_org_and_no_inactive_job() {
        let jobs = [job(2, Strategy::PerUpdate, &[])];
        assert!(route(&fired(2, 77, Some(5)), &jobs).is_empty());
        let gone = [Job { active: false, ..job(2, Strategy::PerUpdate, &[]) }];
        assert!(route(&fired(2, 1, Some(5)), &gone).is_empty());
    }
}
