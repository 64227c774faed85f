//! What happened to data, and who is told.
//!
//! An event is a row; a queue message is a wake-up that holds only the row's id. Formats are versioned, and every
//! version ever written stays readable: samples are kept in `events-fixtures/`.

use serde::{Deserialize, Serialize};

use crate::block::{BlockRange, BlockRef, ChainId};
use crate::dataset::Dataset;
use crate::ids::{EventId, Fence, JobId, OrgId, TaskId, TriggerId};
use crate::trace::TraceId;

/// A row of `control.events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its row.
    pub id: EventId,
    /// The cause that it follows from; absent of events from before there were traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened. Stored as JSON, told apart by `kind`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EventBody {
    /// New canonical blocks are in hot storage.
    DatasetAdvanced {
        /// Their chain.
        chain_id: ChainId,
        /// The datasets that have their rows.
        datasets: Vec<Dataset>,
        /// The new blocks.
        blocks: BlockRange,
        /// The last of them.
        tip: BlockRef,
    },
    /// A reorg took blocks back; the new ones follow as `dataset_advanced`.
    DatasetInvalidated {
        /// Their chain.
        chain_id: ChainId,
        /// The datasets that lost their rows.
        datasets: Vec<Dataset>,
        /// The blocks taken back, by their numbers.
        blocks: BlockRange,
        /// The highest block that both branches share.
        common_ancestor: BlockRef,
    },
    /// A partition of a dataset is in cold storage.
    PartitionCommitted {
        /// Its chain.
        chain_id: ChainId,
        /// Its dataset.
        dataset: Dataset,
        /// Its blocks.
        blocks: BlockRange,
        /// Version of the manifest that first lists it.
        manifest_version: u64,
    },
    /// A check found something wrong with cold storage that was not known.
    IntegrityViolated {
        /// Its chain.
        chain_id: ChainId,
        /// Its dataset.
        dataset: Dataset,
        /// Row of `cold.integrity_checks`.
        check_id: i64,
        /// Key of the file or manifest.
        object_key: String,
        /// The blocks that it concerns; absent if it is not about blocks.
        blocks: Option<BlockRange>,
        /// Stable name of what is wrong.
        fault: String,
    },
    /// A trigger asks for a task.
    TriggerFired {
        /// Whose job it is.
        org_id: OrgId,
        /// The job that is to run.
        job_id: JobId,
        /// The trigger; absent when a person fired the job by hand.
        trigger_id: Option<TriggerId>,
        /// Names this one firing; a second event with the same key makes no second task.
        fire_key: String,
        /// Given to the task as its input.
        input: serde_json::Value,
    },
    /// A task failed for good: no attempt is left, or its error says that trying again is no use.
    TaskFailed {
        /// Whose task it is.
        org_id: OrgId,
        /// Its job.
        job_id: JobId,
        /// The task.
        task_id: TaskId,
        /// Its last claim.
        fence: Fence,
        /// Stable name of the last error.
        code: String,
    },
    /// Messages about alerts wait to be sent.
    AlertsRecorded {
        /// Whose they are.
        org_id: OrgId,
        /// The chain that they are about; absent if they are about none.
        chain_id: Option<ChainId>,
    },
}

impl EventBody {
    /// The `kind` it is stored under.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DatasetAdvanced { .. } => "dataset_advanced",
            Self::DatasetInvalidated { .. } => "dataset_invalidated",
            Self::PartitionCommitted { .. } => "partition_committed",
            Self::IntegrityViolated { .. } => "integrity_violated",
            Self::TriggerFired { .. } => "trigger_fired",
            Self::TaskFailed { .. } => "task_failed",
            Self::AlertsRecorded { .. } => "alerts_recorded",
        }
    }

    /// The queues whose readers are told.
    pub fn queues(&self) -> &'static [Queue] {
        match self {
            Self::DatasetAdvanced { .. } => &[Queue::Thresholds, Queue::Alerts],
            Self::DatasetInvalidated { .. } => &[Queue::Thresholds, Queue::Events, Queue::Alerts],
            Self::IntegrityViolated { .. } => &[Queue::Events, Queue::Alerts],
            Self::PartitionCommitted { .. } | Self::TriggerFired { .. } => &[Queue::Events],
            Self::TaskFailed { .. } => &[Queue::DeadLetters],
            Self::AlertsRecorded { .. } => &[Queue::Deliveries],
        }
    }

    /// The organisation that it belongs to; `None` for what happens to a chain, which belongs to all.
    pub fn org_id(&self) -> Option<OrgId> {
        match self {
            Self::DatasetAdvanced { .. }
            | Self::DatasetInvalidated { .. }
            | Self::PartitionCommitted { .. }
            | Self::IntegrityViolated { .. } => None,
            Self::TriggerFired { org_id, .. }
            | Self::TaskFailed { org_id, .. }
            | Self::AlertsRecorded { org_id, .. } => Some(*org_id),
        }
    }

    /// SQS message group: events of one group are handled in order.
    ///
    /// What moves all datasets of a chain at once is a group by chain; what concerns one of them is a group of its own, so
    /// that a dataset that fails holds no other back.
    pub fn message_group(&self) -> String {
        match self {
            Self::DatasetAdvanced { chain_id, .. } | Self::DatasetInvalidated { chain_id, .. } => {
                format!("chain-{chain_id}")
            }
            Self::PartitionCommitted { chain_id, dataset, .. } | Self::IntegrityViolated { chain_id, dataset, .. } => {
                format!("chain-{chain_id}-{dataset}")
            }
            Self::TriggerFired { org_id, job_id, .. } | Self::TaskFailed { org_id, job_id, .. } => {
                format!("org-{}-job-{}", org_id.0, job_id.0)
            }
            Self::AlertsRecorded { org_id, .. } => format!("org-{}-deliveries", org_id.0),
        }
    }
}

