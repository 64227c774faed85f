//! What a message of `alerts.fifo` must be about.

use isotherm_types::{BlockRange, ChainId, Classified, Dataset, Disposition, Event, EventBody, EventId, TraceId};

/// What an event has the evaluator do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A turn for a chain.
    Turn(ChainId),
    /// A finding of the platform, to be told by the rules that ask for it.
    Integrity(IntegrityFinding),
}

/// Something that is wrong with cold storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IntegrityFinding {
    pub(crate) chain_id: ChainId,
    pub(crate) dataset: Dataset,
    pub(crate) check_id: i64,
    pub(crate) object_key: String,
    pub(crate) blocks: Option<BlockRange>,
    pub(crate) fault: String,
    /// The cause of the check that found it.
    pub(crate) trace_id: Option<TraceId>,
}

impl Cause {
    /// What `event` is for.
    pub(crate) fn of(event: Event) -> Result<Self, NotForAlerts> {
        let Event { id: event_id, trace_id, body } = event;
        match body {
            EventBody::DatasetAdvanced { chain_id, .. } | EventBody::DatasetInvalidated { chain_id, .. } => {
                Ok(Self::Turn(chain_id))
            }
            EventBody::IntegrityViolated { chain_id, dataset, check_id, object_key, blocks, fault } => {
                let finding = IntegrityFinding { chain_id, dataset, check_id, object_key, blocks, fault, trace_id };
                Ok(Self::Integrity(finding))
            }
            EventBody::PartitionCommitted { .. }
            | EventBody::TriggerFired { .. }
            | EventBody::TaskFailed { .. }
            | EventBody::AlertsRecorded { .. } => Err(NotForAlerts { event_id, kind: body.kind() }),
        }
    }
}

/// An event that rules have nothing to do with; it belongs on another queue.
#[derive(Debug, thiserror::Error)]
#[error("{event_id} ({kind}) is nothing that rules look at")]
pub(crate) struct NotForAlerts {
    event_id: EventId,
    kind: &'static str,
}

impl Classified for NotForAlerts {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "event.not_for_alerts"
    }
}
