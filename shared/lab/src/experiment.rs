//! Experiments: tests that measure while they check, in a short form for CI and a long one for judgement.
//!
//! An experiment is a test whose name begins with `experiment_`. It prints one line of figures, with its seed, the machine's
//! load and Postgres's version, and fails if a rule was broken. Each has *red switches*: with
//! `ISOTHERM_LAB_RED=<guard>` it takes a guard out of its own set-up, and must then fail, or it proves nothing;
//! `./isotherm lab red` runs them all.
//!
//! It must never judge by the code under test: what an experiment counts, it counts by plain SQL or by itself.

use std::fmt::Display;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sqlx::PgConnection;

use crate::tools::environment;

mod victim;

pub use victim::{Victim, victim_order};

/// How large an experiment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Seconds: what CI runs.
    Short,
    /// Minutes: what the targets are about.
    Long,
}

impl Scale {
    /// [`Scale::Long`] if `ISOTHERM_LAB` is `long`.
    pub fn of_environment() -> Self {
        match environment("ISOTHERM_LAB").as_deref() {
            Some(word) if word == "long" => Self::Long,
            _ => Self::Short,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
        }
    }
}

/// A running experiment: its size, its chance, its figures, and the rules that were broken.
#[derive(Debug)]
pub struct Experiment {
    name: &'static str,
    scale: Scale,
    seed: u64,
    red: Option<String>,
    figures: Vec<(String, String)>,
    breaches: Vec<String>,
    began: Instant,
}

impl Experiment {
    /// Begins the experiment `name`, whose red switches are `guards`.
    ///
    /// The seed is `ISOTHERM_LAB_SEED`, else 1.
    ///
    /// # Panics
    /// If `ISOTHERM_LAB_RED` names a guard that this experiment does not have, or the seed is no number.
    pub fn begin(name: &'static str, guards: &[&str]) -> Self {
        let text = |variable| environment(variable).map(|value| value.to_string_lossy().into_owned());
        let seed = text("ISOTHERM_LAB_SEED").map_or(1, |seed| seed.parse().expect("ISOTHERM_LAB_SEED is a number"));
        let red = text("ISOTHERM_LAB_RED").filter(|guard| !guard.is_empty());
        if let Some(guard) = &red {
            assert!(guards.contains(&guard.as_str()), "{name} has no guard {guard:?}; it has {guards:?}");
        }
        let scale = Scale::of_environment();
        Self { name, scale, seed, red, figures: Vec::new(), breaches: Vec::new(), began: Instant::now() }
    }

    /// `short` or `long`, by the scale.
    pub fn scaled<T>(&self, short: T, long: T) -> T {
        match self.scale {
            Scale::Short => short,
            Scale::Long => long,
        }
    }

    /// A source of chance of its own for each `stream`, so that one actor's choices do not depend on another's speed.
    pub fn random(&self, stream: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(stream);
        random
    }

    /// Whether this run is to go without `guard`.
    pub fn lacks(&self, guard: &str) -> bool {
        self.red.as_deref() == Some(guard)
    }

    /// Adds a figure to the line.
    pub fn figure(&mut self, key: &str, value: impl Display) {
        self.figures.push((key.to_owned(), value.to_string()));
    }

    /// Adds the version of the server to the line.
    ///
    /// # Panics
    /// If the server does not answer.
    pub async fn figure_of_postgres(&mut self, conn: &mut PgConnection) {
        let version: String = sqlx::query_scalar("SELECT current_setting('server_version')")
            .fetch_one(conn)
            .await
            .expect("the server of the experiment answers");
        self.figure("postgres", version.split(' ').next().unwrap_or_default());
    }

    /// Adds a count that must be zero.
    pub fn zero(&mut self, key: &str, count: i64) {
        self.equal(key, count, 0);
    }

    /// Adds a count that must be `expected`.
    pub fn equal(&mut self, key: &str, count: i64, expected: i64) {
        self.figure(key, count);
        if count != expected {
            self.breaches.push(format!("{key} is {count}, not {expected}"));
        }
    }

    /// Adds a measured figure that must not be above `limit`. In the short form it is printed only: CI shares its machine, and
    /// a few hundred samples have no p99.
    pub fn at_most(&mut self, key: &str, value: f64, limit: f64) {
        self.figure(key, format!("{value:.1}"));
        if self.scale == Scale::Long && value > limit {
            self.breaches.push(format!("{key} is {value:.1}, above {limit}"));
        }
    }

    /// Prints the line.
    ///
    /// # Panics
    /// If a rule was broken.
    pub fn finish(self) {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let mut line = format!("experiment {} scale={} seed={}", self.name, self.scale.word(), self.seed);
        let red = self.red.iter().map(|guard| ("red".to_owned(), guard.clone()));
        let load = [("load".to_owned(), load.split(' ').next().unwrap_or_default().to_owned())];
        let seconds = [("seconds".to_owned(), format!("{:.1}", self.began.elapsed().as_secs_f64()))];
        let breaches = [("breaches".to_owned(), self.breaches.len().to_string())];
        for (key, value) in red.chain(load).chain(self.figures).chain(seconds).chain(breaches) {
            line.push_str(&format!(" {key}={value}"));
        }
        println!("{line}");
        assert!(self.breaches.is_empty(), "{} broke its rules: {}", self.name, self.breaches.join("; "));
    }
}

/// The value below which the share `quantile` (0 to 1) of `samples` lies, by nearest rank; zero without samples.
pub fn quantile(samples: &[Duration], quantile: f64) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let mut rank = 0;
    // Counted up rather than computed, so that no float is cast: the lists are short.
    while rank + 1 < sorted.len() && ((rank + 1) as f64) < quantile * sorted.len() as f64 {
        rank += 1;
    }
    sorted.get(rank).copied().unwrap_or_default()
}

/// `span` in milliseconds, as figures have it.
pub fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples_by_nearest_rank() {
        let samples: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        for (share, expected) in [(0.0, 1), (0.005, 1), (0.5, 100), (0.95, 190), (0.99, 198), (1.0, 200)] {
            assert_eq!(quantile(&samples, share), Duration::from_millis(expected), "{share}");
        }
        assert_eq!(quantile(&samples[..1], 0.99), Duration::from_millis(200));
        assert_eq!(quantile(&[], 0.99), Duration::ZERO);
    }

    #[test]
    #[should_panic(expected = "test broke its rules: lost is 1, not 0")]
    fn a_broken_rule_fails_the_experiment() {
        let mut experiment = Experiment::begin("test", &[]);
        experiment.zero("doubled", 0);
        experiment.zero("lost", 1);
        experiment.finish();
    }

    #[test]
    fn a_speed_is_judged_in_the_long_form_only() {
        let mut experiment = Experiment { scale: Scale::Short, ..Experiment::begin("test", &[]) };
        experiment.at_most("lag_ms", 2.0, 1.0);
        assert!(experiment.breaches.is_empty());
        experiment.scale = Scale::Long;
        experiment.at_most("lag_ms", 2.0, 1.0);
        assert_eq!(experiment.breaches.len(), 1);
    }

    #[test]
    fn streams_of_chance_are_apart_and_repeat() {
        use rand::Rng;
        let experiment = Experiment::begin("test", &[]);
        let draw = |stream| experiment.random(stream).random::<u64>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
