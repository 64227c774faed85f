//! What a turn of the evaluator decides: from where it looks, and what becomes of what it finds and of what it knew. Pure.
//!
//! A turn goes on from the cursor in runs of whole blocks ([`plan_run`]). After a reorg it first goes back to where the branches
//! part ([`rewind`]): all that was found from there on is looked for again, and only when the tip has been reached is what was not
//! found again taken to be gone ([`plan_orphans`]). So a transaction that is in another block now has moved, however many runs lie
//! between. What a rule found that does not look at some of these blocks is taken back as they are passed
//! ([`plan_unseen`]). What is due after that is sent or confirmed ([`plan_due`]).
//!
//! It must never decide by what the evaluator remembers: everything comes from one snapshot of the chain and the ledger's rows.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use isotherm_types::{B256, BlockNumber, BlockRef, RuleId};
use uuid::Uuid;

use crate::cursors::AlertCursor;
use crate::definition::At;
use crate::ledger::{Alert, AlertEvent, AlertState, Message, Outcome, Suppression, Verdict};
use crate::message::Retraction;
use crate::release::{Reach, Release};
use crate::rules::StoredRule;

#[cfg(test)]
mod at_once;
#[cfg(test)]
mod model;
#[cfg(test)]
mod orphans;

/// What of a rule decides about what it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The rule.
    pub rule_id: RuleId,
    /// Version of its definition.
    pub version: i32,
    /// What its blocks have to reach.
    pub release: Release,
    /// Block time after an alert within which another one of its group is suppressed; zero: none is.
    pub cooldown: TimeDelta,
    /// Age of a block above which what it holds is suppressed; `None`: none is too old.
    pub max_age: Option<TimeDelta>,
    /// What is found before is suppressed.
    pub muted_until: Option<DateTime<Utc>>,
    /// New findings in blocks before it do not concern the rule.
    pub first_block: BlockNumber,
}

impl Terms {
    /// Those of a rule. What it asks for may lie in the past, if it is to find that too.
    pub fn of(rule: &StoredRule) -> Self {
        let definition = &rule.definition;
        let seconds = |seconds: u32| TimeDelta::seconds(i64::from(seconds));
        Self {
            rule_id: rule.rule_id,
            version: rule.version,
            release: match definition.at {
                At::Latest => Release::Latest,
                At::Safe => Release::Safe,
                At::Finalized => Release::Finalized,
                At::Confirmations(blocks) => Release::Confirmations(u64::from(blocks)),
            },
            cooldown: seconds(definition.cooldown_seconds),
            max_age: (!definition.backfill).then(|| seconds(definition.max_age_seconds)),
            muted_until: rule.muted_until,
            first_block: rule.first_block,
        }
    }
}

/// Something that a rule found, as far as a decision needs it.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'m> {
    /// Its row of the ledger, if there is one, has this id.
    pub alert_id: Uuid,
    /// The rule.
    pub rule_id: RuleId,
    /// The block that it is in.
    pub block: BlockRef,
    /// The block's time.
    pub block_time: DateTime<Utc>,
    /// What the rule groups by.
    pub group_key: Option<&'m str>,
}

/// A row of the ledger, as far as a decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub alert_id: Uuid,
    /// Its rule.
    pub rule_id: RuleId,
    /// Version of the rule's definition that found it, where it is.
    pub rule_version: i32,
    /// Where it stands.
    pub alert: Alert,
}

/// An alert that keeps others of its group back, in a block before those of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its rule.
    pub rule_id: RuleId,
    /// Its group.
    pub group_key: Option<String>,
    /// Its block.
    pub block: BlockRef,
    /// The block's time.
    pub block_time: DateTime<Utc>,
}

/// A group of which it is asked who holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'m> {
    /// The rule.
    pub rule_id: RuleId,
    /// What the rule groups by.
    pub group_key: Option<&'m str>,
    /// Block time after which an alert holds it.
    pub since: DateTime<Utc>,
}

