//! What an organisation's rules found in a run, and what became due, in one transaction under the lock of its cursor.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use isotherm_alerts::alert_events::{self, Due, PAGE_ROWS};
use isotherm_alerts::cursors::{self, AlertCursor};
use isotherm_alerts::daily;
use isotherm_alerts::index::{Match, RuleFault};
use isotherm_alerts::ledger::{AlertState, LedgerError};
use isotherm_alerts::live_rules;
use isotherm_alerts::release::Reach;
use isotherm_alerts::turn::{self, Changes, Finding, Known, Terms};
use isotherm_control::{events, trace};
use isotherm_hot_store::whole_blocks;
use isotherm_platform::Fault;
use isotherm_types::{B256, BlockNumber, BlockRef, ChainId, EventBody, OrgId, RuleId, TraceId};
use sqlx::PgConnection;
use sqlx::types::Uuid;

use crate::quarantine;
use crate::rule_set::RuleSet;

/// What is to be written down for one organisation.
pub(crate) struct Recording<'a> {
    pub(crate) chain_id: ChainId,
    pub(crate) org_id: OrgId,
    /// The cursor as it is stored; `None`: it is not yet.
    pub(crate) expected: Option<AlertCursor>,
    /// The cursor after the run.
    pub(crate) cursor: AlertCursor,
    /// First block of the run.
    pub(crate) start: BlockNumber,
    /// What was found in it, in the order of the blocks.
    pub(crate) found: &'a [&'a Match],
    /// Its rules that failed in it: they are taken out of work in the same transaction, so that no block is passed without a word.
    pub(crate) faults: &'a [&'a RuleFault],
    pub(crate) rules: &'a RuleSet,
    /// Rules that failed in this turn.
    pub(crate) failed: &'a BTreeSet<RuleId>,
    /// Whether the turn passes its first blocks: rules that are not at work in it are not dealt with yet.
    pub(crate) is_first: bool,
    /// Whether the rows of the blocks are gone, so that no rule has looked at them.
    pub(crate) is_gone: bool,
    pub(crate) reach: Reach,
    pub(crate) tip: BlockRef,
}

/// What came of what was found.
#[derive(Default)]
struct Written {
    messages: u64,
    /// Rules that would have too many alerts, of which nothing new is written.
    beyond: Vec<RuleFault>,
    /// Rules that are not at work any more: nothing that they found is.
    idle: BTreeSet<RuleId>,
    /// New alerts that are to be counted.
    counts: BTreeMap<RuleId, i64>,
}

/// What was written down.
pub(crate) struct Recorded {
    /// The cursor as it is stored now.
    pub(crate) cursor: AlertCursor,
    /// Messages that wait because of it.
    pub(crate) messages: u64,
    /// Rules that are out of work since the turn began: they would have had too many alerts, or somebody has paused or deleted them.
    pub(crate) out_of_work: BTreeSet<RuleId>,
    /// Blocks of which something is told, and what follows from each in the log.
    pub(crate) traces: BTreeMap<BlockNumber, TraceId>,
}

