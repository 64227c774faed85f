//! Which endpoint is asked, and which ones are worth a look meanwhile. Pure.
//!
//! The configured order is the preference. An endpoint that is passed over for its state or its lag is looked at
//! again by itself, beside the questions and not with them; only where there is nothing better is it asked.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use isotherm_types::BlockNumber;

use super::standing::State;
use crate::retry::LONGEST_WAIT;

/// Shortest time between two looks at an endpoint that is passed over.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Longest time between two looks at the others while the newest block of the one that is asked stays the same.
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);

/// If every endpoint is quarantined, one is asked all the same when it has said nothing untrue for so long: what it
/// answers is checked in any case.
const LAST_RESORT: Duration = Duration::from_secs(2);

/// What the choice goes by, beside the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// An endpoint whose newest block is further behind the best one is passed over.
    pub(crate) max_lag_blocks: u64,
    /// Time from one block to the next.
    pub(crate) block_time: Duration,
}

/// The newest block that an endpoint has shown, and when it first did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenHead {
    pub(crate) number: BlockNumber,
    pub(crate) since: Instant,
}

/// An endpoint as far as the choice is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) state: State,
    pub(crate) head: Option<SeenHead>,
    /// When its rate permits the next call; not in the future if it does so now.
    pub(crate) token_at: Instant,
    /// Its rate permits the whole question now.
    pub(crate) has_room: bool,
    /// It has refused this question for good.
    pub(crate) is_excluded: bool,
    /// When somebody last looked at it.
    pub(crate) looked_at: Option<Instant>,
    /// Somebody is looking at it.
    pub(crate) is_looked_at: bool,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The endpoint at this place.
    Ask(usize),
    /// Nobody before this time; the endpoint at this place then.
    Wait { place: usize, until: Instant },
    /// Nobody: all have refused, or are quarantined.
    Nobody,
}

/// Chooses for a question about blocks up to `needs`, if that is given.
pub(crate) fn choose(views: &[View], needs: Option<BlockNumber>, now: Instant, rules: Rules) -> Choice {
    let best = best_head(views);
    let open = || views.iter().enumerate().filter(|(_, view)| !view.is_excluded);
    let ready = || open().filter(move |(_, view)| view.is_ready(now));
    let near = || ready().filter(move |(_, view)| !view.lags(best, needs, rules));
    // A question that is begun is brought to its end there: rather with one that takes it all at once.
    if let Some((place, _)) = near().find(|(_, view)| view.has_room).or_else(|| near().next()) {
        return Choice::Ask(place);
    }
    let least_behind = ready().max_by_key(|(place, view)| (view.head.map(|head| head.number), Reverse(*place)));
    if let Some((place, _)) = least_behind {
        return Choice::Ask(place);
    }
    // None is known to be well: the first one that may be well again.
    if let Some((place, _)) = open().find(|(_, view)| view.opens_at() <= now) {
        return Choice::Ask(place);
    }
    let trusted = open().filter(|(_, view)| !view.is_quarantined(now));
    if let Some((until, place)) = trusted.map(|(place, view)| (view.opens_at(), place)).min() {
        return Choice::Wait { place, until };
    }
    let last_resort = open().find(|(_, view)| view.is_last_resort(now));
    last_resort.map_or(Choice::Nobody, |(place, _)| Choice::Ask(place))
}

/// Whether another endpoint could take over from the one at `asked` at once.
pub(crate) fn has_stand_in(views: &[View], asked: usize, now: Instant) -> bool {
    views.iter().enumerate().any(|(place, view)| place != asked && !view.is_excluded && view.is_ready(now))
}

/// Whether somebody is left, to be asked soon enough, who may have the block at `number`.
pub(crate) fn may_another_have(views: &[View], number: BlockNumber, now: Instant, rules: Rules) -> bool {
    views.iter().any(|view| {
        let is_open = !view.is_excluded && !view.is_quarantined(now) && view.opens_at() <= now + LONGEST_WAIT;
        is_open && view.may_have(number, now, rules)
    })
}

