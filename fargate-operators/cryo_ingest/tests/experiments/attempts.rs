//! One attempt at a task after another, and how they ended.

use std::collections::BTreeSet;

use isotherm_lab::experiment::Experiment;

use crate::program::Ended;

/// How attempts ended.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    pub(crate) count: i64,
    /// Tasks that were completed.
    pub(crate) completed: i64,
    /// Attempts that SIGKILL ended.
    pub(crate) kills: i64,
    panics: i64,
    unclear: i64,
    codes: BTreeSet<String>,
}

impl Attempts {
    pub(crate) fn add(&mut self, ended: &Ended) {
        self.count += 1;
        self.completed += i64::from(ended.is_complete());
        if ended.was_killed() {
            self.kills += 1;
            return;
        }
        self.panics += i64::from(ended.is_disorderly());
        self.unclear += i64::from(!ended.is_complete() && !ended.is_clear_and_retryable());
        self.codes.extend(ended.failure().map(|(code, ..)| code.to_owned()));
    }

    /// Those at all tasks together.
    pub(crate) fn together(all: impl IntoIterator<Item = Self>) -> Self {
        let mut together = Self::default();
        for attempts in all {
            together.count += attempts.count;
            together.completed += attempts.completed;
            together.kills += attempts.kills;
            together.panics += attempts.panics;
            together.unclear += attempts.unclear;
            together.codes.extend(attempts.codes);
        }
        together
    }

    /// How many there were; each of the `task_count` tasks must have been completed, and each failure been clear.
    pub(crate) fn report(self, experiment: &mut Experiment, task_count: i64) {
        experiment.figure("attempts", self.count);
        experiment.figure("codes", self.codes.into_iter().collect::<Vec<_>>().join("+"));
        experiment.zero("panics", self.panics);
        experiment.zero("unclear_errors", self.unclear);
        experiment.equal("completed", self.completed, task_count);
    }
}
