//! The rules of a chain, ready to be held against rows; kept between turns as long as none has changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use isotherm_access::grants;
use isotherm_alerts::cursors;
use isotherm_alerts::index::{CompiledRule, RuleFault, RuleIndex};
use isotherm_alerts::rules::{self, AtWork};
use isotherm_alerts::turn::Terms;
use isotherm_platform::Fault;
use isotherm_types::{BlockNumber, ChainId, Classified, OrgId, RuleId};
use sqlx::PgConnection;
use tokio::sync::Mutex;

/// The rules at work on a chain.
pub(crate) struct RuleSet {
    /// What they find in rows.
    pub(crate) index: RuleIndex,
    /// What decides about what they find.
    pub(crate) terms: HashMap<RuleId, Terms>,
    /// By organisation: its rules, and the first block that concerns one.
    pub(crate) orgs: BTreeMap<OrgId, OrgRules>,
    /// Rules that cannot be held against anything, each with the version of its definition: they are to be taken out of
    /// work.
    pub(crate) faults: Vec<(RuleFault, i32)>,
}

/// The rules of one organisation at work on a chain.
pub(crate) struct OrgRules {
    pub(crate) first_block: BlockNumber,
    pub(crate) rules: Vec<RuleId>,
}

impl RuleSet {
    /// The rules of `at_work`; what `before` has compiled is not compiled again.
    fn new(at_work: AtWork, before: Option<&Self>) -> Self {
        let mut faults = at_work.faults;
        let (mut terms, mut orgs, mut compiled) = (HashMap::new(), BTreeMap::new(), Vec::new());
        for stored in at_work.rules {
            let (rule_id, version) = (stored.rule_id, stored.version);
            let (org_id, first_block) = (stored.org_id, stored.first_block);
            let known = before.and_then(|before| before.index.get(rule_id)?.refreshed(stored.clone()));
            let of_rule = Terms::of(&stored);
            match known.map_or_else(|| CompiledRule::compile(stored), Ok) {
                Ok(rule) => compiled.push(rule),
                Err(errors) => {
                    let fault = RuleFault { rule_id, code: errors.code(), message: errors.to_string() };
                    faults.push((fault, version));
                    continue;
                }
            }
            terms.insert(rule_id, of_rule);
            let org = orgs.entry(org_id).or_insert(OrgRules { first_block, rules: Vec::new() });
            org.first_block = org.first_block.min(first_block);
            org.rules.push(rule_id);
        }
        Self { index: RuleIndex::build(compiled), terms, orgs, faults }
    }

    /// Version of a rule's definition.
    pub(crate) fn version(&self, rule_id: RuleId) -> i32 {
        self.terms.get(&rule_id).map_or(1, |terms| terms.version)
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
        let grants = grants::of_chain(snapshot, chain_id).await?;
        let fingerprint = format!("{} {grants:?}", cursors::fingerprint_of_rules(snapshot, chain_id).await?);
        let mut sets = self.0.lock().await;
        let known = sets.get(&chain_id);
        if let Some((of_set, set)) = known
            && *of_set == fingerprint
        {
            return Ok(Arc::clone(set));
        }
        let mut at_work = rules::at_work(snapshot, chain_id).await?;
        // What an organisation may not read, its rules do not look at.
        at_work.rules.retain(|rule| {
            let of_org = grants.get(&rule.org_id);
            of_org.is_some_and(|of_org| match rule.definition.source.dataset() {
                Some(dataset) => of_org.allows(chain_id, dataset),
                None => of_org.allows_some_of(chain_id),
            })
        });
        let set = Arc::new(RuleSet::new(at_work, known.map(|(_, set)| &**set)));
        sets.insert(chain_id, (fingerprint, Arc::clone(&set)));
        Ok(set)
    }
}
