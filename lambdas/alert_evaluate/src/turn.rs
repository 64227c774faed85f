//! One turn for one chain: what its rules find in one snapshot, written down organisation by organisation, run by run.
//!
//! What is decided, and how, is `isotherm_alerts::turn`; here it is strung together. A turn that ends early, or is killed, has
//! written whole runs, and the next one goes on from the cursors. A failure of one organisation keeps no other back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use isotherm_alerts::alert_events;
use isotherm_alerts::cursors::{self, AlertCursor};
use isotherm_alerts::index::{Found, Match, RuleFault};
use isotherm_alerts::ledger::LedgerError;
use isotherm_platform::Fault;
use isotherm_platform::database::{self, Borrowed, answered_within};
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Classified, CrashPoint, OrgId, RuleId};
use sqlx::{Connection as _, PgConnection};

use crate::chain_view::{Audience, ChainView, MOST_BLOCKS, Next};
use crate::record::{Recorded, Recording};
use crate::rule_set::RuleSet;
use crate::trouble::Trouble;
use crate::{Evaluator, SOMEBODY_FIRST, quarantine, report};

/// Blocks of a turn's first run after a halt of many blocks; the next ones are longer.
const FIRST_BLOCKS: u64 = 16;

/// Blocks below the tip within which an organisation goes before those that are further behind.
const NEAR_BLOCKS: u64 = 256;

/// What a turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turned {
    /// Blocks that were looked at.
    pub blocks: u64,
    /// What rules found in them.
    pub findings: usize,
    /// Messages that wait because of it.
    pub messages: u64,
}

impl Turned {
    /// Both together.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            blocks: self.blocks + other.blocks,
            findings: self.findings + other.findings,
            messages: self.messages + other.messages,
        }
    }
}

/// An organisation in a turn.
struct Standing {
    org_id: OrgId,
    /// The first block that concerns a rule; `None`: it has none at work.
    first_block: Option<BlockNumber>,
    /// As it is stored; `None`: it is not yet.
    stored: Option<AlertCursor>,
    /// From where it goes on.
    cursor: AlertCursor,
    /// Whether it has passed blocks in this turn.
    has_passed: bool,
    /// Whether this turn is over for it.
    is_over: bool,
}

/// Does a turn, with no run begun after `until`.
///
/// # Errors
/// The first failure of an organisation, after the others have had their turn; what Postgres reports.
pub(crate) async fn turn(evaluator: &Evaluator, chain_id: ChainId, until: Instant) -> Result<Turned, Fault> {
    let mut reader = borrowed(evaluator).await?;
    let begun = (*reader).begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    let mut snapshot = answered_within(database::PATIENCE, begun).await.map_err(LedgerError::from)?;
    let begun = Turn::begin(evaluator, &mut snapshot, chain_id).await?;
    let rules = begun.as_ref().map(|turn| Arc::clone(&turn.rules));
    let turned = match begun {
        None => Ok(Turned::default()),
        Some(turn) => turn.go(&mut snapshot, until).await,
    };
    let ended = snapshot.rollback().await;
    if turned.is_ok() && ended.is_ok() {
        reader.give_back();
    }
    if let Some(rules) = rules {
        quarantine::each(evaluator, &rules.faults).await?;
    }
    turned
}

/// What was found in a run, by organisation.
#[derive(Default)]
struct Harvest<'run> {
    matches: BTreeMap<OrgId, Vec<&'run Match>>,
    faults: BTreeMap<OrgId, Vec<&'run RuleFault>>,
    /// Whether the rows of the run are gone: no rule was held against them.
    is_gone: bool,
}

impl<'run> Harvest<'run> {
    fn of(found: &'run Found, rules: &RuleSet) -> Self {
        let mut harvest = Self::default();
        for one in &found.matches {
            harvest.matches.entry(one.org).or_default().push(one);
        }
        for fault in &found.faults {
            let org_id = rules.index.rule(fault.rule_id).stored.org_id;
            harvest.faults.entry(org_id).or_default().push(fault);
        }
        harvest
    }
}

struct Turn<'e> {
    evaluator: &'e Evaluator,
    view: ChainView,
    rules: Arc<RuleSet>,
    standings: Vec<Standing>,
    /// How many blocks the next run has.
    span: u64,
    turned: Turned,
    /// Rules that failed at a row, or are out of work since the turn began: what they did not find may be there.
    failed: BTreeSet<RuleId>,
    failure: Option<Fault>,
}

