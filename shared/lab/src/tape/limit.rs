//! A limit on the calls that a server takes, by its own clock, and what it did.

use std::time::{Duration, Instant};

/// No window, wherever it begins, has more calls; a request that would bring more is refused whole, with HTTP 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimit {
    /// Calls; a batch has as many as it has entries.
    pub calls: usize,
    /// The window.
    pub window: Duration,
    /// What a refusal asks for, if anything.
    pub retry_after_seconds: Option<u64>,
}

/// What a limit has let through and what it has refused.
#[derive(Clone, Debug, Default)]
pub struct LimitLog {
    /// When a request was taken, and its calls.
    pub accepted: Vec<(Instant, usize)>,
    /// When a request was refused.
    pub refused: Vec<Instant>,
}

impl LimitLog {
    /// Calls taken after `from` and until `to`.
    pub fn accepted_between(&self, from: Instant, to: Instant) -> usize {
        self.accepted.iter().filter(|(at, _)| from < *at && *at <= to).map(|(_, calls)| calls).sum()
    }
}

/// A limit at work.
#[derive(Debug)]
pub(super) struct Limiter {
    pub(super) limit: CallLimit,
    pub(super) log: LimitLog,
}

impl Limiter {
    pub(super) fn new(limit: CallLimit) -> Self {
        Self { limit, log: LimitLog::default() }
    }

    /// Whether a request of so many calls is taken at `now`.
    pub(super) fn takes(&mut self, now: Instant, calls: usize) -> bool {
        let recent = self.log.accepted.iter().rev().take_while(|(at, _)| *at + self.limit.window > now);
        let is_within = recent.map(|(_, calls)| calls).sum::<usize>() + calls <= self.limit.calls;
        if is_within {
            self.log.accepted.push((now, calls));
        } else {
            self.log.refused.push(now);
        }
        is_within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_has_more_calls_than_the_limit() {
        let start = Instant::now();
        let limit = CallLimit { calls: 5, window: Duration::from_secs(1), retry_after_seconds: None };
        let mut limiter = Limiter::new(limit);
        let cases = [(0, 3, true), (100, 3, false), (200, 2, true), (999, 1, false), (1000, 3, true), (1100, 1, false)];
        for (ms, calls, expected) in cases {
            assert_eq!(limiter.takes(start + Duration::from_millis(ms), calls), expected, "after {ms} ms");
        }
        assert_eq!((limiter.log.accepted.len(), limiter.log.refused.len()), (3, 3));
        assert_eq!(limiter.log.accepted_between(start, start + Duration::from_millis(1000)), 5);
    }
}
