//! How long the chain or the database has been of no use.
//!
//! A follower outlives the restart of either; what lasts longer is the control plane's business, where people see it.

use std::time::{Duration, Instant};

use crate::error::FollowerError;

/// A chain or a database that is of no use for this long fails the task.
pub(crate) const LONGEST_OUTAGE: Duration = Duration::from_secs(60);

/// The present outage, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    since: Option<Instant>,
}

impl Outage {
    /// Chain and database were of use.
    pub(crate) fn end(&mut self) {
        self.since = None;
    }

    /// One of them was of no use at `now`.
    ///
    /// # Errors
    /// [`FollowerError::Unavailable`] once that has lasted for [`LONGEST_OUTAGE`].
    pub(crate) fn note(&mut self, now: Instant, last: FollowerError) -> Result<(), FollowerError> {
        let elapsed = now.duration_since(*self.since.get_or_insert(now));
        if elapsed < LONGEST_OUTAGE {
            return Ok(());
        }
        Err(FollowerError::Unavailable { elapsed, last: Box::new(last) })
    }
}

#[cfg(test)]
mod tests {
    use isotherm_chain::ChainError;
    use isotherm_types::{Classified as _, Disposition};

    use super::*;

    #[test]
    fn only_an_outage_without_a_break_fails_the_task() {
        let error = || FollowerError::Chain(ChainError::RateLimited { endpoint: "a".to_owned(), wait: None });
        let start = Instant::now();
        let after = |outages: f64| start + LONGEST_OUTAGE.mul_f64(outages);
        let mut outage = Outage::default();
        outage.note(start, error()).unwrap();
        outage.note(after(0.9), error()).unwrap();
        outage.end();
        outage.note(after(1.5), error()).unwrap();
        outage.note(after(2.4), error()).unwrap();
        let failed = outage.note(after(2.5), error()).unwrap_err();
        assert_eq!((failed.code(), failed.disposition()), ("chain.rate_limited", Disposition::Retry));
    }
}