impl<'e> Turn<'e> {
    async fn begin(
        evaluator: &'e Evaluator,
        snapshot: &mut PgConnection,
        chain_id: ChainId,
    ) -> Result<Option<Self>, Fault> {
        let Some(view) = ChainView::read(snapshot, chain_id).await? else { return Ok(None) };
        let rules = evaluator.rule_sets.of_chain(snapshot, chain_id).await?;
        let cursors = cursors::of_chain(snapshot, chain_id).await?;
        let mut orgs: BTreeSet<OrgId> = rules.orgs.keys().copied().collect();
        orgs.extend(alert_events::orgs_with_live(snapshot, chain_id).await?);
        let mut standings = Vec::with_capacity(orgs.len());
        for org_id in orgs {
            let stored = cursors.get(&org_id).copied();
            let first_block = rules.orgs.get(&org_id).map(|org| org.first_block);
            let from = stored.unwrap_or_else(|| view.new_cursor());
            let cursor = view.going_on(snapshot, &from, first_block).await?;
            standings.push(Standing { org_id, first_block, stored, cursor, has_passed: false, is_over: false });
        }
        Ok(Some(Self {
            evaluator,
            view,
            rules,
            standings,
            span: FIRST_BLOCKS,
            turned: Turned::default(),
            failed: BTreeSet::new(),
            failure: None,
        }))
    }

    async fn go(mut self, snapshot: &mut PgConnection, until: Instant) -> Result<Turned, Fault> {
        while Instant::now() < until {
            let Some(blocks) = self.next_run() else { break };
            let rules = Arc::clone(&self.rules);
            let again_from = self.standings.iter().filter_map(|standing| standing.cursor.recheck_from).min();
            let here = self.orgs_at(blocks.start());
            let audience = Audience { index: &rules.index, orgs: here.as_ref(), failed: &self.failed, again_from };
            let next = self.view.next(snapshot, &audience, blocks).await?;
            match next {
                Next::Run(run) => {
                    CrashPoint::EvaluateFound.pass();
                    let length = run.last.number.0 + 1 - blocks.start().0;
                    let was_cut = length < blocks.block_count();
                    self.span = if was_cut { length } else { (self.span * 2).min(MOST_BLOCKS) };
                    self.turned.blocks += length;
                    self.turned.findings += run.found.matches.len();
                    self.failed.extend(run.found.faults.iter().map(|fault| fault.rule_id));
                    let harvest = Harvest::of(&run.found, &rules);
                    self.advance(snapshot, blocks.start(), run.last, &harvest).await;
                }
                Next::Gone(last) => {
                    let trouble = Trouble::RowsGone { from: blocks.start() };
                    tracing::error!(
                        chain.id = self.view.chain_id.0,
                        error.code = trouble.code(),
                        error.message = %trouble,
                        "rows are gone"
                    );
                    let gone = Harvest { is_gone: true, ..Harvest::default() };
                    self.advance(snapshot, blocks.start(), last, &gone).await;
                }
                Next::Gap => {
                    let trouble = Trouble::Gap { number: blocks.start() };
                    tracing::warn!(
                        chain.id = self.view.chain_id.0,
                        error.code = trouble.code(),
                        error.message = %trouble,
                        "a turn ends before a gap"
                    );
                    let rest: Vec<usize> =
                        (0..self.standings.len()).filter(|i| self.is_at(*i, blocks.start())).collect();
                    for i in rest {
                        self.settle(snapshot, i).await;
                    }
                }
            }
        }
        for i in 0..self.standings.len() {
            self.settle(snapshot, i).await;
        }
        match self.failure {
            Some(fault) => Err(fault),
            None => Ok(self.turned),
        }
    }

    fn next_of(&self, standing: &Standing) -> BlockNumber {
        self.view.next_block(&standing.cursor, standing.first_block)
    }

    fn is_at(&self, i: usize, block: BlockNumber) -> bool {
        let standing = &self.standings[i];
        !standing.is_over && self.next_of(standing) == block
    }

    /// Whose rules are held against a run from `block` on; `None`: everybody's.
    fn orgs_at(&self, block: BlockNumber) -> Option<BTreeSet<OrgId>> {
        let here = (0..self.standings.len()).filter(|i| self.is_at(*i, block));
        let here: BTreeSet<OrgId> = here.map(|i| self.standings[i].org_id).collect();
        let is_everybody = self.rules.orgs.keys().all(|org_id| here.contains(org_id));
        (!is_everybody).then_some(here)
    }

    fn next_run(&self) -> Option<BlockRange> {
        let nexts =
            self.standings.iter().filter(|standing| !standing.is_over).map(|standing| self.next_of(standing)).collect();
        next_run(&nexts, self.view.tip.number, self.span)
    }

    /// Writes down for everybody who stands at `start` what was found up to `last`.
    async fn advance(
        &mut self,
        snapshot: &mut PgConnection,
        start: BlockNumber,
        last: BlockRef,
        harvest: &Harvest<'_>,
    ) {
        let group: Vec<usize> = (0..self.standings.len()).filter(|i| self.is_at(*i, start)).collect();
        for i in group {
            let cursor = AlertCursor { block: Some(last), ..self.standings[i].cursor };
            self.record(snapshot, i, start, cursor, Some(harvest)).await;
            // At the tip everything is settled in the same transaction.
            self.standings[i].is_over |= last.number == self.view.tip.number;
        }
    }