/// One change, as it is written to the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The alert.
    pub alert_id: Uuid,
    /// Its state before; `None`: it was found.
    pub from: Option<AlertState>,
    /// What it became.
    pub to: Alert,
    /// Why, where the states do not say it.
    pub reason: Option<&'static str>,
}

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Findings, by their place in the run, that become rows, and the state of each.
    pub new: Vec<(usize, AlertState)>,
    /// Findings, by their place in the run, that are in another block than their row says; the state of the row before, and now.
    pub followed: Vec<(usize, AlertState, AlertState)>,
    /// Rows whose state alone changes: before, and now.
    pub turned: Vec<(Uuid, AlertState, AlertState)>,
    /// All changes, in order.
    pub steps: Vec<Step>,
    /// Alerts that are handed to the channels.
    pub fired: Vec<Uuid>,
    /// Alerts whose channels are told that they are in another block.
    pub moved: Vec<Uuid>,
    /// Alerts whose channels are told that they are gone.
    pub retracted: Vec<Uuid>,
}

impl Changes {
    /// Whether anybody is told of anything.
    pub fn has_messages(&self) -> bool {
        !(self.fired.is_empty() && self.moved.is_empty() && self.retracted.is_empty())
    }

    /// How many new rows each rule has; `findings` is what they were decided upon.
    pub fn new_by_rule(&self, findings: &[Finding<'_>]) -> BTreeMap<RuleId, i64> {
        let mut counts = BTreeMap::new();
        for (place, _) in &self.new {
            *counts.entry(findings[*place].rule_id).or_default() += 1;
        }
        counts
    }

    /// Applies `event` to `alert`; its reason goes to the history.
    fn apply(&mut self, alert_id: Uuid, alert: &mut Alert, event: AlertEvent, reason: Option<&'static str>) {
        let Outcome::Becomes { alert: next, message } = alert.on(event) else { return };
        let reason = next.state.reason().or(reason);
        self.steps.push(Step { alert_id, from: Some(alert.state), to: next, reason });
        match message {
            Some(Message::Fired) => self.fired.push(alert_id),
            Some(Message::Moved) => self.moved.push(alert_id),
            Some(Message::Retracted) => self.retracted.push(alert_id),
            None => {}
        }
        *alert = next;
    }
}

/// Where an organisation's rules stand against the chain of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The cursor's block is on the chain, and no reorg is unknown.
    OnChain,
    /// Everything from this block on is to be looked at again.
    BackTo(BlockNumber),
}

/// Compares a cursor with the chain. `reorgs` are the rows of `hot.data_invalidations` after the cursor's, with the first block
/// that each took back; `stored` is the hash that belongs at the cursor's number, if the snapshot knows one.
///
/// A reorg that begins above the cursor matters too: after [`crate::cursors::look_again_after`] there are findings above it.
pub fn position(
    cursor: &AlertCursor,
    reorgs: &[(i64, BlockNumber)],
    stored: Option<B256>,
    finalized: Option<BlockNumber>,
) -> Position {
    let taken_back = reorgs.iter().map(|(_, start)| *start).min();
    if let Some(start) = taken_back {
        return Position::BackTo(start);
    }
    match (cursor.block, stored) {
        // No reorg says so, but the block is another one. What is final is what can be relied on.
        (Some(block), Some(hash)) if hash != block.hash => {
            Position::BackTo(finalized.map_or(BlockNumber(0), BlockNumber::next).min(block.number))
        }
        _ => Position::OnChain,
    }
}

/// The cursor after going back to `start`, the first block to look at again, whose parent is `ancestor` (`None`: it is not stored).
///
/// A cursor below stays where it is, but remembers that findings from `start` on are to be checked.
pub fn rewind(
    cursor: &AlertCursor,
    start: BlockNumber,
    ancestor: Option<BlockRef>,
    newest_reorg: Option<i64>,
) -> AlertCursor {
    let is_beyond = cursor.block.is_some_and(|block| block.number >= start);
    AlertCursor {
        block: if is_beyond { ancestor } else { cursor.block },
        invalidation_id: newest_reorg.unwrap_or(cursor.invalidation_id).max(cursor.invalidation_id),
        recheck_from: Some(cursor.recheck_from.map_or(start, |earlier| earlier.min(start))),
    }
}

