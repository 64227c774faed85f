//! The endpoints of a chain: which one is asked, what is known of each, and how a bad one is left and a good one gone
//! back to.
//!
//! Place in the flow: [`crate::client`] brings a question, the pool names the endpoint. The decisions are pure
//! functions, each in a file of its own: how an endpoint stands (`standing`), how many calls it permits (`bucket`) and
//! takes at once (`batch_size`), which one is asked and which ones are looked at meanwhile (`choice`), whether they agree
//! about a block (`dispute`). This file and `member` carry them out.
//!
//! It must never lose an endpoint for good, never ask one more often than it permits, never let an endpoint be trusted
//! early that said something untrue, and never show a key.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, ChainId, Clock};

use crate::block::HeaderRef;
use crate::client::{Limits, header_call, read};
use crate::endpoint::RawAnswer;
use crate::error::ChainError;
use crate::json_rpc::Call;
use crate::rpc_url::RpcUrl;
use crate::verify::Checks;

mod batch_size;
mod bucket;
mod choice;
mod dispute;
mod evidence;
mod health;
mod member;
mod rate_share;
mod requests;
mod standing;

pub use evidence::{Evidence, KEPT_CHARS};
pub use health::{EndpointHealth, HealthState};
pub use rate_share::RateShare;
pub use requests::EndpointRequests;

pub(crate) use choice::Choice;
pub(crate) use dispute::{are_in_dispute, passed_over};
pub(crate) use member::{Grounds, Member};
pub(crate) use standing::Outcome;

use choice::{Rules, View, best_head, choose, has_stand_in, looks_due, may_another_have};

/// Pieces of evidence that are kept until somebody takes them; of more, the oldest go.
const KEPT_EVIDENCE: usize = 64;

/// The endpoints of one chain, in order of preference.
pub(crate) struct Pool {
    chain_id: ChainId,
    members: Vec<Member>,
    rules: Rules,
    checks: Checks,
    quarantine: Duration,
    /// Longest wait for the answer to a look.
    look_timeout: Duration,
    clock: Arc<dyn Clock>,
    evidence: Mutex<VecDeque<Evidence>>,
}

/// What a question has come to know of the endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry {
    /// By place: it has refused this question for good.
    is_excluded: Vec<bool>,
    /// One that answered does not have the block.
    is_denied: bool,
    /// A block that whoever is asked should have.
    needs: Option<BlockNumber>,
    /// Calls of the question.
    calls: usize,
}

impl Inquiry {
    /// Does not ask the endpoint at `place` again.
    pub(crate) fn exclude(&mut self, place: usize) {
        self.is_excluded[place] = true;
    }

    /// Whether an endpoint has answered that it does not have the block. What others say then can only be better.
    pub(crate) fn is_denied(&self) -> bool {
        self.is_denied
    }
}

