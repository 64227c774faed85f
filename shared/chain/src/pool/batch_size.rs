//! How many calls an endpoint takes in one batch. Pure.
//!
//! Halved by a refusal, and raised again by half after a run of batches that were taken whole: what was too large once,
//! as the answer to a few crowded blocks is, need not be so for ever. Each raise that is refused doubles the run before
//! the next one, so that an endpoint which never takes more is seldom bothered.

/// Batches of full size that are taken before a larger one is tried.
const FIRST_RUN: u32 = 16;

/// The same, after raises that were refused, at most.
const LONGEST_RUN: u32 = 1024;

/// The size of an endpoint's batches. Never 0, and never above what is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchSize {
    calls: usize,
    /// What is configured.
    most: usize,
    /// Batches of this size that were taken in a row.
    taken: u32,
    /// As many are needed for a raise.
    run: u32,
    /// The size before the raise, until a batch of the new size is taken.
    tried_from: Option<usize>,
}

impl BatchSize {
    /// Begins with `most`, or 1 if that is 0.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { calls: most, most, taken: 0, run: FIRST_RUN, tried_from: None }
    }

    /// Calls in one batch.
    pub(crate) fn calls(self) -> usize {
        self.calls
    }

    /// A batch of so many calls was taken. A smaller one than was allowed says nothing about the size.
    pub(crate) fn taken(&mut self, calls: usize) {
        if calls < self.calls {
            return;
        }
        if self.tried_from.take().is_some() {
            self.run = FIRST_RUN;
        }
        self.taken = self.taken.saturating_add(1);
        if self.taken >= self.run && self.calls < self.most {
            self.tried_from = Some(self.calls);
            self.calls = self.calls.saturating_add((self.calls / 2).max(1)).min(self.most);
            self.taken = 0;
        }
    }

    /// A batch of so many calls was refused for its size.
    pub(crate) fn refused(&mut self, calls: usize) {
        self.taken = 0;
        match self.tried_from.take() {
            Some(before) if calls > before => {
                self.calls = before;
                self.run = self.run.saturating_mul(2).min(LONGEST_RUN);
            }
            // One that was under way when the size was already less says nothing new.
            _ => self.calls = self.calls.min((calls / 2).max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    /// Sends batches as large as allowed to an endpoint that takes up to `limit` calls; returns those that it refused.
    fn send(size: &mut BatchSize, limit: usize, batches: u32) -> Vec<usize> {
        let mut refused = Vec::new();
        for _ in 0..batches {
            let calls = size.calls();
            if calls > limit {
                size.refused(calls);
                refused.push(calls);
            } else {
                size.taken(calls);
            }
        }
        refused
    }

    #[test]
    fn a_refusal_halves_and_a_run_of_successes_brings_all_of_it_back() {
        let mut size = BatchSize::new(100);
        assert_eq!(send(&mut size, 1, 6), [100, 50, 25, 12, 6, 3]);
        assert_eq!(size.calls(), 1);
        assert_eq!(send(&mut size, 1000, FIRST_RUN - 1), NONE);
        assert_eq!(size.calls(), 1, "not before its time");
        assert_eq!(send(&mut size, 1000, 1), NONE);
        assert_eq!(size.calls(), 2);
        assert_eq!(send(&mut size, 1000, 20 * FIRST_RUN), NONE);
        assert_eq!(size.calls(), 100, "and no more than is configured");
    }

    #[test]
    fn a_raise_that_is_refused_is_taken_back_and_tried_ever_more_seldom() {
        let mut size = BatchSize::new(100);
        send(&mut size, 10, 4);
        assert_eq!(size.calls(), 6);
        // 6 to 9 is taken, 13 is not: the run from then on is 32, 64, … batches, and one for the refusal.
        assert_eq!(send(&mut size, 10, 2 * FIRST_RUN + 1), [13]);
        assert_eq!(size.calls(), 9);
        assert_eq!(send(&mut size, 10, 2 * FIRST_RUN), NONE);
        assert_eq!(send(&mut size, 10, 1), [13]);
        assert_eq!(send(&mut size, 10, 4 * FIRST_RUN), NONE);
        assert_eq!(send(&mut size, 10, 1), [13]);
        assert!(send(&mut size, 10, 100 * LONGEST_RUN).len() <= 110, "seldom, and for ever");
        assert_eq!(send(&mut size, 100, 20 * LONGEST_RUN), NONE);
        assert_eq!(size.calls(), 100, "an endpoint that takes more by then is found out");
    }

    #[test]
    fn small_batches_and_late_refusals_change_nothing() {
        let mut size = BatchSize::new(8);
        size.refused(8);
        assert_eq!(size.calls(), 4);
        for _ in 0..10 * FIRST_RUN {
            size.taken(3);
        }
        assert_eq!(size.calls(), 4, "smaller ones than are allowed");
        size.refused(8);
        assert_eq!(size.calls(), 4, "one that was under way");
        assert_eq!(BatchSize::new(0).calls(), 1);
    }

    proptest::proptest! {
        #[test]
        fn the_size_stays_within_its_bounds(
            most in 0usize..200,
            steps in proptest::collection::vec((proptest::bool::ANY, 1usize..300), 0..400),
        ) {
            let mut size = BatchSize::new(most);
            for (is_taken, calls) in steps {
                match is_taken {
                    true => size.taken(calls.min(size.calls())),
                    false => size.refused(calls),
                }
                proptest::prop_assert!((1..=most.max(1)).contains(&size.calls()));
            }
        }
    }
}
