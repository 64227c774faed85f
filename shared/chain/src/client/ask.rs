//! Makes the calls of a question until an endpoint's answers can be read.
//!
//! The pool says whom to ask, [`crate::retry`] what to do after a failure. An endpoint that lies is quarantined and the
//! evidence kept, whatever becomes of the question. Never waits longer than [`LONGEST_WAIT`] for its turn.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use isotherm_types::disposition::Classified as _;

use super::ChainClient;
use crate::answer::Answer;
use crate::endpoint::RawAnswer;
use crate::error::ChainError;
use crate::json_rpc::Call;
use crate::pool::{Choice, Evidence, Grounds, Inquiry, Outcome, evidence_of};
use crate::retry::{LONGEST_WAIT, Next, after};
use crate::rpc_url::RpcUrl;

/// Calls whose answers are read together.
pub(super) struct Question<'a> {
    pub(super) calls: &'a [Call],
    /// Longest wait for an answer while another endpoint could be asked; as long as any request if absent.
    pub(super) patience: Option<Duration>,
}

/// A question that was not answered, and the endpoint that was asked last.
pub(super) struct Failure {
    pub(super) error: ChainError,
    endpoint: String,
    /// There is some if the error is a lie.
    evidence: Option<Box<Evidence>>,
}

impl Failure {
    pub(super) fn into_answer<T>(self) -> Answer<T> {
        Answer::from_error(self.error, self.endpoint, self.evidence)
    }
}

impl ChainClient {
    /// Asks without hurry. Reading is work, and done on a thread of its own.
    pub(super) async fn ask<T, Read>(&self, calls: &[Call], read: Read) -> Result<T, Failure>
    where
        Read: Fn(&RpcUrl, &[RawAnswer], DateTime<Utc>) -> Result<T, ChainError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let question = Question { calls, patience: None };
        let mut inquiry = self.pool.inquiry(calls.len(), None);
        let (found, _) = self.ask_pool(&question, &mut inquiry, &Arc::new(read)).await?;
        Ok(found)
    }

    /// Asks, and says which endpoint answered.
    pub(super) async fn ask_pool<T, Read>(
        &self,
        question: &Question<'_>,
        inquiry: &mut Inquiry,
        read: &Arc<Read>,
    ) -> Result<(T, usize), Failure>
    where
        Read: Fn(&RpcUrl, &[RawAnswer], DateTime<Utc>) -> Result<T, ChainError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let mut attempt = 0;
        let mut last_failure = None;
        let (mut again, mut asked_again) = (None, None);
        loop {
            let place = match again.take().map_or_else(|| self.pool.choose(inquiry), Choice::Ask) {
                Choice::Ask(place) => place,
                Choice::Wait { until, .. } if until <= Instant::now() + LONGEST_WAIT => {
                    tokio::time::sleep_until(until.into()).await;
                    continue;
                }
                Choice::Wait { place, until } => return Err(last_failure.unwrap_or_else(|| self.busy(place, until))),
                Choice::Nobody => return Err(last_failure.unwrap_or_else(|| self.distrusted())),
            };
            self.look_around(inquiry, place);
            let failure = match self.attempt(question, inquiry, place, read).await {
                Ok(found) => {
                    self.pool.note(place, Outcome::Answered);
                    return Ok((found, place));
                }
                Err(failure) => failure,
            };
            attempt += 1;
            tracing::debug!(
                rpc.endpoint = failure.endpoint,
                rpc.attempt = attempt,
                error.code = failure.error.code(),
                "a question to the chain failed"
            );
            let is_repeated = asked_again == Some(place);
            self.pool.failed(place, &failure.error, failure.evidence.clone(), is_repeated);
            match after(&failure.error, attempt, self.limits.attempts, is_repeated) {
                Next::AskAgain => (again, asked_again) = (Some(place), Some(place)),
                Next::AskOn => {}
                Next::AskAnother => inquiry.exclude(place),
                Next::Stop => return Err(failure),
            }
            last_failure = Some(failure);
        }
    }

    async fn attempt<T, Read>(
        &self,
        question: &Question<'_>,
        inquiry: &Inquiry,
        place: usize,
        read: &Arc<Read>,
    ) -> Result<T, Failure>
    where
        Read: Fn(&RpcUrl, &[RawAnswer], DateTime<Utc>) -> Result<T, ChainError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let member = &self.pool.members()[place];
        let failure = |error, evidence| Failure { error, endpoint: member.name(), evidence };
        let patience = question.patience.filter(|_| self.pool.has_stand_in(inquiry, place));
        self.pool.check_chain_id(member, patience).await.map_err(|error| failure(error, None))?;
        let answers = member.call_all(question.calls, patience).await.map_err(|error| failure(error, None))?;
        let (read, url, served_at) = (Arc::clone(read), member.url().clone(), self.clock.now());
        let reading = tokio::task::spawn_blocking(move || {
            read(&url, &answers, served_at).map_err(|error| {
                let evidence = evidence_of(&url, &error, &answers, served_at);
                (error, evidence)
            })
        });
        match reading.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err((error, evidence))) => Err(failure(error, evidence)),
            Err(_) => Err(failure(ChainError::Interrupted, None)),
        }
    }

    /// Has the endpoints looked at that it is time to look at; nobody waits for it.
    fn look_around(&self, inquiry: &Inquiry, asked: usize) {
        let due = self.pool.claim_looks(inquiry, asked);
        if due.is_empty() {
            return;
        }
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        while looks.try_join_next().is_some() {}
        for place in due {
            let pool = Arc::clone(&self.pool);
            looks.spawn(async move { pool.look(place).await });
        }
    }

    /// Nobody takes a call soon enough.
    fn busy(&self, place: usize, until: Instant) -> Failure {
        let endpoint = self.pool.members()[place].name();
        let wait = Some(until.saturating_duration_since(Instant::now()));
        Failure { error: ChainError::RateLimited { endpoint: endpoint.clone(), wait }, endpoint, evidence: None }
    }

    /// Nobody is trusted now; says why the first is not.
    fn distrusted(&self) -> Failure {
        let members = self.pool.members().iter();
        let mut grounds = members.filter_map(|member| Some((member.name(), member.grounds()?)));
        match grounds.next() {
            Some((endpoint, Grounds::Lie { problem, evidence })) => {
                Failure { error: ChainError::BadBlock(problem), endpoint, evidence: Some(evidence) }
            }
            Some((endpoint, Grounds::OtherChain { found })) => {
                let error = ChainError::WrongChainId { endpoint: endpoint.clone(), expected: self.chain_id(), found };
                Failure { error, endpoint, evidence: None }
            }
            None => Failure { error: ChainError::NoEndpoint, endpoint: String::new(), evidence: None },
        }
    }
}
