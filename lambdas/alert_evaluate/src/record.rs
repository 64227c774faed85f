//! What an organisation's rules found in a run, and what became due, in one transaction under the lock of its cursor.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use isotherm_alerts::alert_events::{self, Due, PAGE_ROWS};
use isotherm_alerts::cursors::{self, AlertCursor};
use isotherm_alerts::index::Match;
use isotherm_alerts::ledger::LedgerError;
use isotherm_alerts::release::Reach;
use isotherm_alerts::turn::{self, Changes, Finding};
use isotherm_control::{events, trace};
use isotherm_hot_store::whole_blocks;
use isotherm_platform::Fault;
use isotherm_types::{B256, BlockNumber, BlockRef, ChainId, EventBody, OrgId, RuleId, TraceId};
use sqlx::PgConnection;

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
    pub(crate) rules: &'a RuleSet,
    /// Rules that failed in this turn.
    pub(crate) failed: &'a BTreeSet<RuleId>,
    pub(crate) reach: Reach,
    pub(crate) tip: BlockRef,
}

/// What was written down.
pub(crate) struct Recorded {
    /// The cursor as it is stored now.
    pub(crate) cursor: AlertCursor,
    /// Messages that wait because of it.
    pub(crate) messages: u64,
    /// Blocks of which something is told, and what follows from each in the log.
    pub(crate) traces: BTreeMap<BlockNumber, TraceId>,
}

impl Recording<'_> {
    /// Writes it all down in the caller's transaction. `snapshot` is the one that `found` was read in.
    ///
    /// # Errors
    /// [`LedgerError::CursorMoved`] if another evaluator has gone on meanwhile; what Postgres reports. Then the caller rolls back.
    pub(crate) async fn carry_out(
        &self,
        db_tx: &mut PgConnection,
        snapshot: &mut PgConnection,
    ) -> Result<Recorded, Fault> {
        cursors::hold_as(db_tx, self.org_id, self.chain_id, self.expected.as_ref()).await?;
        let mut cursor = self.cursor;
        let mut messages = self.run(db_tx, snapshot).await?;
        let traces = self.traces(db_tx, messages).await?;
        if cursor.block == Some(self.tip)
            && let Some(from) = cursor.recheck_from.take()
        {
            messages += self.orphans(db_tx, snapshot, from).await?;
        }
        messages += self.due(db_tx, cursor.recheck_from).await?;
        let of_deleted = alert_events::of_deleted_rules(db_tx, self.org_id, self.chain_id).await?;
        messages += self.write(db_tx, &turn::plan_rule_deleted(&of_deleted)).await?;
        if messages > 0 {
            let recorded = EventBody::AlertsRecorded { org_id: self.org_id, chain_id: Some(self.chain_id) };
            trace::follow(db_tx, traces.values().next_back().copied()).await?;
            events::record(db_tx, &recorded).await?;
        }
        cursors::set(db_tx, self.org_id, self.chain_id, &cursor).await?;
        Ok(Recorded { cursor, messages, traces })
    }

    /// Of what was found, if `messages` wait because of it.
    async fn traces(&self, db_tx: &mut PgConnection, messages: u64) -> Result<BTreeMap<BlockNumber, TraceId>, Fault> {
        if messages == 0 {
            return Ok(BTreeMap::new());
        }
        let ids: Vec<_> = self.found.iter().map(|found| found.identity.alert_id()).collect();
        Ok(alert_events::traces(db_tx, &ids).await?)
    }

    async fn run(&self, db_tx: &mut PgConnection, snapshot: &mut PgConnection) -> Result<u64, Fault> {
        if self.found.is_empty() {
            return Ok(0);
        }
        let mut found = self.found.to_vec();
        found.sort_by_key(|found| found.block.number);
        let findings: Vec<Finding<'_>> = found.iter().map(finding).collect();
        let ids: Vec<_> = findings.iter().map(|finding| finding.alert_id).collect();
        let known = alert_events::known(db_tx, &ids).await?;
        let holders = self.holders(db_tx, snapshot, &findings).await?;
        let now: DateTime<Utc> =
            sqlx::query_scalar("SELECT now()").fetch_one(&mut *db_tx).await.map_err(LedgerError::from)?;
        let changes = turn::plan_run(&findings, &known, &self.rules.terms, &holders, self.reach, now);
        let version = |rule_id| self.rules.version(rule_id);
        Ok(alert_events::write(db_tx, self.org_id, self.chain_id, &found, version, &changes).await?)
    }

    /// Alerts before the run that may keep others of their group back.
    async fn holders(
        &self,
        db_tx: &mut PgConnection,
        snapshot: &mut PgConnection,
        findings: &[Finding<'_>],
    ) -> Result<Vec<turn::Holder>, Fault> {
        let mut since: BTreeMap<RuleId, DateTime<Utc>> = BTreeMap::new();
        for finding in findings {
            let Some(terms) = self.rules.terms.get(&finding.rule_id) else { continue };
            if terms.cooldown > chrono::TimeDelta::zero() {
                since.entry(finding.rule_id).or_insert(finding.block_time - terms.cooldown);
            }
        }
        let since: Vec<_> = since.into_iter().collect();
        let holders = alert_events::holders(db_tx, self.chain_id, &since, self.start).await?;
        let from = self.cursor.recheck_from;
        let doubtful = holders.iter().map(|holder| holder.block.number).filter(|number| Some(*number) >= from);
        let doubtful: Vec<BlockNumber> = if from.is_some() { doubtful.collect() } else { Vec::new() };
        let stored = self.hashes(snapshot, doubtful).await?;
        Ok(turn::canonical_holders(holders, from, |number| stored.get(&number).copied()))
    }

    /// Every block up to the tip has been looked at since the reorg: what was not found again is gone.
    async fn orphans(
        &self,
        db_tx: &mut PgConnection,
        snapshot: &mut PgConnection,
        from: BlockNumber,
    ) -> Result<u64, Fault> {
        let suspects = alert_events::suspects(db_tx, self.org_id, self.chain_id, from).await?;
        let numbers = suspects.iter().map(|suspect| suspect.alert.block.number).collect();
        let stored = self.hashes(snapshot, numbers).await?;
        let at_work = |rule_id| self.rules.terms.contains_key(&rule_id) && !self.failed.contains(&rule_id);
        let changes = turn::plan_orphans(&suspects, |number| stored.get(&number).copied(), at_work);
        self.write(db_tx, &changes).await
    }

    /// Sends and confirms what has got far enough, in blocks below `below`.
    async fn due(&self, db_tx: &mut PgConnection, below: Option<BlockNumber>) -> Result<u64, Fault> {
        let rules = self.rules.orgs.get(&self.org_id).map_or(&[][..], |org| org.rules.as_slice());
        let terms = rules.iter().filter_map(|rule_id| self.rules.terms.get(rule_id));
        let up_to = terms.filter_map(|terms| Some((terms.rule_id, self.reach.up_to(terms.release)?)));
        let due = Due { finalized: self.reach.finalized, below, up_to: up_to.collect() };
        let mut messages = 0;
        loop {
            let rows = alert_events::due(db_tx, self.org_id, self.chain_id, &due).await?;
            messages += self.write(db_tx, &turn::plan_due(&rows, &self.rules.terms, self.reach)).await?;
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
        if numbers.is_empty() {
            return Ok(BTreeMap::new());
        }
        Ok(whole_blocks::hashes(snapshot, self.chain_id, &numbers).await?)
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