    /// Writes down what is due without a new block, once a turn.
    async fn settle(&mut self, snapshot: &mut PgConnection, i: usize) {
        if !self.standings[i].is_over {
            let (cursor, next) = (self.standings[i].cursor, self.next_of(&self.standings[i]));
            self.record(snapshot, i, next, cursor, None).await;
            self.standings[i].is_over = true;
        }
    }

    /// Writes down for an organisation what was found in the blocks that it passes; `None`: it passes none.
    async fn record(
        &mut self,
        snapshot: &mut PgConnection,
        i: usize,
        start: BlockNumber,
        cursor: AlertCursor,
        harvest: Option<&Harvest<'_>>,
    ) {
        let standing = &self.standings[i];
        let org_id = standing.org_id;
        let found = harvest.and_then(|harvest| harvest.matches.get(&org_id)).map_or(&[][..], Vec::as_slice);
        let faults = harvest.and_then(|harvest| harvest.faults.get(&org_id)).map_or(&[][..], Vec::as_slice);
        let recording = Recording {
            chain_id: self.view.chain_id,
            org_id,
            expected: standing.stored,
            cursor,
            start,
            found,
            faults,
            rules: &self.rules,
            failed: &self.failed,
            is_first: harvest.is_some() && !standing.has_passed,
            is_gone: harvest.is_some_and(|harvest| harvest.is_gone),
            reach: self.view.reach(),
            tip: self.view.tip,
        };
        let recorded = write(self.evaluator, snapshot, &recording).await;
        let standing = &mut self.standings[i];
        match recorded {
            Ok(recorded) => {
                standing.stored = Some(recorded.cursor);
                standing.cursor = recorded.cursor;
                standing.has_passed |= harvest.is_some();
                self.turned.messages += recorded.messages;
                self.failed.extend(recorded.out_of_work);
                for (number, trace_id) in &recorded.traces {
                    tracing::info!(
                        org.id = standing.org_id.0,
                        chain.id = self.view.chain_id.0,
                        block.number = number.0,
                        trace.id = %trace_id,
                        "alerts were recorded"
                    );
                }
            }
            Err(fault) => {
                standing.is_over = true;
                if SOMEBODY_FIRST.contains(&fault.code()) {
                    // Its next turn begins with what is there now.
                    tracing::info!(
                        org.id = standing.org_id.0,
                        error.code = fault.code(),
                        "somebody else was first here"
                    );
                } else {
                    report(&fault, "an organisation's alerts were not written down");
                    self.failure.get_or_insert(fault);
                }
            }
        }
    }
}

/// The blocks that are looked at next, at most `span`, of what each organisation looks at next; `None` if everybody has reached
/// the tip. Whoever is near the tip goes first, so that nobody waits for the history of others; then whoever is furthest behind. It
/// ends where the next ones stand, so that they go on together. Pure.
fn next_run(nexts: &BTreeSet<BlockNumber>, tip: BlockNumber, span: u64) -> Option<BlockRange> {
    let near = BlockNumber(tip.0.saturating_sub(NEAR_BLOCKS));
    let from = if nexts.range(near..=tip).next().is_some() { near } else { BlockNumber(0) };
    let mut following = nexts.range(from..=tip);
    let start = *following.next()?;
    let end = BlockNumber(start.0 + span).min(tip.next());
    let end = following.next().map_or(end, |next| (*next).min(end));
    BlockRange::new(start, end).ok()
}

async fn write(
    evaluator: &Evaluator,
    snapshot: &mut PgConnection,
    recording: &Recording<'_>,
) -> Result<Recorded, Fault> {
    let mut writer = borrowed(evaluator).await?;
    let mut db_tx = writer.begin().await.map_err(LedgerError::from)?;
    let recorded = recording.carry_out(&mut db_tx, snapshot).await?;
    CrashPoint::EvaluateWritten.pass();
    db_tx.commit().await.map_err(LedgerError::from)?;
    CrashPoint::EvaluateCommitted.pass();
    writer.give_back();
    Ok(recorded)
}

/// A connection that is closed unless all that was asked on it has been answered.
async fn borrowed(evaluator: &Evaluator) -> Result<Borrowed, LedgerError> {
    Ok(database::borrow(&evaluator.pool).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_near_the_tip_waits_for_nobodys_history() {
        let tip = BlockNumber(10_000);
        let run = |nexts: &[u64]| {
            let nexts = nexts.iter().copied().map(BlockNumber).collect();
            next_run(&nexts, tip, 100).map(|run| (run.start().0, run.end().0))
        };
        assert_eq!(run(&[0, 9_990]), Some((9_990, 10_001)), "the one near the tip");
        assert_eq!(run(&[0, 9_900, 9_950]), Some((9_900, 9_950)), "those near the tip go on together");
        assert_eq!(run(&[0, 50, 9_000]), Some((0, 50)), "then those furthest behind");
        assert_eq!(run(&[5_000]), Some((5_000, 5_100)));
        assert_eq!(run(&[10_001]), None, "everybody is there");
        assert_eq!(run(&[]), None);
    }
}
