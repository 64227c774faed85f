//! What came of the lies: counts, and the line that they make.

use std::collections::{BTreeMap, BTreeSet};

use isotherm_lab::experiment::Experiment;
use isotherm_lab::lies::kinds;

/// What came of all lies so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    lies: usize,
    /// Answers that were altered.
    answers: usize,
    kinds: BTreeSet<&'static str>,
    /// In how many of the lies an error was named, and which.
    found: usize,
    codes: BTreeMap<String, usize>,
    /// Lies for which there was no occasion.
    untold: i64,
    /// Lies that were not found out by the name that they have.
    unnamed: i64,
    /// Followers that did not go on.
    pub(super) stuck: i64,
    /// Cells that are not as the chain says, and rows that should not be stored.
    pub(super) wrong: i64,
    /// Rows that should be stored and are not.
    pub(super) lost: i64,
    /// Breaches of the store's own rules: numbers without a block, blocks that do not follow the one before.
    pub(super) gaps: i64,
    /// Endpoints that were said to lie and did not, or said only what an honest one may say.
    pub(super) innocents: i64,
    /// Kinds with which something went wrong.
    pub(super) troubled: BTreeSet<&'static str>,
}

impl Findings {
    /// Takes down a lie, told in so many answers, and the errors that were named meanwhile.
    pub(super) fn take_down(&mut self, kind: &'static str, answers: usize, is_named: bool, codes: BTreeSet<String>) {
        self.lies += 1;
        if answers == 0 {
            self.untold += 1;
            return;
        }
        self.answers += answers;
        self.kinds.insert(kind);
        self.unnamed += i64::from(!is_named);
        self.found += usize::from(!codes.is_empty());
        for code in codes {
            *self.codes.entry(code).or_default() += 1;
        }
    }

    /// What must be zero, taken together.
    pub(super) fn faults(&self) -> i64 {
        self.untold + self.unnamed + self.stuck + self.wrong + self.lost + self.gaps + self.innocents
    }

    /// Writes the figures.
    pub(super) fn write(&self, experiment: &mut Experiment) {
        let joined = |words: Vec<String>| if words.is_empty() { "none".to_owned() } else { words.join("+") };
        experiment.figure("lies", self.lies);
        // In the short form each kind is told once or twice, and what found no occasion may have been all of its kind.
        let untold_kinds = i64::try_from(kinds().len() - self.kinds.len()).unwrap();
        experiment.figure("kinds", self.kinds.len());
        experiment.zero(
            "kinds_never_told",
            if experiment.scaled(true, false) { (untold_kinds - self.untold).max(0) } else { untold_kinds },
        );
        experiment.figure("told", self.answers);
        experiment.figure("found", self.found);
        let codes = self.codes.iter().map(|(code, count)| format!("{code}:{count}"));
        experiment.figure("codes", joined(codes.collect()));
        // The chain's id is asked for in passing only, so that a lie about it may find no occasion; and a lie that is told beside
        // the truth may have done no harm before it was over: that is no error, and has no name.
        #[expect(clippy::cast_precision_loss, reason = "a few thousand lies")]
        let percent = |count: i64| 100.0 * count as f64 / self.lies as f64;
        experiment.figure("untold", self.untold);
        if experiment.scaled(true, false) {
            experiment.zero("unnamed", self.unnamed);
        }
        experiment.at_most("untold_percent", percent(self.untold), 1.0);
        experiment.at_most("unnamed_percent", percent(self.unnamed), 1.0);
        experiment.zero("wrong", self.wrong);
        experiment.zero("lost_rows", self.lost);
        experiment.zero("gaps", self.gaps);
        experiment.zero("stuck", self.stuck);
        experiment.zero("wrongly_blamed", self.innocents);
        experiment.figure("troubled", joined(self.troubled.iter().map(|kind| (*kind).to_owned()).collect()));
    }
}
