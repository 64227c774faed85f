//! Makes the calls of a question until an endpoint's answers can be read.
//!
//! The pool says whom to ask, [`crate::retry`] what to do after a failure. An endpoint that lies is quarantined and the
//! evidence kept, whatever becomes of the question. No attempt waits longer than [`LONGEST_WAIT`] for an endpoint that
//! may be asked, and no endpoint's failure is final while another one may do better. Once an endpoint has answered that
//! it does not have the block, nobody is asked who is quarantined, nor waited for beyond the question's patience.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use isotherm_types::BlockNumber;
use isotherm_types::disposition::{Classified as _, Disposition};

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
    /// So many answers, the first ones, can be read without the rest: what is left when all are too long together.
    pub(super) enough: usize,
    /// Longest wait for an answer while another endpoint could be asked, and for each other one's turn and answer after
    /// one has answered that it does not have the block; as long as any request if absent.
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

    /// Whether asking again cannot help.
    fn is_final(&self) -> bool {
        self.error.disposition() == Disposition::GiveUp
    }

    /// This one, or `other` if this one is final and that is not.
    fn unless_final(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if self.is_final() && !other.is_final() => other,
            _ => self,
        }
    }

    /// What came of a question that ends with this one and had the failure `last` before.
    fn told_after(self, last: Option<Self>) -> Self {
        match last {
            Some(last) => last.unless_final(Some(self)),
            None => self,
        }
    }
}

impl ChainClient {
    /// Asks without hurry. Reading is work, and done on a thread of its own.
    pub(super) async fn ask<T, Read>(&self, calls: &[Call], read: Read) -> Result<T, Failure>
    where
        Read: Fn(&RpcUrl, &[RawAnswer], DateTime<Utc>) -> Result<T, ChainError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let question = Question { calls, enough: calls.len(), patience: None };
        let mut inquiry = self.pool.inquiry(calls.len(), None);
        let (found, _) = self.ask_pool(&question, &mut inquiry, &Arc::new(read)).await?;
        Ok(found)
    }

    /// Asks without hurry for what belongs to the block at `number`, and asks on while an endpoint does not have it
    /// that another one may have. `None` if nobody who answers has it. `read` must be content with one answer.
    pub(super) async fn ask_around<T, Read>(
        &self,
        calls: &[Call],
        number: BlockNumber,
        read: Read,
    ) -> Result<Option<T>, Failure>
    where
        Read: Fn(&RpcUrl, &[RawAnswer], DateTime<Utc>) -> Result<Option<T>, ChainError> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let question = Question { calls, enough: 1, patience: Some(self.limits.request_timeout) };
        let (mut inquiry, read) = (self.pool.inquiry(calls.len(), Some(number)), Arc::new(read));
        loop {
            let found = self.ask_pool(&question, &mut inquiry, &read).await;
            match found {
                Ok((Some(found), _)) => return Ok(Some(found)),
                Ok((None, place)) if self.pool.lacks(place, number, &mut inquiry) => {}
                Ok((None, _)) => return Ok(None),
                // That another one does not answer changes nothing.
                Err(_) if inquiry.is_denied() => return Ok(None),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Asks, and says which endpoint answered. After one has answered that it does not have the block, each other one
    /// is asked once.
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
        let mut last_failure: Option<Failure> = None;
        let (mut again, mut asked_again) = (None, None);
        let mut deadline = latest_turn(question, inquiry);
        loop {
            let choice = match again.take() {
                Some(place) => Choice::Ask(place),
                None => self.pool.choose_by(inquiry, deadline).await,
            };
            let place = match choice {
                // Whoever is asked as a last resort is no witness against an honest answer.
                Choice::Ask(place) if inquiry.is_denied() && self.pool.members()[place].grounds().is_some() => {
                    return Err(self.distrusted().told_after(last_failure));
                }
                Choice::Ask(place) => place,
                Choice::Wait { place, until } => return Err(self.busy(place, until).told_after(last_failure)),
                Choice::Nobody => return Err(self.distrusted().told_after(last_failure)),
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
            deadline = latest_turn(question, inquiry);
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
                Next::AskOn if inquiry.is_denied() => inquiry.exclude(place),
                Next::AskOn => {}
                Next::AskAnother => inquiry.exclude(place),
                Next::Stop => return Err(failure.unless_final(last_failure)),
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
        let is_bounded = inquiry.is_denied() || self.pool.has_stand_in(inquiry, place);
        let patience = question.patience.filter(|_| is_bounded);
        self.pool.check_chain_id(member, patience).await.map_err(|error| failure(error, None))?;
        let answers = member.call_all(question.calls, question.enough, patience).await;
        let answers = answers.map_err(|error| failure(error, None))?;
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

    /// Nobody is trusted now; says why the first is not, of those that lied if there are any: they may be asked again
    /// with more hope than those that serve another chain.
    fn distrusted(&self) -> Failure {
        let members = self.pool.members().iter();
        let grounds = members.filter_map(|member| Some((member.name(), member.grounds()?)));
        match grounds.min_by_key(|(_, grounds)| matches!(grounds, Grounds::OtherChain { .. })) {
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

/// Until when an endpoint's turn is waited for from now on.
fn latest_turn(question: &Question<'_>, inquiry: &Inquiry) -> Instant {
    let patience = question.patience.filter(|_| inquiry.is_denied()).unwrap_or(LONGEST_WAIT);
    Instant::now() + patience.min(LONGEST_WAIT)
}
