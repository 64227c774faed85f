//! The events that the threshold trigger accepts; anything else is refused.

use aws_lambda_events::sqs::SqsEvent;
use isotherm_types::{Classified, Disposition, EventId};
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Value;

/// What starts the threshold trigger.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub enum ThresholdEvent {
    /// Wake-ups from `thresholds.fifo`.
    Batch(SqsEvent),
    /// Once a minute, from the scheduler.
    Sweep,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scheduled {
    version: u32,
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Sweep,
}

impl TryFrom<Value> for ThresholdEvent {
    type Error = serde_json::Error;

    fn try_from(event: Value) -> Result<Self, serde_json::Error> {
        if event.get("Records").is_some() {
            return serde_json::from_value(event).map(Self::Batch);
        }
        let Scheduled { version, kind } = serde_json::from_value(event)?;
        match (version, kind) {
            (1, Kind::Sweep) => Ok(Self::Sweep),
            (other, _) => {
                Err(serde_json::Error::custom(format!("version {other} is not known; this function knows 1")))
            }
        }
    }
}

/// An event that tells nothing about a chain; it belongs on another queue.
#[derive(Debug, thiserror::Error)]
#[error("{event_id} is not about a chain")]
pub(crate) struct NotAboutAChain {
    /// The event.
    pub(crate) event_id: EventId,
}

impl Classified for NotAboutAChain {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "event.not_about_a_chain"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Result<ThresholdEvent, serde_json::Error> {
        let path = format!("{}/../../events-fixtures/trigger_threshold/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap())
    }

    #[test]
    fn every_documented_event_is_accepted() {
        assert_eq!(fixture("sweep").unwrap(), ThresholdEvent::Sweep);
        let ThresholdEvent::Batch(batch) = fixture("sqs_batch").unwrap() else { panic!("no batch") };
        assert_eq!(batch.records.len(), 2);
    }

    #[test]
    fn anything_else_is_refused() {
        for event in [
            "{}",
            "[]",
            "null",
            r#"{"version":1}"#,
            r#"{"version":2,"kind":"sweep"}"#,
            r#"{"version":1,"kind":"reap"}"#,
            r#"{"version":1,"kind":"sweep","x":1}"#,
            r#"{"Records":7}"#,
        ] {
            assert!(serde_json::from_str::<ThresholdEvent>(event).is_err(), "{event} was accepted");
        }
    }
}
