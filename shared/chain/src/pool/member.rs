//! One endpoint of the pool: what is known of it, and its turn to be asked.
//!
//! Decides nothing: [`super::standing`], [`super::bucket`] and [`super::choice`] do. Its lock is never held while it
//! waits.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use isotherm_types::disposition::Classified as _;
use isotherm_types::{BlockNumber, ChainId};

use super::batch_size::BatchSize;
use super::bucket::{Permit, TokenBucket};
use super::choice::{SeenHead, View};
use super::evidence::Evidence;
use super::health::{EndpointHealth, HealthState};
use super::rate_share::RateShare;
use super::requests::Requests;
use super::standing::{Outcome, Standing, State};
use crate::client::Limits;
use crate::endpoint::{Endpoint, RawAnswer};
use crate::error::ChainError;
use crate::json_rpc::Call;
use crate::retry::LONGEST_WAIT;
use crate::rpc_url::RpcUrl;
use crate::verify::BadBlock;

/// Why an endpoint is quarantined.
#[derive(Clone, Debug)]
pub(crate) enum Grounds {
    /// It served a block that cannot be true.
    Lie { problem: Box<BadBlock>, evidence: Box<Evidence> },
    /// It serves another chain.
    OtherChain { found: ChainId },
}

/// An endpoint and what is known of it.
#[derive(Debug)]
pub(crate) struct Member {
    endpoint: Endpoint,
    /// Longest answer that is read.
    answer_bytes: usize,
    /// Calls in one batch, as configured.
    batch_calls: usize,
    record: Mutex<Record>,
}

#[derive(Debug)]
struct Record {
    standing: Standing,
    bucket: TokenBucket,
    batch: BatchSize,
    head: Option<SeenHead>,
    looked_at: Option<Instant>,
    is_looked_at: bool,
    requests: Requests,
    failures: u64,
    last_error_code: Option<&'static str>,
    grounds: Option<Grounds>,
}

impl Record {
    fn move_on(&mut self, outcome: Outcome, now: Instant, quarantine: Duration) {
        self.standing = self.standing.after(outcome, now, rand::random(), quarantine);
        if outcome == Outcome::Withheld {
            self.head = None;
        }
    }
}

/// A look at an endpoint. It ends with this, be it by a panic: nobody looks at an endpoint that is looked at.
#[derive(Debug)]
pub(crate) struct Look<'a>(&'a Member);

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.record().is_looked_at = false;
    }
}

impl Member {
    /// An endpoint that nothing is known of yet.
    pub(crate) fn new(url: RpcUrl, limits: &Limits) -> Result<Self, ChainError> {
        let record = Record {
            standing: Standing::default(),
            bucket: TokenBucket::new(url.call_rate().or(limits.call_rate)),
            batch: BatchSize::new(limits.batch_calls),
            head: None,
            looked_at: None,
            is_looked_at: false,
            requests: Requests::default(),
            failures: 0,
            last_error_code: None,
            grounds: None,
        };
        Ok(Self {
            endpoint: Endpoint::new(url, limits)?,
            answer_bytes: limits.answer_bytes,
            batch_calls: limits.batch_calls.max(1),
            record: Mutex::new(record),
        })
    }

    /// Scheme, host and port.
    pub(crate) fn name(&self) -> String {
        self.endpoint.name()
    }

