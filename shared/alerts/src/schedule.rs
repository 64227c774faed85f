//! When a message that did not get through is tried again. Pure: chance is a hash of the delivery and its attempt, so that what is
//! written down and what a test expects are the same.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::deliveries::DeliveryId;

/// The wait before each attempt, counted from the failure of the one before. Source: Standard Webhooks, "Operational
/// considerations", retry schedule.
pub const DELAYS: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];
/// Attempts in all. Whoever replays a delivery gives it one more.
pub const MOST_ATTEMPTS: u32 = 10;
/// Longest wait that a receiver may ask for.
pub const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);
/// Part of a delay that is added by chance at most.
pub const JITTER: f64 = 0.1;

/// The wait after attempt number `attempt` (1 for the first) of `delivery` has failed; `None` if it was the last one.
///
/// A wait that the receiver asked for is kept if it is the longer one, up to [`LONGEST_ASKED`].
pub fn wait_after(delivery: DeliveryId, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
    let delay = *DELAYS.get(usize::try_from(attempt).ok()?)?;
    let wait = delay + delay.mul_f64(JITTER * unit(delivery, attempt));
    Some(asked.map_or(wait, |asked| wait.max(asked.min(LONGEST_ASKED))))
}

/// A number in `0.0..1.0` that only these two decide.
fn unit(delivery: DeliveryId, attempt: u32) -> f64 {
    let digest = Sha256::new().chain_update(delivery.0.as_bytes()).chain_update(attempt.to_be_bytes()).finalize();
    let [first, second, third, fourth, ..] = <[u8; 32]>::from(digest);
    f64::from(u32::from_be_bytes([first, second, third, fourth])) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ID: DeliveryId = DeliveryId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001));

    #[test]
    fn ten_attempts_are_made_over_three_days_and_three_hours() {
        let waits: Vec<_> = (1..=MOST_ATTEMPTS).map(|attempt| wait_after(ID, attempt, None)).collect();
        assert_eq!(waits.iter().flatten().count(), 9);
        assert_eq!(waits.last(), Some(&None));
        assert_eq!(DELAYS.iter().sum::<Duration>(), Duration::from_secs(3 * 86_400 + 3 * 3600 + 35 * 60 + 5));
    }

    #[test]
    fn a_receiver_gets_the_wait_that_it_asks_for_within_bounds() {
        let usual = wait_after(ID, 1, None).unwrap();
        for (asked, expected) in [
            (Duration::ZERO, usual),
            (Duration::from_secs(3600), Duration::from_secs(3600)),
            (Duration::from_secs(86_401), LONGEST_ASKED),
            (Duration::MAX, LONGEST_ASKED),
        ] {
            assert_eq!(wait_after(ID, 1, Some(asked)), Some(expected), "{asked:?}");
        }
        assert_eq!(wait_after(ID, 10, Some(Duration::from_secs(1))), None, "asking gives no further attempt");
    }

    proptest::proptest! {
        #[test]
        fn a_wait_is_its_delay_and_a_tenth_at_most_and_always_the_same(id in proptest::prelude::any::<u128>(), attempt in 1u32..10) {
            let id = DeliveryId(Uuid::from_u128(id));
            let delay = DELAYS[usize::try_from(attempt).unwrap()];
            let wait = wait_after(id, attempt, None).unwrap();
            proptest::prop_assert!(wait >= delay && wait <= delay.mul_f64(1.0 + JITTER));
            proptest::prop_assert_eq!(wait_after(id, attempt, None), Some(wait));
        }
    }

    #[test]
    fn deliveries_that_failed_together_do_not_come_back_together() {
        let waits: std::collections::BTreeSet<_> =
            (0..100).map(|id| wait_after(DeliveryId(Uuid::from_u128(id)), 3, None)).collect();
        assert!(waits.len() > 90, "{}", waits.len());
    }
}