impl Recording<'_> {
    /// Writes it all down in the caller's transaction. `snapshot` is the one that `found` was read in.
    ///
    /// # Errors
    /// [`LedgerError::CursorMoved`] if another evaluator has gone on meanwhile; [`LedgerError::RuleChanged`] if a definition was changed;
    /// what Postgres reports. Then the caller rolls back.
    pub(crate) async fn carry_out(
        &self,
        db_tx: &mut PgConnection,
        snapshot: &mut PgConnection,
    ) -> Result<Recorded, Fault> {
        cursors::hold_as(db_tx, self.org_id, self.chain_id, self.expected.as_ref()).await?;
        let mut cursor = self.cursor;
        if cursor.block != self.expected.and_then(|expected| expected.block) {
            live_rules::check_versions(db_tx, self.terms_of_org()).await?;
        }
        let Written { mut messages, beyond, idle: mut out_of_work, counts } = self.run(db_tx, snapshot).await?;
        out_of_work.extend(beyond.iter().map(|fault| fault.rule_id));
        let traces = self.traces(db_tx, messages).await?;
        let is_at_tip = cursor.block == Some(self.tip);
        // Within a turn only these make a rule one that has not looked.
        let may_be_unseen = self.is_first || self.is_gone || !self.faults.is_empty() || !out_of_work.is_empty();
        if let Some(from) = cursor.recheck_from
            && (is_at_tip || may_be_unseen)
        {
            messages += self.orphans(db_tx, snapshot, from, is_at_tip, &out_of_work).await?;
        }
        if is_at_tip {
            cursor.recheck_from = None;
        }
        messages += self.due(db_tx, cursor.recheck_from).await?;
        self.of_deleted_rules(db_tx).await?;
        for fault in self.faults.iter().copied().chain(&beyond) {
            quarantine::one(db_tx, fault, self.rules.version(fault.rule_id)).await?;
        }
        if messages > 0 {
            let recorded = EventBody::AlertsRecorded { org_id: self.org_id, chain_id: Some(self.chain_id) };
            trace::follow(db_tx, traces.values().next_back().copied()).await?;
            events::record(db_tx, &recorded).await?;
        }
        cursors::set(db_tx, self.org_id, self.chain_id, &cursor).await?;
        daily::add(db_tx, self.org_id, &counts).await?;
        Ok(Recorded { cursor, messages, out_of_work, traces })
    }

    /// Of what was found, if `messages` wait because of it.
    async fn traces(&self, db_tx: &mut PgConnection, messages: u64) -> Result<BTreeMap<BlockNumber, TraceId>, Fault> {
        if messages == 0 {
            return Ok(BTreeMap::new());
        }
        let ids: Vec<_> = self.found.iter().map(|found| found.identity.alert_id()).collect();
        Ok(alert_events::traces(db_tx, &ids).await?)
    }

    /// Terms of the organisation's rules at work on the chain, as the turn knows them.
    fn terms_of_org(&self) -> impl Iterator<Item = &Terms> {
        let rules = self.rules.orgs.get(&self.org_id).map_or(&[][..], |org| org.rules.as_slice());
        rules.iter().filter_map(|rule_id| self.rules.terms.get(rule_id))
    }

    /// Writes down what was found.
    async fn run(&self, db_tx: &mut PgConnection, snapshot: &mut PgConnection) -> Result<Written, Fault> {
        if self.found.is_empty() {
            return Ok(Written::default());
        }
        let mut found = self.found.to_vec();
        found.sort_by_key(|found| found.block.number);
        let rules = found.iter().map(|found| found.rule).collect();
        let terms = live_rules::hold(db_tx, rules, &self.rules.terms).await?;
        let idle = found.iter().map(|found| found.rule).filter(|rule_id| !terms.contains_key(rule_id)).collect();
        let findings: Vec<Finding<'_>> = found.iter().map(finding).collect();
        let ids: Vec<_> = findings.iter().map(|finding| finding.alert_id).collect();
        let known = alert_events::known(db_tx, &ids).await?;
        let holders = self.holders(db_tx, snapshot, &findings).await?;
        let now: DateTime<Utc> =
            sqlx::query_scalar("SELECT now()").fetch_one(&mut *db_tx).await.map_err(LedgerError::from)?;
        let mut changes = turn::plan_run(&findings, &known, &terms, &holders, self.reach, now);
        let shares = daily::share(db_tx, self.org_id, &changes.new_by_rule(&findings)).await?;
        let daily::Shares { beyond, kept: counts } = shares;
        if !beyond.is_empty() {
            found.retain(|found| is_kept(found, &known, &beyond));
            let findings: Vec<Finding<'_>> = found.iter().map(finding).collect();
            changes = turn::plan_run(&findings, &known, &terms, &holders, self.reach, now);
        }
        let version = |rule_id| self.rules.version(rule_id);
        let messages = alert_events::write(db_tx, self.org_id, self.chain_id, &found, version, &changes).await?;
        Ok(Written { messages, beyond, idle, counts })
    }

    /// Alerts before the run that may keep others of their group back.
    async fn holders(
        &self,
        db_tx: &mut PgConnection,
        snapshot: &mut PgConnection,
        findings: &[Finding<'_>],
    ) -> Result<Vec<turn::Holder>, Fault> {
        let groups = turn::groups(findings, &self.rules.terms);
        let holders = alert_events::holders(db_tx, self.chain_id, &groups, self.start).await?;
        let from = self.cursor.recheck_from;
        let doubtful = holders.iter().map(|holder| holder.block.number).filter(|number| Some(*number) >= from);
        let doubtful: Vec<BlockNumber> = if from.is_some() { doubtful.collect() } else { Vec::new() };
        let stored = self.hashes(snapshot, doubtful).await?;
        Ok(turn::canonical_holders(holders, from, |number| stored.get(&number).copied()))
    }

    /// Takes back what was not found again. At the tip that is all of it: every block has been passed since the reorg.
    /// Before, it is what rules found that have not looked at the blocks which are passed now: the next turn does not
    /// know that.
    async fn orphans(
        &self,
        db_tx: &mut PgConnection,
        snapshot: &mut PgConnection,
        from: BlockNumber,
        is_at_tip: bool,
        out_of_work: &BTreeSet<RuleId>,
    ) -> Result<u64, Fault> {
        let looked_for = |rule_id: RuleId| {
            let terms = self.rules.terms.get(&rule_id)?;
            let is_out = self.failed.contains(&rule_id) || out_of_work.contains(&rule_id);
            (!is_out && !self.is_gone).then_some(terms.version)
        };
        let (mut messages, mut last) = (0, None);
        loop {
            let suspects = alert_events::suspects(db_tx, self.org_id, self.chain_id, from, last.as_ref()).await?;
            let numbers = suspects.iter().map(|suspect| suspect.alert.block.number).collect();
            let stored = self.hashes(snapshot, numbers).await?;
            let hash = |number: BlockNumber| stored.get(&number).copied();
            let changes = if is_at_tip {
                turn::plan_orphans(&suspects, self.tip.number, hash, looked_for)
            } else {
                turn::plan_unseen(&suspects, hash, |rule_id| looked_for(rule_id).is_some())
            };
            messages += self.write(db_tx, &changes).await?;
            if suspects.len() < PAGE_ROWS {
                return Ok(messages);
            }
            last = suspects.into_iter().next_back();
        }
    }

    /// Cancels what was not sent when its rule was deleted; nobody was told of it.
    async fn of_deleted_rules(&self, db_tx: &mut PgConnection) -> Result<(), Fault> {
        loop {
            let pending = alert_events::of_deleted_rules(db_tx, self.org_id, self.chain_id).await?;
            self.write(db_tx, &turn::plan_rule_deleted(&pending)).await?;
            if pending.len() < PAGE_ROWS {
                return Ok(());
            }
        }
    }

    /// Sends and confirms what has got far enough, in blocks below `below`.
    async fn due(&self, db_tx: &mut PgConnection, below: Option<BlockNumber>) -> Result<u64, Fault> {
        let up_to = self.terms_of_org().filter_map(|terms| Some((terms.rule_id, self.reach.up_to(terms.release)?)));
        let due = Due { finalized: self.reach.finalized, below, up_to: up_to.collect() };
        let mut messages = 0;
        loop {
            let rows = alert_events::due(db_tx, self.org_id, self.chain_id, &due).await?;
            let pending = rows.iter().filter(|row| row.alert.state == AlertState::Pending);
            let live = live_rules::hold(db_tx, pending.map(|row| row.rule_id).collect(), &self.rules.terms).await?;
            messages += self.write(db_tx, &turn::plan_due(&rows, &live, self.reach)).await?;
            if rows.len() < PAGE_ROWS {
                return Ok(messages);
            }
        }
    }

    async fn write(&self, db_tx: &mut PgConnection, changes: &Changes) -> Result<u64, Fault> {
        Ok(alert_events::write(db_tx, self.org_id, self.chain_id, &[], |_| 1, changes).await?)
    }

    async fn hashes(
        &self,
        snapshot: &mut PgConnection,
        mut numbers: Vec<BlockNumber>,
    ) -> Result<BTreeMap<BlockNumber, B256>, Fault> {
        numbers.sort_unstable();
        numbers.dedup();
        let mut hashes = BTreeMap::new();
        for page in numbers.chunks(PAGE_ROWS) {
            hashes.append(&mut whole_blocks::hashes(snapshot, self.chain_id, page).await?);
        }
        Ok(hashes)
    }
}

pub(crate) fn finding<'m>(found: &&'m Match) -> Finding<'m> {
    Finding {
        alert_id: found.identity.alert_id(),
        rule_id: found.rule,
        block: found.block,
        block_time: found.block_time,
        group_key: found.group_key.as_deref(),
    }
}

/// Whether a finding is written down though some rules would have too many: what is known is followed.
pub(crate) fn is_kept(found: &Match, known: &HashMap<Uuid, Known>, beyond: &[RuleFault]) -> bool {
    let is_beyond = beyond.iter().any(|fault| fault.rule_id == found.rule);
    !is_beyond || known.contains_key(&found.identity.alert_id())
}
