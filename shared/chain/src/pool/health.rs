//! How the endpoints do, for people.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use isotherm_types::BlockNumber;
use serde::{Deserialize, Serialize};

use super::standing::State;
use crate::rpc_url::CallRate;

/// How an endpoint does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointHealth {
    /// Scheme, host and port.
    pub name: String,
    /// Whether it is asked, and why not.
    pub state: HealthState,
    /// The newest block that it has shown.
    pub last_head: Option<BlockNumber>,
    /// Stable name of its last error.
    pub last_error_code: Option<String>,
    /// Requests sent to it; a batch is one.
    pub requests: u64,
    /// Questions and looks that failed.
    pub failures: u64,
    /// What it permits, as far as that is configured or learnt.
    pub call_rate: Option<CallRate>,
}

/// Whether an endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HealthState {
    /// It is.
    Healthy,
    /// Its newest block is too far behind the best one.
    Lagging {
        /// By so many blocks.
        blocks: u64,
    },
    /// It failed.
    Cooling {
        /// It is left alone until then.
        until: DateTime<Utc>,
    },
    /// It asked to slow down.
    RateLimited {
        /// It is left alone until then.
        until: DateTime<Utc>,
    },
    /// It said something untrue.
    Quarantined {
        /// It is left alone until then, while there is another one.
        until: DateTime<Utc>,
        /// Stable name of what was untrue.
        code: String,
    },
}

impl HealthState {
    /// The state as one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Lagging { .. } => "lagging",
            Self::Cooling { .. } => "cooling",
            Self::RateLimited { .. } => "rate_limited",
            Self::Quarantined { .. } => "quarantined",
        }
    }

    /// The state of an endpoint at `now`, which is `date` on the calendar; `lag_blocks` if it is too far behind.
    pub(super) fn of(state: State, lag_blocks: Option<u64>, now: Instant, date: DateTime<Utc>) -> Self {
        let date_of = |until: Instant| {
            let rest = TimeDelta::from_std(until.saturating_duration_since(now)).unwrap_or(TimeDelta::MAX);
            date.checked_add_signed(rest).unwrap_or(DateTime::<Utc>::MAX_UTC)
        };
        match (state, lag_blocks) {
            (State::Quarantined { code, until, .. }, _) => {
                Self::Quarantined { until: date_of(until), code: code.to_owned() }
            }
            (State::Cooling { until }, _) => Self::Cooling { until: date_of(until) },
            (State::RateLimited { until }, _) if now < until => Self::RateLimited { until: date_of(until) },
            (State::Healthy | State::RateLimited { .. }, Some(blocks)) => Self::Lagging { blocks },
            (State::Healthy | State::RateLimited { .. }, None) => Self::Healthy,
        }
    }
}

impl std::fmt::Display for HealthState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_state_is_told_with_its_reason_and_its_end() {
        let now = Instant::now();
        let until = now + Duration::from_secs(3);
        let date = DateTime::UNIX_EPOCH;
        let end = date + TimeDelta::seconds(3);
        let code = "chain.bad_hash";
        let quarantined = HealthState::Quarantined { until: end, code: code.to_owned() };
        let cases = [
            (State::Healthy, None, HealthState::Healthy),
            (State::Healthy, Some(5), HealthState::Lagging { blocks: 5 }),
            (State::Cooling { until }, Some(5), HealthState::Cooling { until: end }),
            (State::RateLimited { until }, None, HealthState::RateLimited { until: end }),
            (State::RateLimited { until: now }, None, HealthState::Healthy),
            (State::Quarantined { code, since: now, until }, None, quarantined),
        ];
        for (state, lag_blocks, expected) in cases {
            let found = HealthState::of(state, lag_blocks, now, date);
            assert_eq!(found, expected);
            let written = serde_json::to_value(&found).unwrap();
            assert_eq!(written["kind"], found.word());
            assert_eq!(serde_json::from_value::<HealthState>(written).unwrap(), found);
        }
    }
}