/// The places of endpoints to look at while the one at `asked` is asked: those that would be asked rather than it if
/// they were well, and all others if it has shown nothing new for longer than a block takes.
pub(crate) fn looks_due(views: &[View], asked: usize, now: Instant, rules: Rules) -> Vec<usize> {
    let best = best_head(views);
    let is_asked_behind = views[asked].lags(best, None, rules);
    let unchanged_for = views[asked].head.map(|head| now.saturating_duration_since(head.since));
    let is_stale = unchanged_for.is_some_and(|span| span > rules.block_time * 3 / 2);
    let stale_interval =
        unchanged_for.map_or(LONGEST_INTERVAL, |span| (span / 8).max(rules.block_time / 2).min(LONGEST_INTERVAL));
    let is_due = |place: usize, view: &View| {
        if place == asked || view.is_looked_at || view.opens_at() > now {
            return false;
        }
        let rested = |interval| view.looked_at.is_none_or(|at| now.saturating_duration_since(at) >= interval);
        let is_passed_over = !view.is_well(now) || view.lags(best, None, rules);
        let is_preferred = place < asked || is_asked_behind;
        (is_passed_over && is_preferred && rested(LOOK_INTERVAL)) || (is_stale && rested(stale_interval))
    };
    (0..views.len()).filter(|place| is_due(*place, &views[*place])).collect()
}

/// The newest block that an endpoint has shown which is not quarantined.
pub(crate) fn best_head(views: &[View]) -> Option<BlockNumber> {
    let trusted = views.iter().filter(|view| !matches!(view.state, State::Quarantined { .. }));
    trusted.filter_map(|view| view.head).map(|head| head.number).max()
}

impl View {
    /// Blocks by which it is behind `best`.
    pub(crate) fn lag(&self, best: Option<BlockNumber>) -> u64 {
        match (best, self.head) {
            (Some(best), Some(head)) => best.0.saturating_sub(head.number.0),
            _ => 0,
        }
    }

    fn lags(&self, best: Option<BlockNumber>, needs: Option<BlockNumber>, rules: Rules) -> bool {
        let is_below = |needed| self.head.is_some_and(|head| head.number < needed);
        self.lag(best) > rules.max_lag_blocks || needs.is_some_and(is_below)
    }

    /// Whether nothing is held against it.
    fn is_well(&self, now: Instant) -> bool {
        match self.state {
            State::Healthy => true,
            State::RateLimited { until } => until <= now,
            State::Cooling { .. } | State::Quarantined { .. } => false,
        }
    }

    fn is_ready(&self, now: Instant) -> bool {
        self.is_well(now) && self.token_at <= now
    }

    /// Whether it may have the block at `number`: it has shown that or a later one, or nothing yet, or has had the time
    /// to come as far since. One that is well where another is asked is not looked at, so what it has shown may be old.
    fn may_have(&self, number: BlockNumber, now: Instant, rules: Rules) -> bool {
        self.head.is_none_or(|head| {
            let missing = u32::try_from(number.0.saturating_sub(head.number.0)).unwrap_or(u32::MAX);
            now.saturating_duration_since(head.since) >= rules.block_time.saturating_mul(missing)
        })
    }

    /// Whether it is left alone now for what it said. Its state stays the same after that until it answers.
    pub(crate) fn is_quarantined(&self, now: Instant) -> bool {
        matches!(self.state, State::Quarantined { until, .. } if now < until)
    }

    /// When it may be asked at the soonest.
    pub(crate) fn opens_at(&self) -> Instant {
        match self.state {
            State::Healthy => self.token_at,
            State::Cooling { until } | State::RateLimited { until } | State::Quarantined { until, .. } => {
                until.max(self.token_at)
            }
        }
    }

    fn is_last_resort(&self, now: Instant) -> bool {
        matches!(self.state, State::Quarantined { since, .. } if since + LAST_RESORT <= now) && self.token_at <= now
    }
}

#[cfg(test)]
mod tests;
