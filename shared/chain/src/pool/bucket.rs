//! How many calls an endpoint permits in a window, and when the next one may go. Pure: the time is passed in.
//!
//! The bucket holds as many tokens as the endpoint permits calls in a window, and a call takes one. A token comes
//! back one window after its call can last have reached the endpoint, so that no window of the endpoint's own clock,
//! wherever it begins, sees more calls than the limit; and it comes back no later, so that the limit is used. A batch
//! counts its calls.
//!
//! The limit is configured, or learnt from refusals (HTTP 429). After one, calls go in small steps for a while, so
//! that the next refusal tells how many were permitted. A learnt limit is seldom tried upwards, ever more seldom if
//! that is refused. Where other processes ask the same endpoint, only a share of the limit is taken.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::rate_share::RateShare;
use crate::rpc_url::CallRate;

/// Window of a limit that is learnt.
const WINDOW: Duration = Duration::from_secs(1);

/// A call is taken to have reached its endpoint so long after it was sent, at the latest.
const LONGEST_WAY: Duration = Duration::from_millis(100);

/// Calls go in small steps for so long after a refusal.
const CAREFUL: Duration = Duration::from_secs(10);

/// One step is at most this part of the calls that were accepted in the window.
const STEP_PART: usize = 20;

/// Wait after a refusal that names none; doubled with each further one before an answer.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Bounds of the wait that an endpoint may ask for, and of the one that is chosen here.
const SHORTEST_TOLD_WAIT: Duration = Duration::from_millis(100);
const LONGEST_TOLD_WAIT: Duration = Duration::from_secs(600);
const LONGEST_OWN_WAIT: Duration = Duration::from_secs(30);

/// A learnt limit is raised by half so long after it was last changed; the span is doubled each time that is refused.
const FIRST_RAISE: Duration = Duration::from_secs(60);
const LONGEST_RAISE: Duration = Duration::from_secs(3600);

/// Leave to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// So many calls, at once.
    Go { ticket: u64, calls: usize },
    /// None before this time.
    Wait(Instant),
}

/// Calls that were sent together.
#[derive(Clone, Copy, Debug)]
struct Taken {
    ticket: u64,
    calls: usize,
    sent_at: Instant,
    /// From sending to the answer, if it was accepted and has come.
    latency: Option<Duration>,
}

/// What one endpoint permits, and what was sent to it lately.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    window: Duration,
    /// Calls in a window; `None` while no limit is known.
    limit: Option<usize>,
    /// The configured limit: no try goes above it.
    ceiling: Option<usize>,
    /// The part of the limit that this process may take.
    share: RateShare,
    taken: VecDeque<Taken>,
    next_ticket: u64,
    /// The endpoint's shortest answer: what a call takes at least, there and back.
    shortest: Option<Duration>,
    closed_until: Option<Instant>,
    refusals_in_a_row: u32,
    careful_since: Option<Instant>,
    /// Calls before this were accepted in other windows than those after it.
    counted_from: Option<Instant>,
    changed_at: Option<Instant>,
    raise_after: Duration,
    is_raised: bool,
}

impl TokenBucket {
    /// A full bucket; without `rate`, one without a limit.
    pub(crate) fn new(rate: Option<CallRate>) -> Self {
        let limit = rate.map(|rate| usize::try_from(rate.calls).unwrap_or(usize::MAX).max(1));
        Self {
            window: rate.map_or(WINDOW, |rate| rate.per.max(Duration::from_millis(1))),
            limit,
            ceiling: limit,
            share: RateShare::WHOLE,
            taken: VecDeque::new(),
            next_ticket: 0,
            shortest: None,
            closed_until: None,
            refusals_in_a_row: 0,
            careful_since: None,
            counted_from: None,
            changed_at: None,
            raise_after: FIRST_RAISE,
            is_raised: false,
        }
    }

    /// Takes only this part of the limit from now on.
    pub(crate) fn set_share(&mut self, share: RateShare) {
        self.share = share;
    }

    /// Calls in a window that this process may make; `None` while no limit is known.
    fn own_limit(&self) -> Option<usize> {
        self.limit.map(|limit| self.share.of(limit))
    }

    /// What is permitted to all together, as far as it is known.
    pub(crate) fn rate(&self) -> Option<CallRate> {
        let calls = u32::try_from(self.limit?).unwrap_or(u32::MAX);
        Some(CallRate { calls, per: self.window })
    }