/// Decides what becomes of what a run found. `findings` are in the order of their blocks, those of a block in the order of its rows.
///
/// `known` are the rows that the ledger has of them, by id; `holders` the alerts that may keep others back. A finding of a rule
/// without terms is left alone.
pub fn plan_run(
    findings: &[Finding<'_>],
    known: &HashMap<Uuid, Known>,
    terms: &HashMap<RuleId, Terms>,
    holders: &[Holder],
    reach: Reach,
    now: DateTime<Utc>,
) -> Changes {
    let mut changes = Changes::default();
    let mut groups = Groups::default();
    for holder in holders {
        groups.hold(holder.rule_id, holder.group_key.as_deref(), holder.block_time);
    }
    let mut seen = HashSet::with_capacity(findings.len());
    for (place, finding) in findings.iter().enumerate() {
        let Some(terms) = terms.get(&finding.rule_id) else { continue };
        if !seen.insert(finding.alert_id) {
            continue;
        }
        let verdict = verdict(finding, terms, &groups, now);
        let before = known.get(&finding.alert_id).map(|known| known.alert);
        let mut alert = match before {
            Some(alert) => {
                let mut alert = alert;
                let found = AlertEvent::Found { block: finding.block, verdict };
                changes.apply(finding.alert_id, &mut alert, found, None);
                alert
            }
            None if finding.block.number < terms.first_block => continue,
            None => {
                let alert = Alert { state: verdict.state(), block: finding.block };
                let reason = alert.state.reason();
                changes.steps.push(Step { alert_id: finding.alert_id, from: None, to: alert, reason });
                alert
            }
        };
        // It is canonical, as it was just found.
        if reach.releases(finding.block.number, terms.release) {
            changes.apply(finding.alert_id, &mut alert, AlertEvent::Released, None);
        }
        if reach.is_final(finding.block.number) {
            changes.apply(finding.alert_id, &mut alert, AlertEvent::Finalized, None);
        }
        if alert.state.holds_its_group() {
            groups.hold(finding.rule_id, finding.group_key, finding.block_time);
        }
        match before {
            None => changes.new.push((place, alert.state)),
            Some(before) if before.block != alert.block => changes.followed.push((place, before.state, alert.state)),
            Some(before) if before.state != alert.state => {
                changes.turned.push((finding.alert_id, before.state, alert.state));
            }
            Some(_) => {}
        }
    }
    changes
}

/// The same for findings that are about no block: it only says how far the chain was when they were found. What is suppressed then and now,
/// for the same reason, is left as it is, wherever the chain is meanwhile.
pub fn plan_at_once(
    findings: &[Finding<'_>],
    known: &HashMap<Uuid, Known>,
    terms: &HashMap<RuleId, Terms>,
    holders: &[Holder],
    reach: Reach,
    now: DateTime<Utc>,
) -> Changes {
    let mut changes = plan_run(findings, known, terms, holders, reach, now);
    let is_moved = |from: Option<AlertState>, to: AlertState| from == Some(to) && to.reason().is_some();
    changes.followed.retain(|(_, from, to)| !is_moved(Some(*from), *to));
    changes.steps.retain(|step| !is_moved(step.from, step.to.state));
    changes
}

fn verdict(finding: &Finding<'_>, terms: &Terms, groups: &Groups, now: DateTime<Utc>) -> Verdict {
    if terms.max_age.is_some_and(|max_age| now - finding.block_time > max_age) {
        return Verdict::Suppress(Suppression::TooOld);
    }
    if terms.muted_until.is_some_and(|until| now < until) {
        return Verdict::Suppress(Suppression::Muted);
    }
    match groups.last(finding.rule_id, finding.group_key) {
        Some(last) if finding.block_time - last < terms.cooldown => Verdict::Suppress(Suppression::Cooldown),
        _ => Verdict::Send,
    }
}

/// The groups of `findings`, which are in the order of their blocks, that may be held by an alert before them.
pub fn groups<'m>(findings: &[Finding<'m>], terms: &HashMap<RuleId, Terms>) -> Vec<Group<'m>> {
    let mut seen = HashSet::new();
    let mut groups = Vec::new();
    for finding in findings {
        let cooldown = terms.get(&finding.rule_id).map_or(TimeDelta::zero(), |terms| terms.cooldown);
        if cooldown > TimeDelta::zero() && seen.insert((finding.rule_id, finding.group_key)) {
            let since = finding.block_time - cooldown;
            groups.push(Group { rule_id: finding.rule_id, group_key: finding.group_key, since });
        }
    }
    groups
}

/// When each group had its last alert, by block time.
#[derive(Debug, Default)]
struct Groups(HashMap<RuleId, HashMap<Option<String>, DateTime<Utc>>>);

impl Groups {
    fn hold(&mut self, rule_id: RuleId, group_key: Option<&str>, at: DateTime<Utc>) {
        let last = self.0.entry(rule_id).or_default().entry(group_key.map(str::to_owned)).or_insert(at);
        *last = at.max(*last);
    }

