//! How much the rules have found in a run, and which of them has found too much.
//!
//! Pure. Findings are held in memory until they are written down, so they are bounded while rows are gone over: of each rule, of an
//! organisation's rules together, and of all rules together, in number and in bytes.

use std::collections::HashMap;

use isotherm_types::{Classified, Disposition, OrgId};
use serde_json::Value as Json;

use super::Match;

/// A number of findings, and their size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Findings.
    pub row_count: usize,
    /// Their memory, about.
    pub size_bytes: usize,
}

/// What one rule may find in a run.
pub const MOST_OF_RULE: Bound = Bound { row_count: 5_000, size_bytes: 16 << 20 };
/// What the rules of one organisation may find in a run.
pub const MOST_OF_ORG: Bound = Bound { row_count: 20_000, size_bytes: 48 << 20 };
/// What all rules may find in a run.
pub const MOST_OF_RUN: Bound = Bound { row_count: 50_000, size_bytes: 128 << 20 };

/// What becomes of a search in which rules find more than they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It ends, and has found nothing: with fewer blocks there may be less.
    EndsSearch,
    /// The rule that has found too much has found nothing, and is at fault.
    IsAFault,
}

/// Why a rule is at fault for what it has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{whose} found more at once than may be held: {} findings, or {} MiB of them{}; let `address`, `topic0`, `selector` or the condition choose less", .most.row_count, .most.size_bytes >> 20, .whose.blame())]
pub(super) struct TooManyMatches {
    whose: Whose,
    most: Bound,
}

/// Whose bound it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Rule,
    Org,
    Run,
}

impl Whose {
    fn blame(self) -> &'static str {
        match self {
            Self::Rule => "",
            Self::Org | Self::Run => ", and this rule the most",
        }
    }
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rule => "the rule",
            Self::Org => "the organisation's rules together",
            Self::Run => "all rules together",
        })
    }
}

impl Classified for TooManyMatches {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "alerts.too_many_matches"
    }
}

impl Bound {
    fn is_over(self, most: Self) -> bool {
        self.row_count > most.row_count || self.size_bytes > most.size_bytes
    }

    fn add(&mut self, size_bytes: usize) {
        self.row_count += 1;
        self.size_bytes += size_bytes;
    }

    fn take(&mut self, other: Self) {
        self.row_count -= other.row_count;
        self.size_bytes -= other.size_bytes;
    }

    /// Which of two has more of what `most` is exceeded in.
    fn amount(self, over: Self, most: Self) -> usize {
        if over.row_count > most.row_count { self.row_count } else { self.size_bytes }
    }
}

/// What has been found so far. Rules are known by their places.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rules: HashMap<u32, (OrgId, Bound), foldhash::fast::RandomState>,
    orgs: HashMap<OrgId, Bound, foldhash::fast::RandomState>,
    run: Bound,
}

impl Tally {
    /// Counts a finding of the rule at `place`.
    pub(super) fn add(&mut self, place: u32, found: &Match) {
        let size_bytes = size_bytes(found);
        self.rules.entry(place).or_insert((found.org, Bound::default())).1.add(size_bytes);
        self.orgs.entry(found.org).or_default().add(size_bytes);
        self.run.add(size_bytes);
    }

    /// The rule whose findings have to go, after one of `org`'s rule at `place` was counted; `None` while there is room for all.
    pub(super) fn excess(&self, place: u32, org: OrgId) -> Option<(u32, TooManyMatches)> {
        let of_rule = self.rules.get(&place).map(|(_, found)| *found).unwrap_or_default();
        if of_rule.is_over(MOST_OF_RULE) {
            return Some((place, TooManyMatches { whose: Whose::Rule, most: MOST_OF_RULE }));
        }
        let of_org = self.orgs.get(&org).copied().unwrap_or_default();
        if of_org.is_over(MOST_OF_ORG) {
            let most = MOST_OF_ORG;
            let place = self.largest(org, |found| found.amount(of_org, most))?;
            return Some((place, TooManyMatches { whose: Whose::Org, most }));
        }
        if self.run.is_over(MOST_OF_RUN) {
            let most = MOST_OF_RUN;
            let amount = |found: Bound| found.amount(self.run, most);
            let org = self.orgs.iter().max_by_key(|(org, found)| (amount(**found), **org)).map(|(org, _)| *org)?;
            let place = self.largest(org, amount)?;
            return Some((place, TooManyMatches { whose: Whose::Run, most }));
        }
        None
    }

    /// The rule of `org` that has found most; of several the youngest.
    fn largest(&self, org: OrgId, amount: impl Fn(Bound) -> usize) -> Option<u32> {
        let of_org = self.rules.iter().filter(|(_, (of, _))| *of == org);
        of_org.max_by_key(|(place, (_, found))| (amount(*found), **place)).map(|(place, _)| *place)
    }

    /// Forgets what the rule at `place` has found.
    pub(super) fn forget(&mut self, place: u32) {
        let Some((org, found)) = self.rules.remove(&place) else { return };
        self.run.take(found);
        if let Some(of_org) = self.orgs.get_mut(&org) {
            of_org.take(found);
        }
    }
}

/// The memory that a finding holds, about.
fn size_bytes(found: &Match) -> usize {
    let texts = found.title.len() + found.message.len() + found.group_key.as_ref().map_or(0, String::len);
    size_of::<Match>() + texts + json_bytes(&found.facts)
}

fn json_bytes(value: &Json) -> usize {
    let held = match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => text.len(),
        Json::Array(values) => values.iter().map(json_bytes).sum(),
        Json::Object(fields) => {
            fields.iter().map(|(name, value)| size_of::<String>() + name.len() + json_bytes(value)).sum()
        }
    };
    size_of::<Json>() + held
}
