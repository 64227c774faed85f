//! How long a task waits before it is tried again. Pure: chance comes in as a number.

use std::time::Duration;

use isotherm_types::Disposition;

/// Longest wait after the first failure.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait after any failure.
pub const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Longest wait that an error may ask for.
pub const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// The wait after `failures` failures in a row (1 for the first), between half and all of an exponentially growing span.
///
/// `unit` is a random number in `0.0..1.0`, so that tasks that failed together do not come back together.
pub fn wait_after(failures: u32, unit: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let span = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    span.mul_f64(0.5 + 0.5 * unit.clamp(0.0, 1.0))
}

/// The wait that an error asks for, at most [`LONGEST_ASKED`] and never less than [`wait_after`].
pub fn wait_for(disposition: Disposition, failures: u32, unit: f64) -> Duration {
    match disposition {
        Disposition::RetryAfter(asked) => asked.min(LONGEST_ASKED).max(wait_after(failures, unit)),
        Disposition::Retry | Disposition::GiveUp => wait_after(failures, unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_names_a_wait_gets_it_within_bounds() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        for (asked, failures, expected) in [
            (700 * second, 1, 700 * second),
            (hour, 1, hour),
            (hour + second, 1, hour),
            (Duration::MAX, 200, hour),
            (Duration::ZERO, 3, wait_after(3, 0.3)),
            (Duration::ZERO, 200, wait_after(200, 0.3)),
        ] {
            assert_eq!(wait_for(Disposition::RetryAfter(asked), failures, 0.3), expected, "{asked:?} after {failures}");
        }
    }

    proptest::proptest! {
        #[test]
        fn waits_grow_and_stay_within_bounds(failures in 1u32..200, unit in 0.0f64..1.0) {
            let wait = wait_after(failures, unit);
            proptest::prop_assert!(wait >= FIRST_WAIT / 2 && wait <= LONGEST_WAIT);
            proptest::prop_assert!(wait_after(failures + 1, 0.0) >= wait_after(failures, 0.0));
        }
    }
}
