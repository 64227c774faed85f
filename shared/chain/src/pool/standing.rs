//! How an endpoint stands after what it did. Pure: the time and the jitter are passed in.
//!
//! A quarantine is never cut short by a later answer, and a pause never grows beyond [`LONGEST_PAUSE`].

use std::time::{Duration, Instant};

use isotherm_types::disposition::Classified as _;

use crate::error::ChainError;

/// Pause after a first failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause after failures.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether an endpoint is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// It is.
    #[default]
    Healthy,
    /// It failed, and is left alone for a while.
    Cooling { until: Instant },
    /// It asked to slow down.
    RateLimited { until: Instant },
    /// It said something untrue.
    Quarantined { code: &'static str, since: Instant, until: Instant },
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It answered.
    Answered,
    /// It answered with blocks.
    Served,
    /// It did not serve a block that it had shown, or not whole, or showed one that another endpoint contradicts.
    Withheld,
    /// It did not answer, or not usefully.
    Failed,
    /// It refused for its rate, and takes calls again at this time.
    RateLimited { until: Instant },
    /// It said something that cannot be true.
    Untrue { code: &'static str },
    /// What went wrong says nothing about the endpoint's health.
    Neutral,
}

impl Outcome {
    /// What `error` says about the endpoint that it came from. `open_again` is when it takes calls again, after a
    /// refusal for its rate; `is_repeated` if it was asked again at once before, for the same question.
    pub(crate) fn of(error: &ChainError, open_again: Instant, is_repeated: bool) -> Self {
        match error {
            // A batch that is refused is made smaller: of those, only what can be no smaller gets here.
            ChainError::Unreachable { .. }
            | ChainError::HttpStatus { .. }
            | ChainError::MissingAnswer { .. }
            | ChainError::Undecodable { .. }
            | ChainError::Malformed { .. }
            | ChainError::Rpc { .. }
            | ChainError::BatchRefused { .. }
            | ChainError::AnswerTooLarge { .. } => Self::Failed,
            ChainError::RateLimited { .. } => Self::RateLimited { until: open_again },
            ChainError::BadBlock(_) | ChainError::WrongChainId { .. } => Self::Untrue { code: error.code() },
            // After a reorg, honest nodes answer so for a moment.
            ChainError::ReplacedWhileFetching { .. } if is_repeated => Self::Withheld,
            ChainError::Unsupported { .. }
            | ChainError::ReplacedWhileFetching { .. }
            | ChainError::TracesWithheld { .. }
            | ChainError::InvalidRpcUrl { .. }
            | ChainError::NoEndpoint
            | ChainError::Client { .. }
            | ChainError::Column(_)
            | ChainError::Interrupted => Self::Neutral,
        }
    }
}

/// How an endpoint stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether it is asked.
    pub(crate) state: State,
    /// Failures since it last answered.
    failures: u32,
    /// Blocks in a row that it did not serve although it had shown a head above them.
    withheld: u32,
}

impl Standing {
    /// The standing after `outcome` at `now`. `jitter` is in `0.0..1.0` and spreads the pauses of many followers.
    #[must_use]
    pub(crate) fn after(self, outcome: Outcome, now: Instant, jitter: f64, quarantine: Duration) -> Self {
        match (self.state, outcome) {
            (_, Outcome::Neutral) => self,
            (_, Outcome::Untrue { code }) => {
                Self { state: State::Quarantined { code, since: now, until: now + quarantine }, ..self }
            }
            (State::Quarantined { until, .. }, _) if now < until => self,
            // An answer that was under way when it asked to slow down.
            (State::RateLimited { until }, Outcome::Answered | Outcome::Served) if now < until => {
                Self { failures: 0, ..self }
            }
            (_, Outcome::Answered) => Self { state: State::Healthy, failures: 0, ..self },
            (_, Outcome::Served) => Self::default(),
            (_, Outcome::RateLimited { until }) => Self { state: State::RateLimited { until }, ..self },
            (_, Outcome::Failed) => {
                let failures = self.failures.saturating_add(1);
                Self { state: State::Cooling { until: now + pause(failures, jitter) }, failures, ..self }
            }
            (_, Outcome::Withheld) => {
                let withheld = self.withheld.saturating_add(1);
                Self { state: State::Cooling { until: now + pause(withheld, jitter) }, withheld, ..self }
            }
        }
    }
}

