//! What was asked, what came back, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use isotherm_lab::experiment::{Experiment, milliseconds, quantile};
use isotherm_query::platform_tables::ALL;

use super::answer::{Answer, lean};
use super::draw::KINDS;
use super::party::{PARTIES, Party};

/// Most notes that are printed.
const NOTES: usize = 20;
/// Points of a hundred by which refusals of the other's relations may be slower or faster than those of nobody's more
/// often than not.
const MOST_LEAN: f64 = 10.0;
/// Bytes of the chain that was granted to neither.
const OF_NEITHER: &str = "b1b1b1b1b1b1";

/// Counts over answers.
#[derive(Default)]
pub(crate) struct Tally {
    asked: i64,
    /// Answers in which each organisation found its own.
    own: [i64; 2],
    /// Relations of the platform's own in which each organisation found its own.
    relations: [BTreeSet<&'static str>; 2],
    by_code: BTreeMap<String, i64>,
    by_kind: BTreeMap<&'static str, i64>,
    leaks: i64,
    compared_with_nobodys: i64,
    unlike_nobodys: i64,
    compared_with_alone: i64,
    unlike_alone: i64,
    /// Answers that are the platform's failure, which prove nothing.
    broken: i64,
    /// How long each relation of the other's took to be refused, and nobody's in its place.
    refused_in: Vec<(Duration, Duration)>,
    records: usize,
    foreign_records: usize,
    missing_records: i64,
    notes: Vec<String>,
}

impl Tally {
    /// Looks for what is the other's in an answer to what `own` has asked.
    pub(crate) fn look_at(&mut self, answer: &Answer, who: (&Party, &Party), kind: &'static str, asked: &str) {
        let (own, other) = who;
        self.asked += 1;
        *self.by_kind.entry(kind).or_default() += 1;
        *self.by_code.entry(answer.code().unwrap_or("answered").to_owned()).or_default() += 1;
        let place = usize::from(*own != PARTIES[0]);
        self.own[place] += i64::from(!answer.revealed(own.mark, asked).is_empty());
        let mut revealed = answer.revealed(other.mark, asked);
        revealed.extend(answer.holds(OF_NEITHER).then(|| OF_NEITHER.to_owned()));
        if !revealed.is_empty() {
            self.leaks += 1;
            self.note(format!("{kind}: {} learnt {revealed:?} by {asked}", own.mark.word));
        }
        if answer.status() >= 500 {
            self.broken += 1;
            self.note(format!("{kind}: {} to {asked}", answer.lasting()));
        }
    }

    /// The same of all rows of one of the platform's own relations.
    pub(crate) fn look_at_relation(&mut self, answer: &Answer, who: (&Party, &Party), name: &'static str, asked: &str) {
        self.look_at(answer, who, name, asked);
        if !answer.revealed(who.0.mark, asked).is_empty() {
            self.relations[usize::from(*who.0 != PARTIES[0])].insert(name);
        }
    }

    /// What is the other's must be answered like what is nobody's.
    pub(crate) fn compare_with_nobodys(&mut self, answer: &Answer, of_nobody: &Answer, other: &Party, asked: &str) {
        self.compared_with_nobodys += 1;
        let (found, expected) = (answer.lasting_without(other.mark), of_nobody.lasting_without(other.stand_in));
        if found != expected {
            self.unlike_nobodys += 1;
            self.note(format!("{found}\n  unlike nobody's: {expected}\n  {asked}"));
        }
        if answer.is_of_an_unknown_relation() && of_nobody.is_of_an_unknown_relation() {
            self.refused_in.push((answer.took, of_nobody.took));
        }
    }

    /// That the other is there must change nothing.
    pub(crate) fn compare_with_alone(&mut self, answer: &Answer, alone: &Answer, asked: &str) {
        self.compared_with_alone += 1;
        let (found, expected) = (answer.lasting(), alone.lasting());
        if found != expected {
            self.unlike_alone += 1;
            self.note(format!("{found}\n  but alone: {expected}\n  {asked}"));
        }
    }

    pub(crate) fn add_records(&mut self, listed: usize, foreign: usize, missing: i64) {
        self.records += listed;
        self.foreign_records += foreign;
        self.missing_records += missing.abs();
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < NOTES {
            self.notes.push(note);
        }
    }

    /// Both together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.asked += other.asked;
        self.own = [self.own[0] + other.own[0], self.own[1] + other.own[1]];
        for (all, more) in self.relations.iter_mut().zip(other.relations) {
            all.extend(more);
        }
        for (code, count) in other.by_code {
            *self.by_code.entry(code).or_default() += count;
        }
        for (kind, count) in other.by_kind {
            *self.by_kind.entry(kind).or_default() += count;
        }
        self.leaks += other.leaks;
        self.compared_with_nobodys += other.compared_with_nobodys;
        self.unlike_nobodys += other.unlike_nobodys;
        self.compared_with_alone += other.compared_with_alone;
        self.unlike_alone += other.unlike_alone;
        self.broken += other.broken;
        self.refused_in.extend(other.refused_in);
        self.records += other.records;
        self.foreign_records += other.foreign_records;
        self.missing_records += other.missing_records;
        other.notes.into_iter().for_each(|note| self.note(note));
        self
    }

    pub(crate) fn print_notes(&self) {
        for note in &self.notes {
            // Some answers are long.
            println!("two_orgs: {}", note.chars().take(1_000).collect::<String>());
        }
    }

    pub(crate) fn report(&self, experiment: &mut Experiment) {
        let codes: Vec<String> = self.by_code.iter().map(|(code, count)| format!("{code}:{count}")).collect();
        let (theirs, nobodys): (Vec<Duration>, Vec<Duration>) = self.refused_in.iter().copied().unzip();
        let median = |times: &[Duration]| format!("{:.1}", milliseconds(quantile(times, 0.5)));
        let kinds_missing = KINDS.iter().filter(|(kind, _)| !self.by_kind.contains_key(kind)).count();
        let sees_its_own = self.own.iter().all(|answers| *answers > 0);
        let blind = |seen: &BTreeSet<&str>| ALL.iter().filter(|table| !seen.contains(table.name)).count();
        let count = |count: usize| i64::try_from(count).unwrap();
        experiment.figure("asked", self.asked);
        experiment.figure("answers", codes.join("+"));
        experiment.figure("compared_with_nobodys", self.compared_with_nobodys);
        experiment.figure("compared_with_alone", self.compared_with_alone);
        experiment.figure("records", self.records);
        experiment.figure("refusals_timed", self.refused_in.len());
        experiment.figure("refused_theirs_p50_ms", median(&theirs));
        experiment.figure("refused_nobodys_p50_ms", median(&nobodys));
        experiment.zero("kinds_missing", count(kinds_missing));
        experiment.equal("each_sees_its_own", i64::from(sees_its_own), 1);
        experiment.figure("relations", ALL.len());
        experiment.zero("relations_without_own", count(self.relations.iter().map(blind).sum()));
        experiment.zero("leaks", self.leaks);
        experiment.zero("unlike_nobodys", self.unlike_nobodys);
        experiment.zero("unlike_alone", self.unlike_alone);
        experiment.zero("foreign_records", count(self.foreign_records));
        experiment.zero("missing_records", self.missing_records);
        experiment.zero("broken", self.broken);
        experiment.at_most("refusals_lean", lean(&self.refused_in), MOST_LEAN);
    }
}
