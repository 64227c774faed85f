//! What came of the queries.

use std::collections::{BTreeSet, HashSet};

use isotherm_lab::experiment::Experiment;
use isotherm_types::B256;

use super::draw::KINDS;

/// Mismatches and errors that are printed at most.
const MOST_NOTES: usize = 10;

/// Counts of one question, one round, or all.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Runs of a sandbox.
    pub(crate) requests: i64,
    pub(crate) queries: i64,
    pub(crate) rows: i64,
    pub(crate) empty_answers: i64,
    pub(crate) mismatches: i64,
    pub(crate) errors: i64,
    /// Answers of a tip that was none while the query ran.
    pub(crate) out_of_time: i64,
    /// Queries that began before a change and ended after it.
    pub(crate) over_a_change: i64,
    /// Runs that were held until the world had changed.
    pub(crate) held: u64,
    pub(crate) split_snapshots: u64,
    pub(crate) reorgs: u64,
    pub(crate) appends: u64,
    pub(crate) compactions: u64,
    pub(crate) merges: u64,
    pub(crate) cleanups: u64,
    pub(crate) tips: HashSet<B256>,
    pub(crate) kinds: BTreeSet<&'static str>,
    /// What people need to see of what went wrong.
    pub(crate) notes: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.queries += other.queries;
        self.rows += other.rows;
        self.empty_answers += other.empty_answers;
        self.mismatches += other.mismatches;
        self.errors += other.errors;
        self.out_of_time += other.out_of_time;
        self.over_a_change += other.over_a_change;
        self.held += other.held;
        self.split_snapshots += other.split_snapshots;
        self.reorgs += other.reorgs;
        self.appends += other.appends;
        self.compactions += other.compactions;
        self.merges += other.merges;
        self.cleanups += other.cleanups;
        self.tips.extend(other.tips);
        self.kinds.extend(other.kinds);
        self.notes.extend(other.notes);
    }

    pub(crate) fn print_notes(&self) {
        for note in self.notes.iter().take(MOST_NOTES) {
            println!("{note}\n");
        }
    }

    /// `asked` is how many queries there must be an answer to.
    pub(crate) fn report(&self, experiment: &mut Experiment, asked: i64) {
        let missing: Vec<&str> = KINDS.iter().copied().filter(|kind| !self.kinds.contains(kind)).collect();
        if !missing.is_empty() {
            println!("no query had: {}", missing.join(", "));
        }
        let must_happen = [self.held, self.reorgs, self.appends, self.compactions, self.merges, self.cleanups];
        let tips = self.tips.len();
        let never_happened = must_happen.iter().filter(|count| **count == 0).count()
            + usize::from(tips < 2)
            + usize::from(self.over_a_change == 0);

        experiment.equal("queries", self.queries, asked);
        experiment.figure("requests", self.requests);
        experiment.figure("kinds", self.kinds.len());
        experiment.figure("rows", self.rows);
        experiment.figure("empty_answers", self.empty_answers);
        experiment.figure("tips_seen", tips);
        experiment.figure("reorgs", self.reorgs);
        experiment.figure("appends", self.appends);
        experiment.figure("compactions", self.compactions);
        experiment.figure("merges", self.merges);
        experiment.figure("cleanups", self.cleanups);
        experiment.figure("queries_over_a_change", self.over_a_change);
        experiment.figure("held", self.held);
        experiment.figure("split_snapshots", self.split_snapshots);
        experiment.zero("mismatches", self.mismatches);
        experiment.zero("errors", self.errors);
        experiment.zero("out_of_time", self.out_of_time);
        experiment.zero("kinds_missing", i64::try_from(missing.len()).unwrap());
        experiment.zero("never_happened", i64::try_from(never_happened).unwrap());
        // An empty answer is equal to another one too easily.
        experiment.zero("mostly_empty", i64::from(self.empty_answers * 5 > self.queries));
    }
}
