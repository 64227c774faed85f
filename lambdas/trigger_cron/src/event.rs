//! The events that the cron trigger accepts; anything else is refused.

use chrono::{DateTime, Utc};
use isotherm_types::TriggerId;
use serde::Deserialize;

/// What EventBridge Scheduler fills with the tick's time.
///
/// Source: Amazon EventBridge Scheduler User Guide, "Adding context attributes".
const PLACEHOLDER: &str = "<aws.scheduler.scheduled-time>";

/// What starts the cron trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Scheduled")]
pub enum CronEvent {
    /// The schedule of one trigger has ticked.
    Tick(TickEvent),
    /// Once a minute: ticks that did not come are looked for. `{"version": 1, "kind": "sweep"}`.
    Sweep,
}

/// One tick: `{"version": 1, "kind": "tick", "trigger_id": 7, "scheduled_time": "2026-11-23T06:38:00Z"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickEvent {
    /// The trigger.
    pub trigger_id: TriggerId,
    /// What the tick was scheduled for.
    pub scheduled_time: ScheduledTime,
}

/// A tick's time, if the scheduler said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ScheduledTime {
    /// It did.
    At(DateTime<Utc>),
    /// It passed the placeholder on as it was, as an emulator may.
    NotFilledIn,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Scheduled {
    Tick { version: u32, trigger_id: TriggerId, scheduled_time: ScheduledTime },
    Sweep { version: u32 },
}

/// An event of a version that this function does not know.
#[derive(Debug, thiserror::Error)]
#[error("version {version} is not known; this function knows 1")]
pub struct UnknownVersion {
    version: u32,
}

impl TryFrom<Scheduled> for CronEvent {
    type Error = UnknownVersion;

    fn try_from(event: Scheduled) -> Result<Self, UnknownVersion> {
        match event {
            Scheduled::Tick { version: 1, trigger_id, scheduled_time } => {
                Ok(Self::Tick(TickEvent { trigger_id, scheduled_time }))
            }
            Scheduled::Sweep { version: 1 } => Ok(Self::Sweep),
            Scheduled::Tick { version, .. } | Scheduled::Sweep { version } => Err(UnknownVersion { version }),
        }
    }
}

impl TryFrom<String> for ScheduledTime {
    type Error = chrono::ParseError;

    fn try_from(text: String) -> Result<Self, chrono::ParseError> {
        if text == PLACEHOLDER { Ok(Self::NotFilledIn) } else { text.parse().map(Self::At) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> CronEvent {
        let path = format!("{}/../../events-fixtures/trigger_cron/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn every_documented_event_is_accepted() {
        let tick = |scheduled_time| CronEvent::Tick(TickEvent { trigger_id: TriggerId(7), scheduled_time });
        assert_eq!(fixture("tick"), tick(ScheduledTime::At("2026-11-23T06:38:00Z".parse().unwrap())));
        assert_eq!(fixture("tick_without_time"), tick(ScheduledTime::NotFilledIn));
        assert_eq!(fixture("sweep"), CronEvent::Sweep);
    }

    #[test]
    fn anything_else_is_refused() {
        for event in [
            "{}",
            r#"{"version":1,"kind":"tick","trigger_id":7}"#,
            r#"{"version":2,"kind":"sweep"}"#,
            r#"{"version":1,"kind":"sweep","trigger_id":7}"#,
            r#"{"kind":"sweep"}"#,
            r#"{"version":2,"kind":"tick","trigger_id":7,"scheduled_time":"2026-11-23T06:38:00Z"}"#,
            r#"{"version":1,"kind":"tock","trigger_id":7,"scheduled_time":"2026-11-23T06:38:00Z"}"#,
            r#"{"version":1,"kind":"tick","trigger_id":7,"scheduled_time":"soon"}"#,
            r#"{"version":1,"kind":"tick","trigger_id":7,"scheduled_time":"2026-11-23T06:38:00Z","x":1}"#,
        ] {
            assert!(serde_json::from_str::<CronEvent>(event).is_err(), "{event} was accepted");
        }
    }
}
