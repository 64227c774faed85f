//! Which tasks an event asks for. Pure.

use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset, Event, EventBody, JobId, TriggerId};
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
    /// The blocks of the event that it is about; all of them if absent.
    pub within: Option<BlockRange>,
}

/// What the keys of bulk tasks begin with.
pub(crate) const BULK_PREFIX: &str = "bulk-";

/// Most tasks that one event makes for one job. A range that has more partitions is split at a multiple of their size.
pub const MOST_PARTITIONS: u64 = 1_000;

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
                within: None,
            })
            .collect(),
        // The same partition announced twice is one task.
        EventBody::PartitionCommitted { chain_id, dataset, blocks, .. } => {
            let partition = format!("partition-{chain_id}-{dataset}");
            about_data(event, jobs, *chain_id, &[*dataset], *blocks, &partition)
        }
        // The same blocks taken back twice are two tasks: the second reorg changed them again.
        EventBody::DatasetInvalidated { chain_id, datasets, blocks, .. } => {
            about_data(event, jobs, *chain_id, datasets, *blocks, &event_key(event))
        }
        // People mend cold storage; no job reads data that are wrong.
        EventBody::IntegrityViolated { .. } => Vec::new(),
        // Told to other queues only.
        EventBody::DatasetAdvanced { .. } | EventBody::TaskFailed { .. } | EventBody::AlertsRecorded { .. } => {
            Vec::new()
        }
    }
}

fn about_data(
    event: &Event,
    jobs: &[Job],
    chain_id: ChainId,
    datasets: &[Dataset],
    blocks: BlockRange,
    partition_prefix: &str,
) -> Vec<Routed> {
    let concerned =
        |job: &&Job| job.active && !job.always_on && datasets.iter().any(|&dataset| job.reads(chain_id, dataset));
    let input = |blocks: BlockRange| json!({ "cause": event.body.kind(), "chain_id": chain_id, "datasets": datasets, "blocks": blocks });
    let tasks = |job: &Job| {
        let routed = |idempotency_key, input, coalesce, within| Routed {
            job_id: job.id,
            idempotency_key,
            input,
            coalesce,
            within,
        };
        match job.strategy {
            Strategy::PerUpdate => vec![routed(event_key(event), input(blocks), false, None)],
            Strategy::PerPartition => partitions(blocks, job.partition_blocks)
                .into_iter()
                .map(|part| {
                    let key = format!("{partition_prefix}-{}-{}", part.start(), part.end());
                    routed(key, input(part), false, Some(part))
                })
                .collect(),
            Strategy::Bulk => {
                vec![routed(format!("{BULK_PREFIX}{}", event_key(event)), json!({ "cause": "bulk" }), true, None)]
            }
        }
    };
    jobs.iter().filter(concerned).flat_map(tasks).collect()
}

/// `blocks`, split at the multiples of `size`; whole if there is no size.
///
/// The parts tile `blocks`. They are at most [`MOST_PARTITIONS`] and one more: where there would be more, the size is a multiple of
/// `size`.
fn partitions(blocks: BlockRange, size: Option<u64>) -> Vec<BlockRange> {
    let Some(size) = size.filter(|&size| size > 0) else { return vec![blocks] };
    let whole = blocks.block_count().div_ceil(size).div_ceil(MOST_PARTITIONS);
    let step = size.saturating_mul(whole.max(1));
    let mut parts = Vec::new();
    let mut start = blocks.start();
    while start < blocks.end() {
        let next = (start.0 / step).saturating_add(1).saturating_mul(step);
        let end = BlockNumber(next).min(blocks.end());
        let Ok(part) = BlockRange::new(start, end) else { break };
        parts.push(part);
        start = end;
    }
    parts
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
        Event { id: EventId(id), trace_id: None, body }
    }

    fn fired(job_id: i64, org_id: i64, trigger_id: Option<i64>) -> Event {
        let body = EventBody::TriggerFired {
            org_id: OrgId(org_id),
            job_id: JobId(job_id),
            trigger_id: trigger_id.map(TriggerId),
            fire_key: "tick-1".to_owned(),
            input: json!({ "x": 1 }),
        };
        Event { id: EventId(9), trace_id: None, body }
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
    fn a_range_is_split_at_the_multiples_of_the_jobs_partition_size() {
        let jobs = [Job { partition_blocks: Some(40), ..job(2, Strategy::PerPartition, &["logs"]) }];
        let routed = route(&committed(7), &jobs);
        let keys: Vec<&str> = routed.iter().map(|task| task.idempotency_key.as_str()).collect();
        let expected = ["partition-143-logs-0-40", "partition-143-logs-40-80", "partition-143-logs-80-100"];
        assert_eq!(keys, expected);
        assert_eq!(routed[2].input["blocks"], json!({ "start": 80, "end": 100 }));
        assert_eq!(routed[2].within, BlockRange::new(BlockNumber(80), BlockNumber(100)).ok());
    }

    #[test]
    fn blocks_taken_back_again_are_another_task_for_each_partition() {
        let body = EventBody::DatasetInvalidated {
            chain_id: ChainId(143),
            datasets: vec![Dataset::Logs, Dataset::Blocks],
            blocks: BlockRange::new(BlockNumber(98), BlockNumber(103)).unwrap(),
            common_ancestor: isotherm_types::BlockRef { number: BlockNumber(97), hash: isotherm_types::B256::ZERO },
        };
        let jobs = [Job { partition_blocks: Some(100), ..job(2, Strategy::PerPartition, &["logs"]) }];
        let keys = |id| -> Vec<String> {
            let routed = route(&Event { id: EventId(id), trace_id: None, body: body.clone() }, &jobs);
            routed.into_iter().map(|task| task.idempotency_key).collect()
        };
        assert_eq!(keys(7), ["event-7-98-100", "event-7-100-103"]);
        assert_eq!(keys(8), ["event-8-98-100", "event-8-100-103"]);
    }

    proptest::proptest! {
        #[test]
        fn partitions_tile_the_range_and_are_few(start in 0u64..10_000, count in 1u64..5_000_000, size in 1u64..20_000) {
            let blocks = BlockRange::new(BlockNumber(start), BlockNumber(start + count)).unwrap();
            let parts = partitions(blocks, Some(size));
            proptest::prop_assert!(parts.len() as u64 <= MOST_PARTITIONS + 1);
            proptest::prop_assert_eq!((parts[0].start(), parts[parts.len() - 1].end()), (blocks.start(), blocks.end()));
            proptest::prop_assert!(parts.windows(2).all(|pair| pair[0].is_followed_by(pair[1])));
            proptest::prop_assert!(parts.windows(2).all(|pair| pair[0].end().0 % size == 0));
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_makes_no_task_for_jobs_that_read_it() {
        let body = EventBody::IntegrityViolated {
            chain_id: ChainId(143),
            dataset: Dataset::Logs,
            check_id: 1,
            object_key: "cold/monad/logs/logs_0000000000_0000000099.parquet".to_owned(),
            blocks: None,
            fault: "object_missing".to_owned(),
        };
        let event = Event { id: EventId(7), trace_id: None, body };
        assert!(route(&event, &[job(1, Strategy::PerUpdate, &["143/logs"])]).is_empty());
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
