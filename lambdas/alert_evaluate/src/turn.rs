//! One turn for one chain: what its rules find in one snapshot, written down organisation by organisation, run by run.
//!
//! What is decided, and how, is `isotherm_alerts::turn`; here it is strung together. A turn that ends early, or is killed, has
//! written whole runs, and the next one goes on from the cursors. A failure of one organisation keeps no other back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use isotherm_alerts::cursors::{self, AlertCursor};
use isotherm_alerts::index::{Match, RuleFault};
use isotherm_alerts::ledger::LedgerError;
use isotherm_alerts::{alert_events, rules};
use isotherm_control::events;
use isotherm_platform::Fault;
use isotherm_platform::database::{self, Borrowed, answered_within};
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Classified, CrashPoint, EventBody, OrgId, RuleId};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::chain_view::{ChainView, MOST_BLOCKS, Next};
use crate::record::{Recorded, Recording};
use crate::rule_set::RuleSet;
use crate::trouble::Trouble;
use crate::{Evaluator, report};

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
    /// Whether this turn is over for it.
    is_over: bool,
}

/// Does a turn, with no run begun after `until`.
///
/// # Errors
/// The first failure of an organisation, after the others have had their turn; what Postgres reports.
pub(crate) async fn turn(evaluator: &Evaluator, chain_id: ChainId, until: Instant) -> Result<Turned, Fault> {
    let mut reader = borrowed(evaluator).await?;
    let mut faults: Vec<RuleFault> = Vec::new();
    let begun = (*reader).begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    let mut snapshot = answered_within(database::PATIENCE, begun).await.map_err(LedgerError::from)?;
    let begun = Turn::begin(evaluator, &mut snapshot, chain_id).await?;
    let turned = match begun {
        None => Ok(Turned::default()),
        Some(turn) => turn.go(&mut snapshot, until, &mut faults).await,
    };
    let ended = snapshot.rollback().await;
    if turned.is_ok() && ended.is_ok() {
        reader.give_back();
    }
    quarantine(evaluator, &faults).await?;
    turned
}

struct Turn<'e> {
    evaluator: &'e Evaluator,
    view: ChainView,
    rules: Arc<RuleSet>,
    standings: Vec<Standing>,
    /// How many blocks the next run has.
    span: u64,
    turned: Turned,
    /// Rules that failed at a row: what they did not find may be there.
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
            standings.push(Standing { org_id, first_block, stored, cursor, is_over: false });
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

    async fn go(
        mut self,
        snapshot: &mut PgConnection,
        until: Instant,
        faults: &mut Vec<RuleFault>,
    ) -> Result<Turned, Fault> {
        faults.extend(self.rules.faults.iter().cloned());
        while Instant::now() < until {
            let Some(blocks) = self.next_run() else { break };
            let rules = Arc::clone(&self.rules);
            let again_from = self.standings.iter().filter_map(|standing| standing.cursor.recheck_from).min();
            match self.view.next(snapshot, &rules.index, blocks, again_from).await? {
                Next::Run(run) => {
                    CrashPoint::EvaluateFound.pass();
                    let length = run.last.number.0 + 1 - blocks.start().0;
                    let was_cut = length < blocks.block_count();
                    self.span = if was_cut { length } else { (self.span * 2).min(MOST_BLOCKS) };
                    self.turned.blocks += length;
                    self.turned.findings += run.found.matches.len();
                    let mut of_org: BTreeMap<OrgId, Vec<&Match>> = BTreeMap::new();
                    for found in &run.found.matches {
                        of_org.entry(found.org).or_default().push(found);
                    }
                    self.failed.extend(run.found.faults.iter().map(|fault| fault.rule_id));
                    faults.extend(run.found.faults.iter().cloned());
                    self.advance(snapshot, blocks.start(), run.last, &of_org).await;
                }
                Next::Gone(last) => {
                    let trouble = Trouble::RowsGone { from: blocks.start() };
                    tracing::error!(
                        chain.id = self.view.chain_id.0,
                        error.code = trouble.code(),
                        error.message = %trouble,
                        "rows are gone"
                    );
                    self.advance(snapshot, blocks.start(), last, &BTreeMap::new()).await;
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
        found: &BTreeMap<OrgId, Vec<&Match>>,
    ) {
        let group: Vec<usize> = (0..self.standings.len()).filter(|i| self.is_at(*i, start)).collect();
        for i in group {
            let cursor = AlertCursor { block: Some(last), ..self.standings[i].cursor };
            let found = found.get(&self.standings[i].org_id).map_or(&[][..], Vec::as_slice);
            self.record(snapshot, i, start, cursor, found).await;
            // At the tip everything is settled in the same transaction.
            self.standings[i].is_over |= last.number == self.view.tip.number;
        }
    }

    /// Writes down what is due without a new block, once a turn.
    async fn settle(&mut self, snapshot: &mut PgConnection, i: usize) {
        if !self.standings[i].is_over {
            let (cursor, next) = (self.standings[i].cursor, self.next_of(&self.standings[i]));
            self.record(snapshot, i, next, cursor, &[]).await;
            self.standings[i].is_over = true;
        }
    }

    async fn record(
        &mut self,
        snapshot: &mut PgConnection,
        i: usize,
        start: BlockNumber,
        cursor: AlertCursor,
        found: &[&Match],
    ) {
        let standing = &self.standings[i];
        let recording = Recording {
            chain_id: self.view.chain_id,
            org_id: standing.org_id,
            expected: standing.stored,
            cursor,
            start,
            found,
            rules: &self.rules,
            failed: &self.failed,
            reach: self.view.reach(),
            tip: self.view.tip,
        };
        let recorded = write(self.evaluator, snapshot, &recording).await;
        let standing = &mut self.standings[i];
        match recorded {
            Ok(recorded) => {
                standing.stored = Some(recorded.cursor);
                standing.cursor = recorded.cursor;
                self.turned.messages += recorded.messages;
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
                if fault.code() == "alerts.cursor_moved" {
                    tracing::info!(org.id = standing.org_id.0, "another evaluator is at work here");
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

/// Takes rules out of work that cannot be held against rows, and tells their channels. The others go on.
pub(crate) async fn quarantine(evaluator: &Evaluator, faults: &[RuleFault]) -> Result<(), Fault> {
    let mut done: BTreeSet<RuleId> = BTreeSet::new();
    for fault in faults.iter().filter(|fault| done.insert(fault.rule_id)) {
        tracing::warn!(rule.id = fault.rule_id.0, error.code = fault.code, "a rule is quarantined");
        let mut writer = borrowed(evaluator).await?;
        let mut db_tx = writer.begin().await.map_err(LedgerError::from)?;
        if rules::quarantine(&mut db_tx, fault.rule_id, fault.code, &fault.message).await? {
            let content = json!({
                "type": "rule.quarantined", "rule_id": fault.rule_id, "code": fault.code, "message": fault.message,
            });
            let told = isotherm_alerts::deliveries::enqueue::notice(&mut db_tx, fault.rule_id, &content).await?;
            if let Some(org_id) = told {
                events::record(&mut db_tx, &EventBody::AlertsRecorded { org_id, chain_id: None }).await?;
            }
        }
        db_tx.commit().await.map_err(LedgerError::from)?;
        writer.give_back();
    }
    Ok(())
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