impl Pool {
    /// Prepares the endpoints; nothing is sent.
    pub(crate) fn new(
        urls: Vec<RpcUrl>,
        chain_id: ChainId,
        limits: &Limits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ChainError> {
        Ok(Self {
            chain_id,
            members: urls.into_iter().map(|url| Member::new(url, limits)).collect::<Result<_, _>>()?,
            rules: Rules { max_lag_blocks: limits.max_lag_blocks, block_time: limits.block_time },
            checks: limits.checks,
            quarantine: limits.quarantine,
            look_timeout: limits.failover_timeout.min(limits.request_timeout),
            clock,
            evidence: Mutex::new(VecDeque::new()),
        })
    }

    /// The endpoints, in order of preference.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The chain that every endpoint must serve.
    pub(crate) fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// A new question of so many calls, about blocks up to `needs` if that is given.
    pub(crate) fn inquiry(&self, calls: usize, needs: Option<BlockNumber>) -> Inquiry {
        Inquiry { is_excluded: vec![false; self.members.len()], is_denied: false, needs, calls }
    }

    fn views(&self, inquiry: &Inquiry, now: Instant) -> Vec<View> {
        let members = self.members.iter().zip(&inquiry.is_excluded);
        members.map(|(member, is_excluded)| member.view(*is_excluded, inquiry.calls, now)).collect()
    }

    /// Whom to ask now.
    pub(crate) fn choose(&self, inquiry: &Inquiry) -> Choice {
        let now = Instant::now();
        choose(&self.views(inquiry, now), inquiry.needs, now, self.rules)
    }

    /// Whom to ask, once somebody may be asked; [`Choice::Wait`] if that is not before `deadline`, be it that others
    /// take each turn.
    pub(crate) async fn choose_by(&self, inquiry: &Inquiry, deadline: Instant) -> Choice {
        loop {
            match self.choose(inquiry) {
                Choice::Wait { until, .. } if until <= deadline => tokio::time::sleep_until(until.into()).await,
                choice => return choice,
            }
        }
    }

    /// Whether another endpoint could take over from the one at `asked` at once.
    pub(crate) fn has_stand_in(&self, inquiry: &Inquiry, asked: usize) -> bool {
        let now = Instant::now();
        has_stand_in(&self.views(inquiry, now), asked, now)
    }

    /// The endpoint at `place` answers that it does not have the block at `number`, and is not asked again. Whether
    /// another one should be asked, which is not known to be below that block.
    pub(crate) fn lacks(&self, place: usize, number: BlockNumber, inquiry: &mut Inquiry) -> bool {
        inquiry.exclude(place);
        inquiry.is_denied = true;
        let now = Instant::now();
        may_another_have(&self.views(inquiry, now), number, now, self.rules)
    }

    /// The same of a block that was asked for by its number: whoever has shown that block or a later one must have it.
    pub(crate) fn withheld(&self, place: usize, number: BlockNumber, inquiry: &mut Inquiry) -> bool {
        let head = self.members[place].view(false, 1, Instant::now()).head;
        // An endpoint that shows a head and does not serve it must not draw all questions to itself. A single one draws
        // them anyway.
        if self.members.len() > 1 && head.is_some_and(|head| head.number >= number) {
            self.note(place, Outcome::Withheld);
        }
        self.lacks(place, number, inquiry)
    }

    /// Claims the looks that are due beside a question to the endpoint at `asked`.
    pub(crate) fn claim_looks(&self, inquiry: &Inquiry, asked: usize) -> Vec<usize> {
        let now = Instant::now();
        let due = looks_due(&self.views(inquiry, now), asked, now, self.rules);
        due.iter().for_each(|place| self.members[*place].begin_look());
        due
    }

    /// Carries out a claimed look: whether the endpoint answers, serves this chain, and how far it is.
    pub(crate) async fn look(&self, place: usize) {
        let member = &self.members[place];
        let _look = member.look();
        match self.headers(member, &[header_call("latest")], Some(self.look_timeout)).await.as_deref() {
            Ok([Some(latest)]) => {
                member.note(Outcome::Answered, self.quarantine);
                member.saw_head(latest.reference.number);
            }
            Ok(_) => {
                let missing = ChainError::MissingAnswer { endpoint: member.name(), method: "eth_getBlockByNumber" };
                self.failed(place, &missing, None, false);
            }
            Err((error, evidence)) => self.failed(place, error, evidence.clone(), false),
        }
    }

    /// The headers that the endpoint answers `calls` with, each hashed; `None` for one that it does not have.
    async fn headers(
        &self,
        member: &Member,
        calls: &[Call],
        patience: Option<Duration>,
    ) -> Result<Vec<Option<HeaderRef>>, (ChainError, Option<Box<Evidence>>)> {
        let answers = async {
            self.check_chain_id(member, patience).await?;
            member.call_all(calls, calls.len(), patience).await
        };
        let answers = answers.await.map_err(|error| (error, None))?;
        let checked = |answer| read::header(member.url(), std::slice::from_ref(answer), &self.checks, None);
        answers.iter().map(checked).collect::<Result<_, _>>().map_err(|error| {
            let evidence = evidence_of(member.url(), &error, &answers, self.clock.now());
            (error, evidence)
        })
    }

    /// Asks an endpoint for its chain id, unless it has shown the right one since it last failed.
    ///
    /// # Errors
    /// [`ChainError::WrongChainId`]; why it does not answer.
    pub(crate) async fn check_chain_id(&self, member: &Member, patience: Option<Duration>) -> Result<(), ChainError> {
        if member.is_checked() {
            return Ok(());
        }
        let answers = member.call_all(&[Call::new("eth_chainId", [(); 0])], 1, patience).await?;
        let found = read::chain_id(member.url(), &answers)?;
        if found != self.chain_id {
            return Err(ChainError::WrongChainId { endpoint: member.name(), expected: self.chain_id, found });
        }
        member.check();
        Ok(())
    }

    /// The requests that were sent to each endpoint since there is the pool.
    pub(crate) fn requests(&self) -> Vec<EndpointRequests> {
        self.members.iter().flat_map(requests::of).collect()
    }

    /// Takes note of an outcome that is no error.
    pub(crate) fn note(&self, place: usize, outcome: Outcome) {
        self.members[place].note(outcome, self.quarantine);
    }

    /// Takes note of an error, with the evidence if it is a lie. `is_repeated` if the endpoint was asked again at once
    /// before, for the same question.
    pub(crate) fn failed(&self, place: usize, error: &ChainError, evidence: Option<Box<Evidence>>, is_repeated: bool) {
        let grounds = match (error, evidence) {
            (ChainError::BadBlock(problem), Some(evidence)) => {
                self.keep(Evidence::clone(&evidence));
                Some(Grounds::Lie { problem: problem.clone(), evidence })
            }
            (ChainError::WrongChainId { found, .. }, _) => Some(Grounds::OtherChain { found: *found }),
            _ => None,
        };
        self.members[place].note_error(error, grounds, is_repeated, self.quarantine);
    }

    fn keep(&self, evidence: Evidence) {
        evidence.log();
        let mut kept = self.evidence.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_EVIDENCE {
            kept.pop_front();
        }
        kept.push_back(evidence);
    }

    /// Hands out what was kept of untrue answers since this was last called, the oldest first.
    pub(crate) fn take_evidence(&self) -> Vec<Evidence> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// How the endpoints do, in order of preference.
    pub(crate) fn health(&self) -> Vec<EndpointHealth> {
        let (now, date) = (Instant::now(), self.clock.now());
        let views = self.views(&self.inquiry(1, None), now);
        let best = best_head(&views);
        let lags = views.iter().map(|view| Some(view.lag(best)).filter(|lag| *lag > self.rules.max_lag_blocks));
        self.members.iter().zip(lags).map(|(member, lag_blocks)| member.health(lag_blocks, now, date)).collect()
    }
}

/// What is kept of `answers`, if `error` is that they cannot be true.
pub(crate) fn evidence_of(
    url: &RpcUrl,
    error: &ChainError,
    answers: &[RawAnswer],
    served_at: DateTime<Utc>,
) -> Option<Box<Evidence>> {
    match error {
        ChainError::BadBlock(problem) => Some(Box::new(Evidence::of(url, problem, answers, served_at))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
