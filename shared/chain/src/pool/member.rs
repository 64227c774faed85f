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

use super::bucket::{Permit, TokenBucket};
use super::choice::{SeenHead, View};
use super::evidence::Evidence;
use super::health::{EndpointHealth, HealthState};
use super::standing::{Outcome, Standing, State};
use crate::client::Limits;
use crate::endpoint::{Endpoint, RawAnswer};
use crate::error::ChainError;
use crate::json_rpc::Call;
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
    record: Mutex<Record>,
}

#[derive(Debug)]
struct Record {
    standing: Standing,
    bucket: TokenBucket,
    head: Option<SeenHead>,
    looked_at: Option<Instant>,
    is_looked_at: bool,
    requests: u64,
    failures: u64,
    last_error_code: Option<&'static str>,
    grounds: Option<Grounds>,
}

impl Member {
    /// An endpoint that nothing is known of yet.
    pub(crate) fn new(url: RpcUrl, limits: &Limits) -> Result<Self, ChainError> {
        let record = Record {
            standing: Standing::default(),
            bucket: TokenBucket::new(url.call_rate().or(limits.call_rate)),
            head: None,
            looked_at: None,
            is_looked_at: false,
            requests: 0,
            failures: 0,
            last_error_code: None,
            grounds: None,
        };
        Ok(Self { endpoint: Endpoint::new(url, limits)?, record: Mutex::new(record) })
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

    /// Makes all `calls`, in batches, as fast as the endpoint permits, and returns their answers in the same order.
    ///
    /// # Errors
    /// The first failure; a batch that is refused for its size is halved first.
    pub(crate) async fn call_all(
        &self,
        calls: &[Call],
        patience: Option<Duration>,
    ) -> Result<Vec<RawAnswer>, ChainError> {
        let mut answers = Vec::with_capacity(calls.len());
        while answers.len() < calls.len() {
            let rest = &calls[answers.len()..];
            let (ticket, permitted) = self.turn(rest.len().min(self.endpoint.batch_calls())).await;
            let batch = &rest[..permitted.min(rest.len())];
            let found = self.endpoint.call(batch, patience).await;
            self.settle(ticket, &found);
            match found {
                Ok(found) => answers.extend(found),
                Err(ChainError::BatchRefused { .. } | ChainError::AnswerTooLarge { .. }) if batch.len() > 1 => {
                    self.endpoint.learn_refusal(batch.len());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }

    /// Waits until calls may go, at most `wanted`.
    async fn turn(&self, wanted: usize) -> (u64, usize) {
        loop {
            let permit = self.record().bucket.take(Instant::now(), wanted);
            match permit {
                Permit::Go { ticket, calls } => return (ticket, calls),
                Permit::Wait(until) => tokio::time::sleep_until(until.into()).await,
            }
        }
    }

    fn settle(&self, ticket: u64, found: &Result<Vec<RawAnswer>, ChainError>) {
        let mut record = self.record();
        record.requests += 1;
        match found {
            Err(ChainError::RateLimited { wait, .. }) => {
                record.bucket.refused(ticket, Instant::now(), *wait);
            }
            // Nobody knows whether it arrived.
            Err(ChainError::Unreachable { .. }) => {}
            Ok(_) | Err(_) => record.bucket.accepted(ticket, Instant::now()),
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
        let mut record = self.record();
        record.standing = record.standing.after(outcome, Instant::now(), rand::random(), quarantine);
        if outcome == Outcome::Withheld {
            record.head = None;
        }
    }

    /// Takes note of an error, and of what it is quarantined for.
    pub(crate) fn note_error(&self, error: &ChainError, grounds: Option<Grounds>, quarantine: Duration) {
        let now = Instant::now();
        let mut record = self.record();
        let outcome = Outcome::of(error, record.bucket.closed_until().unwrap_or(now));
        if matches!(outcome, Outcome::Failed | Outcome::Untrue { .. }) {
            // It may be another node when it answers again.
            self.endpoint.is_checked.store(false, Ordering::Relaxed);
        }
        if !matches!(error, ChainError::ReplacedWhileFetching { .. }) {
            record.failures += 1;
            record.last_error_code = Some(error.code());
        }
        record.grounds = grounds.or(record.grounds.take());
        let was_healthy = record.standing.state == State::Healthy;
        record.standing = record.standing.after(outcome, now, rand::random(), quarantine);
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

    /// Claims a look at it, which [`Member::end_look`] ends.
    pub(crate) fn begin_look(&self) {
        let mut record = self.record();
        (record.is_looked_at, record.looked_at) = (true, Some(Instant::now()));
    }

    /// Ends a look.
    pub(crate) fn end_look(&self) {
        self.record().is_looked_at = false;
    }

    /// What it is quarantined for, if it is.
    pub(crate) fn grounds(&self) -> Option<Grounds> {
        let record = self.record();
        record.grounds.clone().filter(|_| matches!(record.standing.state, State::Quarantined { .. }))
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
            requests: record.requests,
            failures: record.failures,
            call_rate: record.bucket.rate(),
        }
    }
}