    /// Until when nothing is sent after the last refusal, if there was one.
    pub(crate) fn closed_until(&self) -> Option<Instant> {
        self.closed_until
    }

    /// When the next call may go; `now` if it may at once.
    pub(crate) fn next_token(&self, now: Instant) -> Instant {
        let opens_at = self.closed_until.map_or(now, |until| until.max(now));
        let Some(limit) = self.own_limit() else { return opens_at };
        let mut used = self.used(now);
        if used < limit {
            return opens_at;
        }
        let mut returns: Vec<(Instant, usize)> =
            self.taken.iter().map(|taken| (self.back_at(taken), taken.calls)).filter(|(at, _)| *at > now).collect();
        returns.sort_unstable();
        for (at, calls) in returns {
            used = used.saturating_sub(calls);
            if used < limit {
                return opens_at.max(at);
            }
        }
        opens_at
    }

    /// Whether so many calls could go at once.
    pub(crate) fn has_room(&self, now: Instant, calls: usize) -> bool {
        let is_open = self.closed_until.is_none_or(|until| until <= now);
        is_open && self.own_limit().is_none_or(|limit| limit.saturating_sub(self.used(now)) >= calls)
    }

    /// Whether so many calls are more than any window permits.
    pub(crate) fn is_exceeded_by(&self, calls: usize) -> bool {
        self.own_limit().is_some_and(|limit| calls > limit)
    }

    /// Takes tokens for up to `wanted` calls, which must then be sent together, at once.
    pub(crate) fn take(&mut self, now: Instant, wanted: usize) -> Permit {
        self.raise(now);
        let at = self.next_token(now);
        if at > now {
            return Permit::Wait(at);
        }
        let mut calls = wanted.max(1);
        if let Some(limit) = self.own_limit() {
            calls = calls.min(limit.saturating_sub(self.used(now)).max(1));
        }
        if let Some(step) = self.careful_step(now) {
            calls = calls.min(step);
        }
        let mut taken = std::mem::take(&mut self.taken);
        taken.retain(|taken| self.back_at(taken) > now);
        taken.push_back(Taken { ticket: self.next_ticket, calls, sent_at: now, latency: None });
        self.taken = taken;
        self.next_ticket += 1;
        Permit::Go { ticket: self.next_ticket - 1, calls }
    }

    /// The endpoint has accepted the calls of `ticket`.
    pub(crate) fn accepted(&mut self, ticket: u64, now: Instant) {
        self.refusals_in_a_row = 0;
        let Some(taken) = self.taken.iter_mut().find(|taken| taken.ticket == ticket) else { return };
        let latency = now.saturating_duration_since(taken.sent_at);
        taken.latency = Some(latency);
        self.shortest = Some(self.shortest.map_or(latency, |shortest| shortest.min(latency)));
    }

    /// The endpoint has refused the calls of `ticket` for its rate and asked to wait, if it said for how long. Returns
    /// until when nothing is sent.
    pub(crate) fn refused(&mut self, ticket: u64, now: Instant, told: Option<Duration>) -> Instant {
        let place = self.taken.iter().position(|taken| taken.ticket == ticket);
        let refused = place.and_then(|place| self.taken.remove(place));
        let is_first_of_its_kind = self.closed_until.is_none_or(|until| until <= now);
        if is_first_of_its_kind {
            self.refusals_in_a_row = self.refusals_in_a_row.saturating_add(1);
        }
        let until = now + wait(told, self.refusals_in_a_row);
        let until = self.closed_until.map_or(until, |closed| closed.max(until));
        self.closed_until = Some(until);
        if let (true, Some(refused)) = (is_first_of_its_kind, refused) {
            self.limit = after_refusal(self.limit, &self.refusal(&refused, now));
            self.changed_at = Some(until);
            if std::mem::take(&mut self.is_raised) {
                self.raise_after = (self.raise_after * 2).min(LONGEST_RAISE);
            }
            (self.careful_since, self.counted_from) = (Some(until), Some(until));
        }
        until
    }

    fn refusal(&self, refused: &Taken, now: Instant) -> Refusal {
        Refusal {
            accepted: self.accepted_before(refused.sent_at),
            refused: refused.calls,
            was_careful: self.is_careful(now),
        }
    }

