//! How long the worker may believe that a task is its own.
//!
//! Postgres decides leases by its clock. The worker keeps a copy by its own monotonic clock that is always the shorter
//! one: it counts from before the question was sent, and ends a sixth early, so that the operator is dead before
//! anybody else may claim the task.

use std::time::{Duration, Instant};

use crate::database::PATIENCE;

/// Least time between two heartbeats.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);

/// The worker's own copy of a lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    length: Duration,
    asked_at: Instant,
}

impl Lease {
    /// A lease of `length` that was asked for at `asked_at`.
    pub(super) fn new(length: Duration, asked_at: Instant) -> Self {
        Self { length, asked_at }
    }

    /// What each heartbeat asks for.
    pub(super) fn length(self) -> Duration {
        self.length
    }

    /// Notes that a heartbeat sent at `asked_at` was granted.
    pub(super) fn extend(&mut self, asked_at: Instant) {
        self.asked_at = asked_at;
    }

    /// When the next heartbeat is to be sent: a third into the lease, not sooner than every 200 ms.
    pub(super) fn heartbeat_due(self) -> Instant {
        self.asked_at + (self.length / 3).max(SHORTEST_INTERVAL).min(self.length / 2)
    }

    /// How long to wait for one heartbeat's answer, and before asking again: at least two more fit before the lease is over.
    /// No longer than for any answer, however long the lease is: the next one goes over another connection.
    pub(super) fn patience(self) -> Duration {
        (self.length / 6).min(PATIENCE)
    }

    /// When the worker must have stopped the operator.
    pub(super) fn over_at(self) -> Instant {
        self.asked_at + self.length - self.length / 6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn the_worker_gives_up_before_the_database_does(length_ms in 1u64..100_000, answer_ms in 0u64..5_000) {
            let asked_at = Instant::now();
            let length = Duration::from_millis(length_ms);
            let lease = Lease::new(length, asked_at);
            // The database counts from some instant between question and answer.
            let by_the_database = asked_at + Duration::from_millis(answer_ms) + length;
            proptest::prop_assert!(lease.over_at() < by_the_database);
            proptest::prop_assert!(lease.heartbeat_due() <= lease.over_at());
        }
    }

    #[test]
    fn a_heartbeat_is_waited_for_a_sixth_of_the_lease_but_no_longer_than_for_any_answer() {
        let patience = |seconds| Lease::new(Duration::from_secs(seconds), Instant::now()).patience();
        assert_eq!(patience(6), Duration::from_secs(1));
        assert_eq!([patience(60), patience(24 * 3600)], [PATIENCE; 2]);
    }

    #[test]
    fn a_granted_heartbeat_moves_both_instants() {
        let start = Instant::now();
        let mut lease = Lease::new(Duration::from_secs(6), start);
        assert_eq!(lease.heartbeat_due(), start + Duration::from_secs(2));
        assert_eq!(lease.over_at(), start + Duration::from_secs(5));
        lease.extend(start + Duration::from_secs(2));
        assert_eq!(lease.over_at(), start + Duration::from_secs(7));
    }
}
