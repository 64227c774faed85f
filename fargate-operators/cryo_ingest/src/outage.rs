//! How long the chain has been of no use.
//!
//! A backfill outlives a node's restart or an endpoint's short refusals; what lasts longer is the control plane's
//! business, where people see it. Pure.

use std::time::{Duration, Instant};

use isotherm_chain::ChainError;
use isotherm_types::disposition::{Classified, Disposition};

use crate::error::IngestError;

/// A chain that gives no usable answer for this long fails the attempt.
const LONGEST_OUTAGE: Duration = Duration::from_secs(60);
/// Pause before the next try.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause that an endpoint may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The present outage, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    since: Option<Instant>,
}

impl Outage {
    /// How long to wait before asking again, after `last` was the answer at `now`.
    ///
    /// # Errors
    /// `last` itself if asking again is of no use: the question is wrong, or every endpoint has lied;
    /// [`IngestError::Unavailable`] once the outage has lasted for [`LONGEST_OUTAGE`].
    pub(crate) fn note(&mut self, now: Instant, last: IngestError) -> Result<Duration, IngestError> {
        let pause = match last.disposition() {
            Disposition::GiveUp => return Err(last),
            Disposition::Retry => PAUSE,
            Disposition::RetryAfter(wait) => wait.min(LONGEST_PAUSE),
        };
        if matches!(&last, IngestError::Chain(ChainError::BadBlock(_))) {
            return Err(last);
        }
        let elapsed = now.duration_since(*self.since.get_or_insert(now));
        if elapsed < LONGEST_OUTAGE {
            return Ok(pause);
        }
        Err(IngestError::Unavailable { elapsed, last: Box::new(last) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_waited_for_and_then_fails_under_the_name_of_its_cause() {
        let error = |wait| IngestError::Chain(ChainError::RateLimited { endpoint: "a".to_owned(), wait });
        let start = Instant::now();
        let mut outage = Outage::default();
        assert_eq!(outage.note(start, error(None)).unwrap(), PAUSE);
        let wait = Duration::from_secs(7);
        assert_eq!(outage.note(start + LONGEST_OUTAGE / 2, error(Some(wait))).unwrap(), wait);
        assert_eq!(outage.note(start, error(Some(Duration::from_secs(900)))).unwrap(), LONGEST_PAUSE);
        let failed = outage.note(start + LONGEST_OUTAGE, error(None)).unwrap_err();
        assert_eq!((failed.code(), failed.disposition()), ("chain.rate_limited", Disposition::Retry));
    }

    #[test]
    fn what_no_patience_can_cure_fails_at_once() {
        let error = IngestError::Chain(ChainError::NoEndpoint);
        assert_eq!(Outage::default().note(Instant::now(), error).unwrap_err().code(), "chain.no_endpoint");
    }
}
