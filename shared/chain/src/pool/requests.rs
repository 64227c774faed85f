//! How many requests were sent to an endpoint, and what came of them. Counts only grow; whoever tells of them looks at intervals.

use super::member::Member;
use crate::endpoint::RawAnswer;
use crate::error::ChainError;

/// Requests of one outcome that were sent to one endpoint; a batch is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRequests {
    /// Host and port.
    pub endpoint: String,
    /// `answered`, `limited` (it asked to slow down), `unreachable` (no answer) or `failed` (an answer that is none).
    pub outcome: &'static str,
    /// Since the client was made.
    pub count: u64,
}

/// Requests to one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Requests {
    answered: u64,
    limited: u64,
    unreachable: u64,
    failed: u64,
}

impl Requests {
    /// Notes what came of one.
    pub(super) fn note(&mut self, found: &Result<Vec<RawAnswer>, ChainError>) {
        let count = match found {
            Ok(_) => &mut self.answered,
            Err(ChainError::RateLimited { .. }) => &mut self.limited,
            Err(ChainError::Unreachable { .. }) => &mut self.unreachable,
            Err(_) => &mut self.failed,
        };
        *count += 1;
    }

    /// All of them.
    pub(super) fn total(self) -> u64 {
        self.answered + self.limited + self.unreachable + self.failed
    }
}

/// The requests to `member`, by outcome.
pub(crate) fn of(member: &Member) -> [EndpointRequests; 4] {
    let Requests { answered, limited, unreachable, failed } = member.requests();
    let name = member.name();
    // A scheme says nothing of whom was asked.
    let endpoint = name.split_once("://").map_or(name.as_str(), |(_, host)| host);
    [("answered", answered), ("limited", limited), ("unreachable", unreachable), ("failed", failed)]
        .map(|(outcome, count)| EndpointRequests { endpoint: endpoint.to_owned(), outcome, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_one_outcome() {
        let endpoint = || "http://node".to_owned();
        let mut requests = Requests::default();
        requests.note(&Ok(Vec::new()));
        requests.note(&Err(ChainError::RateLimited { endpoint: endpoint(), wait: None }));
        requests.note(&Err(ChainError::HttpStatus { endpoint: endpoint(), status: 500 }));
        requests.note(&Err(ChainError::BatchRefused { endpoint: endpoint(), calls: 2, message: String::new() }));
        assert_eq!(requests, Requests { answered: 1, limited: 1, unreachable: 0, failed: 2 });
        assert_eq!(requests.total(), 4);
    }
}