    /// The address.
    pub(crate) fn url(&self) -> &RpcUrl {
        self.endpoint.url()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes only this part of what it permits from now on.
    pub(crate) fn set_share(&self, share: RateShare) {
        self.record().bucket.set_share(share);
    }

    /// Makes all `calls`, in batches, as fast as the endpoint permits, and returns their answers in the same order.
    /// Ends early, with `enough` answers or more, when it holds as many bytes of them as it may.
    ///
    /// # Errors
    /// The first failure; a batch that is refused for its size is made smaller first. [`ChainError::AnswerTooLarge`] if
    /// it holds as many bytes as it may, and fewer answers than are enough. [`ChainError::RateLimited`] without asking,
    /// rather than a wait of more than [`LONGEST_WAIT`].
    pub(crate) async fn call_all(
        &self,
        calls: &[Call],
        enough: usize,
        patience: Option<Duration>,
    ) -> Result<Vec<RawAnswer>, ChainError> {
        let (most_bytes, mut held_bytes) = (self.most_bytes(calls.len()), 0usize);
        let mut answers = Vec::with_capacity(calls.len());
        while answers.len() < calls.len() {
            if held_bytes > most_bytes {
                if answers.len() >= enough {
                    break;
                }
                return Err(ChainError::AnswerTooLarge { endpoint: self.name(), limit_bytes: most_bytes });
            }
            let rest = &calls[answers.len()..];
            let batch_calls = self.record().batch.calls();
            let (ticket, permitted) = self.turn(rest.len().min(batch_calls), calls.len()).await?;
            let batch = &rest[..permitted.min(rest.len())];
            let found = self.endpoint.call(batch, patience).await;
            self.settle(ticket, batch.len(), &found);
            match found {
                Ok(found) => {
                    held_bytes += found.iter().flatten().map(|answer| answer.get().len()).sum::<usize>();
                    answers.extend(found);
                }
                Err(ChainError::BatchRefused { .. } | ChainError::AnswerTooLarge { .. }) if batch.len() > 1 => {
                    self.record().batch.refused(batch.len());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }

    /// Bytes after which no more answers to a question of so many calls are asked for: what its batches may have when
    /// they are taken at their full size. An endpoint that refuses all but single calls must not have that for each.
    fn most_bytes(&self, question_calls: usize) -> usize {
        self.answer_bytes.saturating_mul(question_calls.div_ceil(self.batch_calls))
    }

    /// Waits until calls may go: at most `wanted`, of a question of `question_calls`.
    ///
    /// # Errors
    /// [`ChainError::RateLimited`] if that is more than [`LONGEST_WAIT`] away.
    async fn turn(&self, wanted: usize, question_calls: usize) -> Result<(u64, usize), ChainError> {
        let deadline = Instant::now() + LONGEST_WAIT;
        loop {
            let permit = self.record().bucket.take(Instant::now(), wanted);
            match permit {
                Permit::Go { ticket, calls } => return Ok((ticket, calls)),
                Permit::Wait(until) if until <= deadline || self.is_drawn_out(question_calls, deadline) => {
                    tokio::time::sleep_until(until.into()).await;
                }
                Permit::Wait(until) => {
                    let wait = Some(until.saturating_duration_since(Instant::now()));
                    return Err(ChainError::RateLimited { endpoint: self.name(), wait });
                }
            }
        }
    }

    /// Whether a question of so many calls takes more than one window of the rate in any case, so that to ask it anew
    /// would spare nobody the wait; not after a refusal that closes the endpoint beyond `deadline`.
    fn is_drawn_out(&self, question_calls: usize, deadline: Instant) -> bool {
        let record = self.record();
        let is_closed = record.bucket.closed_until().is_some_and(|until| until > deadline);
        !is_closed && record.bucket.is_exceeded_by(question_calls)
    }

    fn settle(&self, ticket: u64, calls: usize, found: &Result<Vec<RawAnswer>, ChainError>) {
        let mut record = self.record();
        record.requests.note(found);
        match found {
            Err(ChainError::RateLimited { wait, .. }) => {
                record.bucket.refused(ticket, Instant::now(), *wait);
            }
            // Nobody knows whether it arrived.
            Err(ChainError::Unreachable { .. }) => {}
            Ok(_) => {
                record.bucket.accepted(ticket, Instant::now());
                record.batch.taken(calls);
            }
            Err(_) => record.bucket.accepted(ticket, Instant::now()),
        }
    }

    /// Whether it has shown the right chain id since it last failed.
    pub(crate) fn is_checked(&self) -> bool {
        self.endpoint.is_checked.load(Ordering::Relaxed)
    }

    /// Takes note that it has shown the right chain id.
    pub(crate) fn check(&self) {
        self.endpoint.is_checked.store(true, Ordering::Relaxed);
    }

    /// Takes note of an outcome that is no error.
    pub(crate) fn note(&self, outcome: Outcome, quarantine: Duration) {
        self.record().move_on(outcome, Instant::now(), quarantine);
    }

    /// Takes note of an error, and of what it is quarantined for. `is_repeated` if it was asked again at once before,
    /// for the same question.
    pub(crate) fn note_error(
        &self,
        error: &ChainError,
        grounds: Option<Grounds>,
        is_repeated: bool,
        quarantine: Duration,
    ) {
        let now = Instant::now();
        let mut record = self.record();
        let outcome = Outcome::of(error, record.bucket.closed_until().unwrap_or(now), is_repeated);
        if matches!(outcome, Outcome::Failed | Outcome::Untrue { .. }) {
            // It may be another node when it answers again.
            self.endpoint.is_checked.store(false, Ordering::Relaxed);
        }
        let has_chain_moved = matches!(error, ChainError::ReplacedWhileFetching { .. }) && !is_repeated;
        if !has_chain_moved {
            record.failures += 1;
            record.last_error_code = Some(error.code());
        }
        record.grounds = grounds.or(record.grounds.take());
        let was_healthy = record.standing.state == State::Healthy;
        record.move_on(outcome, now, quarantine);
        if was_healthy && record.standing.state != State::Healthy {
            let (endpoint, code) = (self.name(), error.code());
            tracing::warn!(rpc.endpoint = endpoint, error.code = code, "an endpoint is left alone for a while");
        }
    }

    /// Takes note of the newest block that it has shown.
    pub(crate) fn saw_head(&self, number: BlockNumber) {
        let mut record = self.record();
        if record.head.is_none_or(|head| head.number != number) {
            record.head = Some(SeenHead { number, since: Instant::now() });
        }
    }

    /// How many requests were sent to it.
    pub(super) fn requests(&self) -> Requests {
        self.record().requests
    }

    /// Claims a look at it, which ends when what [`Member::look`] returns is dropped.
    pub(crate) fn begin_look(&self) {
        let mut record = self.record();
        (record.is_looked_at, record.looked_at) = (true, Some(Instant::now()));
    }

    /// The claimed look.
    pub(crate) fn look(&self) -> Look<'_> {
        Look(self)
    }

    /// What it is quarantined for, if it is now.
    pub(crate) fn grounds(&self) -> Option<Grounds> {
        let (now, record) = (Instant::now(), self.record());
        let is_quarantined = matches!(record.standing.state, State::Quarantined { until, .. } if now < until);
        record.grounds.clone().filter(|_| is_quarantined)
    }

    /// It as far as the choice of an endpoint for a question of so many calls is concerned.
    pub(crate) fn view(&self, is_excluded: bool, calls: usize, now: Instant) -> View {
        let record = self.record();
        View {
            state: record.standing.state,
            head: record.head,
            token_at: record.bucket.next_token(now),
            has_room: record.bucket.has_room(now, calls),
            is_excluded,
            looked_at: record.looked_at,
            is_looked_at: record.is_looked_at,
        }
    }

    /// How it does at `now`, which is `date` on the calendar; `lag_blocks` if it is too far behind.
    pub(crate) fn health(&self, lag_blocks: Option<u64>, now: Instant, date: DateTime<Utc>) -> EndpointHealth {
        let record = self.record();
        EndpointHealth {
            name: self.name(),
            state: HealthState::of(record.standing.state, lag_blocks, now, date),
            last_head: record.head.map(|head| head.number),
            last_error_code: record.last_error_code.map(str::to_owned),
            requests: record.requests.total(),
            failures: record.failures,
            call_rate: record.bucket.rate(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(address: &str) -> Member {
        Member::new(RpcUrl::parse(address).unwrap(), &Limits::default()).unwrap()
    }

    /// The turn for a call of a question of so many, which must come or be refused without a long wait.
    async fn turn(member: &Member, question_calls: usize) -> Result<(u64, usize), ChainError> {
        let turn = member.turn(1, question_calls);
        tokio::time::timeout(Duration::from_secs(5), turn).await.expect("nobody waits so long for a turn")
    }

    #[tokio::test]
    async fn nobody_waits_for_as_long_as_a_refusal_may_ask() {
        let member = member("http://127.0.0.1:1#rate=2/1s");
        let (ticket, _) = turn(&member, 9).await.unwrap();
        member.record().bucket.refused(ticket, Instant::now(), Some(Duration::from_secs(3600)));
        for question_calls in [1, 9] {
            match turn(&member, question_calls).await {
                Err(ChainError::RateLimited { wait: Some(wait), .. }) => assert!(wait > LONGEST_WAIT, "{wait:?}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_question_that_one_window_has_room_for_is_refused_and_a_longer_one_drawn_out() {
        let member = member("http://127.0.0.1:1#rate=2/60s");
        for _ in 0..2 {
            turn(&member, 1).await.unwrap();
        }
        assert!(matches!(turn(&member, 2).await, Err(ChainError::RateLimited { wait: Some(_), .. })));
        let deadline = Instant::now() + LONGEST_WAIT;
        assert_eq!([2, 3].map(|calls| member.is_drawn_out(calls, deadline)), [false, true]);
    }

    #[test]
    fn a_look_that_panics_ends_all_the_same() {
        let member = member("http://127.0.0.1:1");
        let is_looked_at = || member.view(false, 1, Instant::now()).is_looked_at;
        member.begin_look();
        assert!(is_looked_at());
        let looking = std::panic::AssertUnwindSafe(|| {
            let _look = member.look();
            assert!(!is_looked_at(), "on purpose");
        });
        assert!(std::panic::catch_unwind(looking).is_err());
        assert!(!is_looked_at());
    }
}
