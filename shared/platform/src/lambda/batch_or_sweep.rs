//! The event of a function that reads a queue and is also called once a minute.

use aws_lambda_events::sqs::SqsEvent;
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Value;

/// Messages of the function's queue, or `{"version": 1, "kind": "sweep"}`; anything else is refused.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub enum BatchOrSweep {
    /// Wake-ups from the queue.
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

impl TryFrom<Value> for BatchOrSweep {
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

    fn fixture(name: &str) -> Result<BatchOrSweep, serde_json::Error> {
        let path = format!("{}/../../events-fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap())
    }

    #[test]
    fn every_documented_event_is_accepted() {
        for function in ["dispatcher", "trigger_threshold", "alert_evaluate", "alert_deliver"] {
            assert_eq!(fixture(&format!("{function}/sweep")).unwrap(), BatchOrSweep::Sweep);
            let batch = fixture(&format!("{function}/sqs_batch")).unwrap();
            assert!(matches!(batch, BatchOrSweep::Batch(batch) if batch.records.len() == 2), "{function}");
        }
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
            assert!(serde_json::from_str::<BatchOrSweep>(event).is_err(), "{event} was accepted");
        }
    }
}
