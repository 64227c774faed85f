//! The rules of a chain, ready to be held against rows; kept between turns as long as none has changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use isotherm_alerts::index::{CompiledRule, RuleFault, RuleIndex};
use isotherm_alerts::rules::{self, StoredRule};
use isotherm_alerts::turn::Terms;
use isotherm_platform::Fault;
use isotherm_types::{BlockNumber, ChainId, OrgId, RuleId};
use sqlx::PgConnection;
use tokio::sync::Mutex;

/// The rules at work on a chain.
pub(crate) struct RuleSet {
    /// What they find in rows.
    pub(crate) index: RuleIndex,
    /// What decides about what they find.
    pub(crate) terms: HashMap<RuleId, Terms>,
    /// As they are stored, by id; also those that look at no rows.
    pub(crate) rules: BTreeMap<RuleId, StoredRule>,
    /// Rules that cannot be held against anything: they are to be taken out of work.
    pub(crate) faults: Vec<RuleFault>,
}

impl RuleSet {
    fn new(stored: Vec<StoredRule>, mut faults: Vec<RuleFault>) -> Self {
        let terms = stored.iter().map(|rule| (rule.rule_id, Terms::of(rule))).collect();
        let rules = stored.iter().map(|rule| (rule.rule_id, rule.clone())).collect();
        let mut compiled = Vec::with_capacity(stored.len());
        for rule in stored {
            let rule_id = rule.rule_id;
            match CompiledRule::compile(rule) {
                Ok(rule) => compiled.push(rule),
                Err(errors) => faults.push(RuleFault {
                    rule_id,
                    code: "alerts.bad_rule",
                    message: format!("its definition is not right any more: {errors}"),
                }),
            }
        }
        Self { index: RuleIndex::build(compiled), terms, rules, faults }
    }

    /// The first block that concerns a rule of each organisation.
    pub(crate) fn first_blocks(&self) -> BTreeMap<OrgId, BlockNumber> {
        let mut first_blocks = BTreeMap::new();
        for rule in self.rules.values() {
            let first = first_blocks.entry(rule.org_id).or_insert(rule.first_block);
            *first = rule.first_block.min(*first);
        }
        first_blocks
    }
}

/// The rules of each chain as they were read last, with the fingerprint of the rows that they were read from.
///
/// Only saves work: a set is used as long as the fingerprint in the turn's snapshot is the same.
#[derive(Default)]
pub struct RuleSets(Mutex<HashMap<ChainId, (String, Arc<RuleSet>)>>);

impl std::fmt::Debug for RuleSets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RuleSets")
    }
}

impl RuleSets {
    /// The rules at work on the chain, in the caller's snapshot.
    pub(crate) async fn of_chain(&self, snapshot: &mut PgConnection, chain_id: ChainId) -> Result<Arc<RuleSet>, Fault> {
        let fingerprint = isotherm_alerts::cursors::fingerprint_of_rules(snapshot, chain_id).await?;
        let mut sets = self.0.lock().await;
        if let Some((known, set)) = sets.get(&chain_id)
            && *known == fingerprint
        {
            return Ok(Arc::clone(set));
        }
        let at_work = rules::at_work(snapshot, chain_id).await?;
        let set = Arc::new(RuleSet::new(at_work.rules, at_work.faults));
        sets.insert(chain_id, (fingerprint, Arc::clone(&set)));
        Ok(set)
    }
}