/// Pause after so many failures in a row, 1 or more.
fn pause(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE).mul_f64(0.5 + jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use isotherm_types::BlockNumber;

    use super::*;

    const QUARANTINE: Duration = Duration::from_secs(600);

    fn step(standing: Standing, outcome: Outcome, now: Instant) -> Standing {
        standing.after(outcome, now, 1.0, QUARANTINE)
    }

    #[test]
    fn each_outcome_leads_to_its_state() {
        let now = Instant::now();
        let later = now + Duration::from_secs(3);
        let (lie, other) = ("chain.bad_receipt_count", "chain.wrong_chain_id");
        let quarantined = |code| State::Quarantined { code, since: now, until: now + QUARANTINE };
        let limited = State::RateLimited { until: later };
        let cooling = |pause_ms| State::Cooling { until: now + Duration::from_millis(pause_ms) };
        let cases = [
            (State::Healthy, Outcome::Answered, State::Healthy),
            (State::Healthy, Outcome::Neutral, State::Healthy),
            (State::Healthy, Outcome::Failed, cooling(50)),
            (State::Healthy, Outcome::Withheld, cooling(50)),
            (State::Healthy, Outcome::RateLimited { until: later }, limited),
            (State::Healthy, Outcome::Untrue { code: lie }, quarantined(lie)),
            (cooling(9), Outcome::Neutral, cooling(9)),
            (cooling(9), Outcome::Answered, State::Healthy),
            (cooling(9), Outcome::Served, State::Healthy),
            (cooling(9), Outcome::RateLimited { until: later }, limited),
            (limited, Outcome::Answered, limited),
            (limited, Outcome::Served, limited),
            (limited, Outcome::Failed, cooling(50)),
            (limited, Outcome::Untrue { code: lie }, quarantined(lie)),
            (quarantined(lie), Outcome::Answered, quarantined(lie)),
            (quarantined(lie), Outcome::Served, quarantined(lie)),
            (quarantined(lie), Outcome::Failed, quarantined(lie)),
            (quarantined(lie), Outcome::RateLimited { until: later }, quarantined(lie)),
            (quarantined(lie), Outcome::Untrue { code: other }, quarantined(other)),
        ];
        for (place, (state, outcome, expected)) in cases.into_iter().enumerate() {
            let found = step(Standing { state, ..Standing::default() }, outcome, now);
            assert_eq!(found.state, expected, "case {place}: {outcome:?}");
        }
    }

    #[test]
    fn a_block_that_was_replaced_is_held_against_nobody_until_it_is_said_again() {
        let replaced = ChainError::ReplacedWhileFetching { number: BlockNumber(7) };
        let now = Instant::now();
        assert_eq!(Outcome::of(&replaced, now, false), Outcome::Neutral);
        assert_eq!(Outcome::of(&replaced, now, true), Outcome::Withheld);
        let silent = ChainError::MissingAnswer { endpoint: "a".to_owned(), method: "eth_chainId" };
        assert_eq!(Outcome::of(&silent, now, true), Outcome::Failed);
    }

    #[test]
    fn who_answers_nothing_of_bearable_size_is_left_alone() {
        let endpoint = || "a".to_owned();
        let now = Instant::now();
        for error in [
            ChainError::BatchRefused { endpoint: endpoint(), calls: 1, message: "too large".to_owned() },
            ChainError::AnswerTooLarge { endpoint: endpoint(), limit_bytes: 1 },
        ] {
            let standing = step(Standing::default(), Outcome::of(&error, now, false), now);
            assert!(matches!(standing.state, State::Cooling { .. }), "{error}: {standing:?}");
        }
    }

    #[test]
    fn a_quarantine_and_a_rate_limit_end_with_the_first_answer_after_their_time() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        for state in [State::RateLimited { until }, State::Quarantined { code: "chain.bad_number", since: now, until }]
        {
            let standing = Standing { state, ..Standing::default() };
            assert_eq!(step(standing, Outcome::Answered, now).state, state);
            assert_eq!(step(standing, Outcome::Answered, until).state, State::Healthy);
        }
    }

    #[test]
    fn pauses_double_until_an_answer_and_withheld_blocks_count_until_one_is_served() {
        let now = Instant::now();
        let pauses = |outcome: Outcome, between: Outcome| {
            let mut standing = Standing::default();
            let mut pauses_ms = Vec::new();
            for _ in 0..9 {
                standing = step(step(standing, between, now), outcome, now);
                let State::Cooling { until } = standing.state else { panic!("{standing:?}") };
                pauses_ms.push((until - now).as_millis());
            }
            pauses_ms
        };
        let doubled: [u128; 9] = [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000];
        assert_eq!(pauses(Outcome::Failed, Outcome::Neutral), doubled);
        assert_eq!(pauses(Outcome::Failed, Outcome::Answered), [50u128; 9]);
        assert_eq!(pauses(Outcome::Withheld, Outcome::Answered), doubled);
        assert_eq!(pauses(Outcome::Withheld, Outcome::Served), [50u128; 9]);
    }

    fn outcome(kind: u8, now: Instant) -> Outcome {
        match kind {
            0 => Outcome::Answered,
            1 => Outcome::Served,
            2 => Outcome::Withheld,
            3 => Outcome::Failed,
            4 => Outcome::RateLimited { until: now + Duration::from_secs(1) },
            5 => Outcome::Untrue { code: "chain.bad_hash" },
            _ => Outcome::Neutral,
        }
    }

    proptest::proptest! {
        #[test]
        fn no_pause_is_longer_than_the_longest_and_no_liar_is_let_back_early(
            steps in proptest::collection::vec((0u8..7, 0u64..40_000, 0.0f64..1.0), 1..60),
        ) {
            let mut now = Instant::now();
            let mut standing = Standing::default();
            let mut last_lie = None;
            for (kind, pause_ms, jitter) in steps {
                now += Duration::from_millis(pause_ms);
                let outcome = outcome(kind, now);
                standing = standing.after(outcome, now, jitter, QUARANTINE);
                if matches!(outcome, Outcome::Untrue { .. }) {
                    last_lie = Some(now);
                }
                let is_out = matches!(standing.state, State::Quarantined { until, .. } if now < until);
                proptest::prop_assert_eq!(is_out, last_lie.is_some_and(|lie| now < lie + QUARANTINE));
                if let State::Cooling { until } = standing.state {
                    proptest::prop_assert!(until <= now + LONGEST_PAUSE);
                }
            }
        }
    }
}
