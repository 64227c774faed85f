//! What becomes of a question after a failed attempt: a pure function of the error and the attempt.
//!
//! Whom to ask then, and how long to wait, is [`crate::pool`]'s decision. Never sleeps and never asks.

use std::time::Duration;

use crate::error::ChainError;

/// A question does not wait longer than this for an endpoint that may be asked.
pub const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// The next move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the same endpoint again at once: the chain moved under the question.
    AskAgain,
    /// Ask the best endpoint, be it the same one after its pause.
    AskOn,
    /// Ask one that has not refused this question: asking the same one again cannot help.
    AskAnother,
    /// Return the error.
    Stop,
}

/// Decides after `attempt` failed attempts (1 or more), of `attempts` allowed. `is_repeated` if the same endpoint was
/// asked again at once before, for this question.
pub fn after(error: &ChainError, attempt: u32, attempts: u32, is_repeated: bool) -> Next {
    if attempt >= attempts {
        return Next::Stop;
    }
    match error {
        // A chain moves under a question once; whoever says so again does not have the block whole.
        ChainError::ReplacedWhileFetching { .. } if is_repeated => Next::AskAnother,
        ChainError::ReplacedWhileFetching { .. } => Next::AskAgain,
        ChainError::Unreachable { .. }
        | ChainError::RateLimited { .. }
        | ChainError::MissingAnswer { .. }
        | ChainError::Undecodable { .. }
        | ChainError::Malformed { .. }
        | ChainError::Rpc { .. } => Next::AskOn,
        ChainError::HttpStatus { status, .. } if *status >= 500 => Next::AskOn,
        ChainError::HttpStatus { .. }
        | ChainError::Unsupported { .. }
        | ChainError::BatchRefused { .. }
        | ChainError::AnswerTooLarge { .. }
        | ChainError::BadBlock(_)
        | ChainError::WrongChainId { .. } => Next::AskAnother,
        ChainError::InvalidRpcUrl { .. }
        | ChainError::NoEndpoint
        | ChainError::Client { .. }
        | ChainError::TracesWithheld { .. }
        | ChainError::Column(_)
        | ChainError::Interrupted => Next::Stop,
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::BlockNumber;

    use super::*;

    #[test]
    fn what_may_pass_is_asked_again_and_what_may_not_is_asked_of_another() {
        let endpoint = || "a".to_owned();
        let status = |status| ChainError::HttpStatus { endpoint: endpoint(), status };
        let cases = [
            (ChainError::ReplacedWhileFetching { number: BlockNumber(7) }, Next::AskAgain),
            (ChainError::RateLimited { endpoint: endpoint(), wait: None }, Next::AskOn),
            (ChainError::MissingAnswer { endpoint: endpoint(), method: "eth_chainId" }, Next::AskOn),
            (ChainError::Undecodable { endpoint: endpoint(), problem: "it is cut" }, Next::AskOn),
            (status(502), Next::AskOn),
            (status(403), Next::AskAnother),
            (ChainError::Unsupported { endpoint: endpoint(), method: "eth_getBlockReceipts" }, Next::AskAnother),
            (ChainError::AnswerTooLarge { endpoint: endpoint(), limit_bytes: 1 }, Next::AskAnother),
            (ChainError::NoEndpoint, Next::Stop),
            (ChainError::Interrupted, Next::Stop),
        ];
        for (error, expected) in cases {
            assert_eq!(after(&error, 1, 9, false), expected, "{error}");
            assert_eq!(after(&error, 8, 9, false), expected, "{error}");
            assert_eq!(after(&error, 9, 9, false), Next::Stop, "the last attempt is the last: {error}");
            let again = if expected == Next::AskAgain { Next::AskAnother } else { expected };
            assert_eq!(after(&error, 2, 9, true), again, "nobody is asked again at once twice: {error}");
        }
    }
}
