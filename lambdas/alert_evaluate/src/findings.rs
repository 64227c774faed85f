//! What the platform finds about a chain's own storage, told by the rules that ask for it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use isotherm_alerts::definition::{Finding, Source};
use isotherm_alerts::identity::Identity;
use isotherm_alerts::index::Match;
use isotherm_alerts::ledger::LedgerError;
use isotherm_alerts::rules::StoredRule;
use isotherm_hot_store::cursor;
use isotherm_platform::{Fault, database};
use isotherm_types::{B256, BlockNumber, BlockRef, OrgId};
use serde_json::json;
use sqlx::Connection as _;

use crate::event::IntegrityFinding;
use crate::{Evaluator, at_once};

/// Writes `finding` down for every rule that asks for such. One that is known already is not told again.
///
/// # Errors
/// The first failure of an organisation, after the others; what Postgres reports.
pub(crate) async fn tell(evaluator: &Evaluator, finding: &IntegrityFinding) -> Result<(), Fault> {
    let mut conn = database::borrow(&evaluator.pool).await.map_err(LedgerError::from)?;
    let rules = evaluator.rule_sets.of_chain(&mut conn, finding.chain_id).await?;
    let stored = cursor::read(&mut conn, finding.chain_id).await?;
    let now: DateTime<Utc> =
        sqlx::query_scalar("SELECT now()").fetch_one(&mut *conn).await.map_err(LedgerError::from)?;
    // Cold storage holds what is final.
    let block = stored
        .and_then(|cursor| cursor.finalized.or(cursor.tip))
        .unwrap_or(BlockRef { number: BlockNumber(0), hash: B256::ZERO });
    let mut of_org: BTreeMap<OrgId, Vec<Match>> = BTreeMap::new();
    for rule in rules.rules.values().filter(|rule| asks_for_integrity(rule)) {
        of_org.entry(rule.org_id).or_default().push(matched(rule, finding, block, now));
    }
    let mut failure = None;
    for (org_id, found) in of_org {
        let mut db_tx = conn.begin().await.map_err(LedgerError::from)?;
        let found: Vec<&Match> = found.iter().collect();
        match at_once::record(&mut db_tx, org_id, finding.chain_id, &rules, &found).await {
            Ok(_messages) => db_tx.commit().await.map_err(LedgerError::from)?,
            Err(fault) => {
                db_tx.rollback().await.map_err(LedgerError::from)?;
                failure.get_or_insert(fault);
            }
        }
    }
    conn.give_back();
    match failure {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

fn asks_for_integrity(rule: &StoredRule) -> bool {
    match &rule.definition.source {
        Source::Platform(findings) => findings.contains(&Finding::IntegrityViolated),
        Source::Rows(_) | Source::Event { .. } | Source::Call { .. } | Source::Sql { .. } => false,
    }
}

fn matched(rule: &StoredRule, finding: &IntegrityFinding, block: BlockRef, now: DateTime<Utc>) -> Match {
    let IntegrityFinding { chain_id, dataset, check_id, object_key, blocks, fault } = finding;
    let of_blocks = blocks.map(|blocks| format!(" of blocks {blocks}")).unwrap_or_default();
    Match {
        rule: rule.rule_id,
        org: rule.org_id,
        identity: Identity::of_finding(rule.rule_id, *chain_id, &format!("integrity-check-{check_id}")),
        transaction_hash: None,
        position: 0,
        block,
        block_time: now,
        severity: rule.definition.severity,
        title: format!("{}: {fault} in cold storage of {dataset}", rule.name),
        message: format!("{object_key}{of_blocks}: {fault}; `isotherm verify` says more"),
        facts: json!({
            "dataset": dataset, "check_id": check_id, "object_key": object_key, "blocks": blocks, "fault": fault,
        }),
        group_key: None,
    }
}
