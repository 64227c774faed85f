//! Taking rules out of work that have failed, and telling their channels. The others go on.

use std::collections::BTreeSet;

use isotherm_alerts::deliveries::enqueue;
use isotherm_alerts::index::RuleFault;
use isotherm_alerts::ledger::LedgerError;
use isotherm_alerts::rules;
use isotherm_control::events;
use isotherm_platform::{Fault, database};
use isotherm_types::{EventBody, RuleId};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::Evaluator;

/// Quarantines a rule and tells its channels, in the caller's transaction. `version` is that of the definition that
/// failed: one that has taken its place since stays at work.
pub(crate) async fn one(db_tx: &mut PgConnection, fault: &RuleFault, version: i32) -> Result<(), Fault> {
    if rules::quarantine(db_tx, fault.rule_id, Some(version), fault.code, &fault.message).await? {
        tracing::warn!(rule.id = fault.rule_id.0, error.code = fault.code, "a rule is quarantined");
        let content = json!({
            "type": "rule.quarantined", "rule_id": fault.rule_id, "code": fault.code, "message": fault.message,
        });
        let told = enqueue::notice(db_tx, fault.rule_id, &content).await?;
        if let Some(org_id) = told {
            events::record(db_tx, &EventBody::AlertsRecorded { org_id, chain_id: None }).await?;
        }
    }
    Ok(())
}

/// Quarantines rules, each in a transaction of its own. With each fault there is the version, as in [`one`].
pub(crate) async fn each(evaluator: &Evaluator, faults: &[(RuleFault, i32)]) -> Result<(), Fault> {
    let mut done: BTreeSet<RuleId> = BTreeSet::new();
    for (fault, version) in faults.iter().filter(|(fault, _)| done.insert(fault.rule_id)) {
        let mut writer = database::borrow(&evaluator.pool).await.map_err(LedgerError::from)?;
        let mut db_tx = writer.begin().await.map_err(LedgerError::from)?;
        one(&mut db_tx, fault, *version).await?;
        db_tx.commit().await.map_err(LedgerError::from)?;
        writer.give_back();
    }
    Ok(())
}