    fn last(&self, rule_id: RuleId, group_key: Option<&str>) -> Option<DateTime<Utc>> {
        self.0.get(&rule_id)?.get(&group_key.map(str::to_owned)).copied()
    }
}

/// The holders whose block is on the chain: below `recheck_from` all are; from there on `stored` says which block has a number.
pub fn canonical_holders(
    holders: Vec<Holder>,
    recheck_from: Option<BlockNumber>,
    stored: impl Fn(BlockNumber) -> Option<B256>,
) -> Vec<Holder> {
    let is_canonical = |block: BlockRef| {
        recheck_from.is_none_or(|start| block.number < start) || stored(block.number) == Some(block.hash)
    };
    holders.into_iter().filter(|holder| is_canonical(holder.block)).collect()
}

/// Decides what becomes of findings that a reorg may have taken: all that are live from `recheck_from` on, once every
/// block up to `tip` has been passed. `stored` says which block has a number now, `None` also if its rows are gone;
/// `looked_for` the version of a rule's definition that was looked for in all of them, `None` if none was. What is gone
/// and was looked for by the definition that had found it did not happen; of the rest nobody knows, and the reason says
/// so.
pub fn plan_orphans(
    suspects: &[Known],
    tip: BlockNumber,
    stored: impl Fn(BlockNumber) -> Option<B256>,
    looked_for: impl Fn(RuleId) -> Option<i32>,
) -> Changes {
    let mut changes = Changes::default();
    for suspect in suspects {
        let block = suspect.alert.block;
        let hash = stored(block.number);
        if hash == Some(block.hash) {
            continue;
        }
        // A block below the tip without a row may be the very one.
        let is_replaced = hash.is_some() || block.number > tip;
        let why = match looked_for(suspect.rule_id).filter(|_version| is_replaced) {
            Some(version) if version == suspect.rule_version => Retraction::Orphaned,
            Some(_) => Retraction::RuleChanged,
            None => Retraction::RuleNotAtWork,
        };
        changes.turn(suspect, &[AlertEvent::Orphaned], Some(why.as_str()));
    }
    changes
}

/// Decides what becomes of such findings when blocks below the tip are passed that their rule, as `has_looked` says,
/// has not looked at: they may be in these now, and whoever goes on from there does not know that nobody has looked.
/// One that the rule finds in a later block has moved.
pub fn plan_unseen(
    suspects: &[Known],
    stored: impl Fn(BlockNumber) -> Option<B256>,
    has_looked: impl Fn(RuleId) -> bool,
) -> Changes {
    let mut changes = Changes::default();
    for suspect in suspects {
        let block = suspect.alert.block;
        if !has_looked(suspect.rule_id) && stored(block.number) != Some(block.hash) {
            changes.turn(suspect, &[AlertEvent::Orphaned], Some(Retraction::RuleNotAtWork.as_str()));
        }
    }
    changes
}

/// Decides what becomes of findings whose block has got far enough to send or confirm them. Only those may be given that are
/// canonical (invariant AL-1).
pub fn plan_due(due: &[Known], terms: &HashMap<RuleId, Terms>, reach: Reach) -> Changes {
    let mut changes = Changes::default();
    for known in due {
        let number = known.alert.block.number;
        let released = terms.get(&known.rule_id).filter(|terms| reach.releases(number, terms.release));
        let events = [released.map(|_| AlertEvent::Released), reach.is_final(number).then_some(AlertEvent::Finalized)];
        let events: Vec<AlertEvent> = events.into_iter().flatten().collect();
        changes.turn(known, &events, None);
    }
    changes
}

/// Findings that were not sent when their rule was deleted.
pub fn plan_rule_deleted(known: &[Known]) -> Changes {
    let mut changes = Changes::default();
    for known in known {
        changes.turn(known, &[AlertEvent::RuleDeleted], Some("rule_deleted"));
    }
    changes
}

impl Changes {
    /// Applies `events` to a row, none of which changes its block.
    fn turn(&mut self, known: &Known, events: &[AlertEvent], reason: Option<&'static str>) {
        let mut alert = known.alert;
        for event in events {
            self.apply(known.alert_id, &mut alert, *event, reason);
        }
        if alert.state != known.alert.state {
            self.turned.push((known.alert_id, known.alert.state, alert.state));
        }
    }
}
