//! Whether an operator stands still: its process lives, its lease is renewed, and nothing comes of it.
//!
//! Only what the operator says counts: `done` grew beyond what it had ever been, or it has looked and waits
//! ([`OperatorLine::Waiting`](isotherm_types::OperatorLine::Waiting)). Another message or total, and the worker's own
//! heartbeats, are no life.

use std::time::Duration;

use tokio::time::Instant;

/// A worker that looks later than this after the end of the span was not there itself, and could not have heard anything.
const LATE: Duration = Duration::from_secs(1);

/// Watches the progress of one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct StallWatch {
    allowed: Option<Duration>,
    most_done: u64,
    moved_at: Instant,
}

impl StallWatch {
    /// Watches from `now` on; never finds a stall if nothing is `allowed`.
    pub(super) fn new(allowed: Option<Duration>, now: Instant) -> Self {
        Self { allowed, most_done: 0, moved_at: now }
    }

    /// Notes that the operator has said how much is done.
    pub(super) fn done(&mut self, done: u64, now: Instant) {
        if done > self.most_done {
            self.most_done = done;
            self.moved_at = now;
        }
    }

    /// Notes that the operator has looked and waits.
    pub(super) fn waits(&mut self, now: Instant) {
        self.moved_at = now;
    }

    /// When it counts as stalled if nothing is heard until then.
    pub(super) fn over_at(&self) -> Option<Instant> {
        self.allowed.map(|allowed| self.moved_at + allowed)
    }

    /// Whether it has stalled as of `now`. If the worker itself was away at the time, the operator has its span anew.
    pub(super) fn is_stalled(&mut self, now: Instant) -> bool {
        match self.over_at() {
            Some(over_at) if now >= over_at + LATE => {
                self.moved_at = now;
                false
            }
            Some(over_at) => now >= over_at,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Duration = Duration::from_secs(10);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn only_growth_and_waiting_are_life() {
        let start = Instant::now();
        // What was heard at second 5, and when the operator counts as stalled then.
        let cases: [(Option<u64>, u64); 5] = [(Some(8), 15), (Some(7), 10), (Some(6), 10), (Some(0), 10), (None, 15)];
        for (heard, over_at) in cases {
            let mut watch = StallWatch::new(Some(ALLOWED), start);
            watch.done(7, start);
            match heard {
                Some(done) => watch.done(done, after(start, 5)),
                None => watch.waits(after(start, 5)),
            }
            assert_eq!(watch.over_at(), Some(after(start, over_at)), "{heard:?}");
        }
    }

    #[test]
    fn going_back_and_up_again_is_no_growth() {
        let start = Instant::now();
        let mut watch = StallWatch::new(Some(ALLOWED), start);
        for (second, done) in [(1, 7), (2, 6), (3, 7), (4, 6), (5, 7)] {
            watch.done(done, after(start, second));
        }
        assert_eq!(watch.over_at(), Some(after(start, 11)));
    }

    #[test]
    fn it_stalls_when_the_span_is_over_unless_the_worker_was_away() {
        let start = Instant::now();
        let mut watch = StallWatch::new(Some(ALLOWED), start);
        assert!(!watch.is_stalled(after(start, 9)));
        assert!(watch.is_stalled(after(start, 10)));
        assert!(!watch.is_stalled(after(start, 12)), "the worker looks two seconds late");
        assert_eq!(watch.over_at(), Some(after(start, 22)));
        assert!(watch.is_stalled(after(start, 22)));
    }

    #[test]
    fn a_job_without_a_span_never_stalls() {
        let start = Instant::now();
        let mut watch = StallWatch::new(None, start);
        assert_eq!(watch.over_at(), None);
        assert!(!watch.is_stalled(after(start, 1_000_000)));
    }
}
