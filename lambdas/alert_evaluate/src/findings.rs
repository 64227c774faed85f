//! What the platform finds about a chain's own storage, told by the rules that ask for it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use isotherm_alerts::definition::Finding;
use isotherm_alerts::index::Match;
use isotherm_alerts::ledger::LedgerError;
use isotherm_control::trace;
use isotherm_hot_store::cursor;
use isotherm_platform::{Fault, database};
use isotherm_types::{B256, BlockNumber, BlockRange, BlockRef, OrgId};
use serde_json::{Map, Value, json};
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
    let key = format!("integrity-check-{}", finding.check_id);
    let mut of_org: BTreeMap<OrgId, Vec<Match>> = BTreeMap::new();
    for rule in rules.index.rules().filter(|rule| rule.wants(Finding::IntegrityViolated)) {
        let found = rule.match_of_finding(&key, &fields(finding), block, now);
        of_org.entry(rule.stored.org_id).or_default().push(found);
    }
    let mut failure = None;
    for (org_id, found) in of_org {
        let mut db_tx = conn.begin().await.map_err(LedgerError::from)?;
        trace::follow(&mut db_tx, finding.trace_id).await?;
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

fn fields(finding: &IntegrityFinding) -> Map<String, Value> {
    let IntegrityFinding { dataset, check_id, object_key, blocks, fault, .. } = finding;
    let fields = [
        ("fault", json!(fault)),
        ("dataset", json!(dataset)),
        ("object_key", json!(object_key)),
        ("first_block", json!(blocks.map(BlockRange::start))),
        ("last_block", json!(blocks.map(BlockRange::last))),
        ("check_id", json!(check_id)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
