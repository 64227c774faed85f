//! The age of the newest block. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// How old the newest stored block was when somebody looked, both by the database's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipAge {
    /// From the block's timestamp to the look.
    pub age: Duration,
    /// When that was.
    pub observed_at: DateTime<Utc>,
}

/// What is kept of a trigger on a lag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LagState {
    /// Whether the lag was above the bound at the last look.
    pub is_above: bool,
    /// Times that it went above.
    pub crossings: u64,
    /// When the look was made that last changed `is_above`.
    pub changed_at: Option<DateTime<Utc>>,
}

/// What a look changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LagStep {
    /// Nothing.
    Stay,
    /// It went above: fire for this crossing, counted from 1.
    Fire {
        /// Which crossing it is.
        crossing: u64,
    },
    /// It is below again: the next time above is another crossing.
    Rearm,
}

/// Judges one look: above the bound it fires, once; only below the bound it is ready to fire again. A look that is older
/// than the last change tells nothing: evaluators may be late.
pub fn plan(bound: Duration, state: &LagState, tip: &TipAge) -> LagStep {
    if state.changed_at.is_some_and(|changed_at| tip.observed_at < changed_at) {
        return LagStep::Stay;
    }
    match state.is_above {
        false if tip.age > bound => LagStep::Fire { crossing: state.crossings.saturating_add(1) },
        true if tip.age < bound => LagStep::Rearm,
        false | true => LagStep::Stay,
    }
}

/// The key of the firing for one crossing.
pub fn fire_key(crossing: u64) -> String {
    format!("lag-{crossing}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn step(is_above: bool, age: u64, observed_at: i64) -> LagStep {
        let state = LagState { is_above, crossings: 3, changed_at: Some(at(100)) };
        plan(Duration::from_secs(60), &state, &TipAge { age: Duration::from_secs(age), observed_at: at(observed_at) })
    }

    #[test]
    fn above_fires_once_and_only_below_makes_ready() {
        assert_eq!(step(false, 59, 100), LagStep::Stay);
        assert_eq!(step(false, 60, 100), LagStep::Stay);
        assert_eq!(step(false, 61, 100), LagStep::Fire { crossing: 4 });
        assert_eq!(step(true, 61, 100), LagStep::Stay, "above still");
        assert_eq!(step(true, 60, 100), LagStep::Stay, "not below");
        assert_eq!(step(true, 59, 100), LagStep::Rearm);
    }

    #[test]
    fn a_late_look_changes_nothing() {
        assert_eq!(step(false, 900, 99), LagStep::Stay);
        assert_eq!(step(true, 0, 99), LagStep::Stay);
    }

    proptest::proptest! {
        #[test]
        fn every_stretch_above_fires_once(ages in proptest::collection::vec(0u64..120, 1..60)) {
            let bound = Duration::from_secs(60);
            let mut state = LagState::default();
            let (mut expected, mut ready) = (0, true);
            for (second, age) in (0i64..).zip(ages) {
                if ready && age > 60 {
                    (expected, ready) = (expected + 1, false);
                }
                ready = ready || age < 60;
                let observed_at = at(second);
                match plan(bound, &state, &TipAge { age: Duration::from_secs(age), observed_at }) {
                    LagStep::Stay => continue,
                    LagStep::Fire { crossing } => (state.is_above, state.crossings) = (true, crossing),
                    LagStep::Rearm => state.is_above = false,
                }
                state.changed_at = Some(observed_at);
            }
            proptest::prop_assert_eq!(state.crossings, expected);
        }
    }
}
