//! The time of an experiment whose rows are moved back: what has really passed, and what it was told has.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use isotherm_types::{Clock, SystemClock};

/// Since the beginning of an experiment.
pub(crate) struct VirtualTime {
    began: Instant,
    began_at: DateTime<Utc>,
    /// From when on how much had been passed over.
    jumps: Vec<(Instant, Duration)>,
}

impl VirtualTime {
    pub(crate) fn begin() -> Self {
        let began = Instant::now();
        Self { began, began_at: SystemClock.now(), jumps: vec![(began, Duration::ZERO)] }
    }

    /// How much has been passed over so far.
    fn passed(&self) -> Duration {
        self.jumps.last().map_or(Duration::ZERO, |(_, passed)| *passed)
    }

    /// Notes that `span` is passed over now.
    pub(crate) fn jump(&mut self, span: Duration) {
        self.jumps.push((Instant::now(), self.passed() + span));
    }

    /// The virtual time of an instant.
    pub(crate) fn of(&self, at: Instant) -> Duration {
        let before = self.jumps.partition_point(|(since, _)| *since <= at);
        let passed = self.jumps.get(before.saturating_sub(1)).map_or(Duration::ZERO, |(_, passed)| *passed);
        at.saturating_duration_since(self.began) + passed
    }

    /// The virtual time now.
    pub(crate) fn now(&self) -> Duration {
        self.of(Instant::now())
    }

    /// What a clock on the wall showed at an instant.
    pub(crate) fn wall_clock(&self, at: Instant) -> DateTime<Utc> {
        self.began_at + at.saturating_duration_since(self.began)
    }
}