/// A queue that carries events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Queue {
    /// Read by `dispatcher`.
    Events,
    /// Read by `trigger_threshold`.
    Thresholds,
    /// Read by people: tasks that failed for good.
    DeadLetters,
    /// Read by `alert_evaluate`.
    Alerts,
    /// Read by `alert_deliver`.
    Deliveries,
}

impl Queue {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Events, Self::Thresholds, Self::DeadLetters, Self::Alerts, Self::Deliveries];

    /// Its key in `terraform/stack.yaml` and in `control.outbox`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Thresholds => "thresholds",
            Self::DeadLetters => "dead_letters",
            Self::Alerts => "alerts",
            Self::Deliveries => "deliveries",
        }
    }
}

/// Version of the wake-up messages that this program writes.
pub const WAKE_VERSION: u32 = 1;

/// Body of a message on `events.fifo`, `thresholds.fifo`, `dead_letters.fifo`, `alerts.fifo` and `deliveries.fifo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventWake {
    /// Format of this message; [`WAKE_VERSION`].
    pub version: u32,
    /// The event to read.
    pub event_id: EventId,
}

/// Body of a message on `tasks-<operator>.fifo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskWake {
    /// Format of this message; [`WAKE_VERSION`].
    pub version: u32,
    /// The task to claim.
    pub task_id: TaskId,
    /// Its fence when the message was written; a task claimed since has a higher one.
    pub fence: Fence,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_apart_by_its_kind() {
        let text = r#"{"id":7,"kind":"partition_committed","chain_id":143,"dataset":"logs",
                       "blocks":{"start":0,"end":100},"manifest_version":3}"#;
        let event: Event = serde_json::from_str(text).unwrap();
        assert_eq!(event.id, EventId(7));
        assert_eq!(event.body.kind(), "partition_committed");
        assert_eq!(event.body.message_group(), "chain-143-logs");
        let again = serde_json::to_value(&event).unwrap();
        assert_eq!(again["kind"], event.body.kind());
        assert_eq!((event.trace_id, again.get("trace_id")), (None, None), "as it was before there were traces");
    }

    #[test]
    fn an_event_may_name_the_cause_that_it_follows_from() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let text = format!(r#"{{"id":7,"trace_id":"{trace}","kind":"alerts_recorded","org_id":3,"chain_id":null}}"#);
        let event: Event = serde_json::from_str(&text).unwrap();
        assert_eq!(event.trace_id, Some(trace.parse().unwrap()));
        assert_eq!(serde_json::to_value(&event).unwrap()["trace_id"], trace);
    }

    #[test]
    fn a_fault_of_cold_storage_is_told_with_or_without_blocks() {
        let read = |blocks: &str| {
            let start = r#"{"id":7,"kind":"integrity_violated","chain_id":143,"dataset":"logs","check_id":1,"#;
            let end = r#""object_key":"cold/monad/logs/x","fault":"object_missing"}"#;
            serde_json::from_str::<Event>(&format!(r#"{start}"blocks":{blocks},{end}"#)).unwrap()
        };
        let about_blocks = read(r#"{"start":0,"end":100}"#);
        assert_ne!(about_blocks, read("null"));
        assert_eq!((about_blocks.body.kind(), about_blocks.body.org_id()), ("integrity_violated", None));
        assert_eq!(about_blocks.body.queues(), [Queue::Events, Queue::Alerts]);
        assert_eq!(about_blocks.body.message_group(), "chain-143-logs");
    }

    #[test]
    fn alerts_are_told_to_their_senders_one_group_an_organisation() {
        let read = |chain: &str| {
            let text = format!(r#"{{"id":7,"kind":"alerts_recorded","org_id":3,"chain_id":{chain}}}"#);
            serde_json::from_str::<Event>(&text).unwrap().body
        };
        assert_ne!(read("143"), read("null"));
        for body in [read("143"), read("null")] {
            assert_eq!((body.kind(), body.org_id()), ("alerts_recorded", Some(OrgId(3))));
            assert_eq!(body.queues(), [Queue::Deliveries]);
            assert_eq!(body.message_group(), "org-3-deliveries");
        }
    }

    #[test]
    fn an_unknown_field_in_a_wake_up_is_refused() {
        assert!(serde_json::from_str::<EventWake>(r#"{"version":1,"event_id":1,"x":0}"#).is_err());
    }
}
