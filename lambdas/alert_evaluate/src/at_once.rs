//! Findings that are about no block that could be replaced: rows of SQL, and what the platform finds. They are sent at once, and
//! final at once; the ledger keeps them from being sent twice.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use isotherm_alerts::cursors;
use isotherm_alerts::daily;
use isotherm_alerts::index::Match;
use isotherm_alerts::ledger::LedgerError;
use isotherm_alerts::live_rules;
use isotherm_alerts::release::Reach;
use isotherm_alerts::turn::Terms;
use isotherm_alerts::{alert_events, turn};
use isotherm_control::{events, trace};
use isotherm_platform::Fault;
use isotherm_types::{BlockNumber, ChainId, EventBody, OrgId, RuleId};
use sqlx::PgConnection;

use crate::quarantine;
use crate::record::{finding, is_kept};
use crate::rule_set::RuleSet;

/// Writes `found`, all of one organisation, down in the caller's transaction. Returns how many messages wait because of it.
///
/// The time of each is when it was found; its block says only how far the chain was, and is not what it follows from.
pub(crate) async fn record(
    db_tx: &mut PgConnection,
    org_id: OrgId,
    chain_id: ChainId,
    rules: &RuleSet,
    found: &[&Match],
) -> Result<u64, Fault> {
    let Some(last) = found.iter().map(|found| found.block.number).max() else { return Ok(0) };
    trace::present(db_tx).await?;
    // The lock of the cursor, wherever that stands: evaluators take turns by it.
    if cursors::hold(db_tx, org_id, chain_id).await?.is_none() {
        cursors::hold_as(db_tx, org_id, chain_id, None).await?;
    }
    let now: DateTime<Utc> =
        sqlx::query_scalar("SELECT now()").fetch_one(&mut *db_tx).await.map_err(LedgerError::from)?;
    let findings: Vec<_> = found.iter().map(finding).collect();
    let ids: Vec<_> = findings.iter().map(|finding| finding.alert_id).collect();
    let known = alert_events::known(db_tx, &ids).await?;
    let asking = found.iter().map(|found| found.rule).collect();
    let terms = live_rules::hold(db_tx, asking, &of_no_block(rules, found)).await?;
    let groups = turn::groups(&findings, &terms);
    let holders = alert_events::holders(db_tx, chain_id, &groups, last.next()).await?;
    let reach = Reach { tip: last, finalized: Some(last) };
    let mut changes = turn::plan_at_once(&findings, &known, &terms, &holders, reach, now);
    let daily::Shares { beyond, kept } = daily::share(db_tx, org_id, &changes.new_by_rule(&findings)).await?;
    let mut found = found.to_vec();
    if !beyond.is_empty() {
        found.retain(|found| is_kept(found, &known, &beyond));
        let findings: Vec<_> = found.iter().map(finding).collect();
        changes = turn::plan_at_once(&findings, &known, &terms, &holders, reach, now);
    }
    let version = |rule_id| rules.version(rule_id);
    let messages = alert_events::write(db_tx, org_id, chain_id, &found, version, &changes).await?;
    for fault in &beyond {
        quarantine::one(db_tx, fault, version(fault.rule_id)).await?;
    }
    if messages > 0 {
        events::record(db_tx, &EventBody::AlertsRecorded { org_id, chain_id: Some(chain_id) }).await?;
    }
    daily::add(db_tx, org_id, &kept).await?;
    Ok(messages)
}

/// The terms of the rules of `found`. Their first block is about rows.
fn of_no_block(rules: &RuleSet, found: &[&Match]) -> HashMap<RuleId, Terms> {
    let of = |found: &&Match| {
        let terms = rules.terms.get(&found.rule)?;
        Some((terms.rule_id, Terms { first_block: BlockNumber(0), ..terms.clone() }))
    };
    found.iter().filter_map(of).collect()
}
