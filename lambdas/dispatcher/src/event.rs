//! The events that the dispatcher accepts; anything else is refused.

use aws_lambda_events::sqs::SqsEvent;
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Value;

/// What starts the dispatcher.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub enum DispatcherEvent {
    /// Wake-ups from `events.fifo`.
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

impl TryFrom<Value> for DispatcherEvent {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Result<DispatcherEvent, serde_json::Error> {
        let path = format!("{}/../../events-fixtures/dispatcher/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap())
    }

    #[test]
    fn every_documented_event_is_accepted() {
        assert_eq!(fixture("sweep").unwrap(), DispatcherEvent::Sweep);
        let DispatcherEvent::Batch(batch) = fixture("sqs_batch").unwrap() else { panic!("no batch") };
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
            assert!(serde_json::from_str::<DispatcherEvent>(event).is_err(), "{event} was accepted");
        }
    }
}