    fn is_careful(&self, now: Instant) -> bool {
        self.careful_since.is_some_and(|since| now.saturating_duration_since(since) < CAREFUL)
    }

    /// Calls that may go together while the limit is being found; doubled with each window that passes without a
    /// refusal, so that an endpoint that is far away is brought to its limit too.
    fn careful_step(&self, now: Instant) -> Option<usize> {
        let since = self.careful_since.filter(|_| self.is_careful(now))?;
        let windows = now.saturating_duration_since(since).as_millis() / self.window.as_millis().max(1);
        let step = (self.accepted_before(now) / STEP_PART).max(1);
        Some(step << windows.min(7))
    }

    /// Tries a higher limit, if it is time to.
    fn raise(&mut self, now: Instant) {
        let (Some(limit), Some(changed_at)) = (self.limit, self.changed_at) else { return };
        let unchanged_for = now.saturating_duration_since(changed_at);
        if self.is_raised && unchanged_for >= CAREFUL {
            (self.is_raised, self.raise_after) = (false, FIRST_RAISE);
        }
        let ceiling = self.ceiling.unwrap_or(usize::MAX);
        if unchanged_for < self.raise_after || limit >= ceiling {
            return;
        }
        self.limit = Some(limit.saturating_add(limit / 2).saturating_add(1).min(ceiling));
        (self.changed_at, self.careful_since, self.is_raised) = (Some(now), Some(now), true);
    }

    /// When the tokens of `taken` are back.
    fn back_at(&self, taken: &Taken) -> Instant {
        // Nobody knows when a call arrives; but of two calls, the earlier is late by no more than its answer was late.
        let late = match (taken.latency, self.shortest) {
            (Some(latency), Some(shortest)) => latency.saturating_sub(shortest).min(LONGEST_WAY),
            _ => LONGEST_WAY,
        };
        // A hundredth more, for clocks that do not agree.
        taken.sent_at + late + self.window + self.window / 100
    }

    fn used(&self, now: Instant) -> usize {
        self.taken.iter().filter(|taken| self.back_at(taken) > now).map(|taken| taken.calls).sum()
    }

    /// Calls sent in the window before `at` that were accepted.
    fn accepted_before(&self, at: Instant) -> usize {
        let is_counted = |taken: &&Taken| {
            taken.latency.is_some()
                && taken.sent_at + self.window > at
                && self.counted_from.is_none_or(|from| taken.sent_at >= from)
        };
        self.taken.iter().filter(is_counted).map(|taken| taken.calls).sum()
    }
}

/// A refusal, and what went before it.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    /// Calls that were accepted in the same window.
    accepted: usize,
    /// Calls that were refused together.
    refused: usize,
    /// Whether calls went in small steps.
    was_careful: bool,
}

/// The limit after a refusal. What a refusal tells depends on how carefully it was approached: the first one says
/// only that there is a limit.
fn after_refusal(limit: Option<usize>, refusal: &Refusal) -> Option<usize> {
    let less = |limit: usize| (limit / 10 * 9 + limit % 10 * 9 / 10).min(limit.saturating_sub(1));
    match (limit, refusal.was_careful) {
        (None, false) => None,
        // Nothing was accepted since the last refusal: the wait was too short.
        (limit, true) if refusal.accepted == 0 => limit,
        (None, true) => Some(refusal.seen()),
        (Some(limit), true) => Some(refusal.seen().max(limit / 2).min(less(limit)).max(1)),
        (Some(limit), false) => Some(less(limit).max(1)),
    }
}

impl Refusal {
    /// The limit as it shows: what was accepted, and half of the refused step where that is a coarse one.
    fn seen(&self) -> usize {
        let part = if self.refused * 10 > self.accepted { self.refused / 2 } else { 0 };
        (self.accepted + part).max(1)
    }
}

/// Wait after the `refusals`-th refusal in a row.
fn wait(told: Option<Duration>, refusals: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << refusals.saturating_sub(1).min(16)).min(LONGEST_OWN_WAIT);
    match told.map(|told| told.clamp(SHORTEST_TOLD_WAIT, LONGEST_TOLD_WAIT)) {
        // An endpoint that refuses right after the wait that it asked for has not meant it.
        Some(told) if refusals > 1 => told.max(doubled),
        Some(told) => told,
        None => doubled,
    }
}

#[cfg(test)]
mod tests;
