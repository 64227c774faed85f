//! What to do after a failed attempt: a pure function of the error, the attempt and the endpoints.
//!
//! Never sleeps and never asks; [`crate::client`] carries the plan out.

use std::time::Duration;

use crate::error::ChainError;

/// Longest wait between two attempts of one question.
pub const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Shortest base of the waits; doubled with each round over the endpoints.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// The next move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the same endpoint again at once: the chain moved under the question.
    AskAgain,
    /// Ask the next endpoint after this long.
    NextEndpoint(Duration),
    /// Return the error.
    Stop,
}

/// Decides after `attempt` failed attempts (1 or more), of `attempts` allowed, with `endpoints` endpoints.
///
/// `jitter` is in `0.0..1.0` and spreads the waits of many followers. A whole round over the endpoints goes without a
/// wait: another endpoint is better than a pause.
pub fn after(error: &ChainError, attempt: u32, attempts: u32, endpoints: usize, jitter: f64) -> Next {
    if attempt >= attempts {
        return Next::Stop;
    }
    let rounds = attempt / u32::try_from(endpoints.max(1)).unwrap_or(u32::MAX);
    let backoff = if rounds == 0 {
        Duration::ZERO
    } else {
        FIRST_WAIT.saturating_mul(2u32.saturating_pow(rounds - 1)).min(LONGEST_WAIT).mul_f64(0.5 + jitter / 2.0)
    };
    match error {
        ChainError::ReplacedWhileFetching { .. } => Next::AskAgain,
        ChainError::RateLimited { wait: Some(wait), .. } if rounds > 0 => {
            Next::NextEndpoint((*wait).min(LONGEST_WAIT).max(backoff))
        }
        ChainError::Unreachable { .. }
        | ChainError::RateLimited { .. }
        | ChainError::MissingAnswer { .. }
        | ChainError::Malformed { .. }
        | ChainError::Rpc { .. } => Next::NextEndpoint(backoff),
        ChainError::HttpStatus { status, .. } if *status >= 500 => Next::NextEndpoint(backoff),
        // Another endpoint may know better; asking the same one again cannot help.
        ChainError::HttpStatus { .. }
        | ChainError::Unsupported { .. }
        | ChainError::BatchRefused { .. }
        | ChainError::AnswerTooLarge { .. }
        | ChainError::BadBlock(_)
        | ChainError::WrongChainId { .. } => {
            if rounds == 0 {
                Next::NextEndpoint(Duration::ZERO)
            } else {
                Next::Stop
            }
        }
        ChainError::InvalidRpcUrl { .. }
        | ChainError::NoEndpoint
        | ChainError::Client { .. }
        | ChainError::Column(_)
        | ChainError::Interrupted => Next::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(seconds: Option<u64>) -> ChainError {
        ChainError::RateLimited { endpoint: "a".to_owned(), wait: seconds.map(Duration::from_secs) }
    }

    fn unsupported() -> ChainError {
        ChainError::Unsupported { endpoint: "a".to_owned(), method: "eth_getBlockReceipts" }
    }

    #[test]
    fn another_endpoint_is_asked_before_any_pause() {
        assert_eq!(after(&limited(Some(3)), 1, 9, 2, 0.5), Next::NextEndpoint(Duration::ZERO));
        assert_eq!(after(&limited(Some(3)), 2, 9, 2, 0.5), Next::NextEndpoint(Duration::from_secs(3)));
    }

    #[test]
    fn a_permanent_refusal_is_not_asked_twice() {
        assert_eq!(after(&unsupported(), 1, 9, 2, 0.5), Next::NextEndpoint(Duration::ZERO));
        assert_eq!(after(&unsupported(), 2, 9, 2, 0.5), Next::Stop);
        assert_eq!(after(&unsupported(), 1, 9, 1, 0.5), Next::Stop);
    }

    #[test]
    fn the_last_attempt_is_the_last() {
        assert_eq!(after(&limited(None), 4, 4, 1, 0.5), Next::Stop);
    }

    proptest::proptest! {
        #[test]
        fn no_wait_is_longer_than_the_longest(attempt in 1u32..1000, endpoints in 1usize..9, jitter in 0.0f64..1.0) {
            if let Next::NextEndpoint(wait) = after(&limited(Some(1000)), attempt, u32::MAX, endpoints, jitter) {
                proptest::prop_assert!(wait <= LONGEST_WAIT);
            }
        }
    }
}
