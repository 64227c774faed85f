//! All rules of a chain at once: which of them a row may concern costs a look into a table or two, however many there are.
//!
//! Pure. Rules are registered under what chooses their rows: topic and address, selector and address, one of them, or nothing. A row
//! is looked up under its own, and only the rules that stand there decode it and judge it. No rule can make another one fail: what goes
//! wrong is a fault of the rule that it goes wrong in.

use std::collections::{BTreeSet, HashMap, HashSet};

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use isotherm_types::{B256, BlockNumber, BlockRef, Dataset, OrgId, RuleId};
use serde_json::Value;

use crate::definition::Severity;
use crate::identity::Identity;

mod compiled;
mod keys;
mod places;
mod search;
mod tally;
#[cfg(test)]
mod tests;

pub use compiled::{CompiledRule, check};
pub use search::MAX_STEPS_PER_RUN;
pub use tally::{Bound, Excess, MOST_OF_ORG, MOST_OF_RULE, MOST_OF_RUN};

use keys::Tables;
use search::Scope;

/// Rows of a whole number of blocks, each dataset's sorted as its batches are: by block and place in it.
///
/// A batch has at least the columns that [`RuleIndex::columns`] names, with the types of the dataset's schema.
#[derive(Clone, Debug, Default)]
pub struct BlockRows {
    /// Rows of `blocks`.
    pub blocks: Vec<RecordBatch>,
    /// Rows of `transactions`.
    pub transactions: Vec<RecordBatch>,
    /// Rows of `logs`.
    pub logs: Vec<RecordBatch>,
    /// Rows of `traces`.
    pub traces: Vec<RecordBatch>,
}

impl BlockRows {
    /// The batches of one dataset.
    pub fn of(&self, dataset: Dataset) -> &[RecordBatch] {
        match dataset {
            Dataset::Blocks => &self.blocks,
            Dataset::Transactions => &self.transactions,
            Dataset::Logs => &self.logs,
            Dataset::Traces => &self.traces,
        }
    }
}

/// A row that a rule is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The rule.
    pub rule: RuleId,
    /// Its organisation.
    pub org: OrgId,
    /// What makes it the same finding in another block.
    pub identity: Identity,
    /// Its transaction; `None` of blocks, rewards, rows of SQL and findings.
    pub transaction_hash: Option<B256>,
    /// Its rank inside the transaction.
    pub position: u32,
    /// Its block.
    pub block: BlockRef,
    /// Time of the block.
    pub block_time: DateTime<Utc>,
    /// How bad it is.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// What the rule's message says.
    pub message: String,
    /// Values by name: an object.
    pub facts: Value,
    /// What the cooldown goes by, beside the rule.
    pub group_key: Option<String>,
}

/// What is wrong with one rule; it has no matches from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    /// The rule.
    pub rule_id: RuleId,
    /// Stable code, of `docs/errors.md`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

/// What rows and rules make together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// In the order of the blocks.
    pub matches: Vec<Match>,
    /// At most one a rule.
    pub faults: Vec<RuleFault>,
    /// Rules found more than may be held, and the search ended with nothing ([`Excess::EndsSearch`]).
    pub is_too_much: bool,
}

/// How the rules are held against a run of blocks.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// In blocks from here on also what is in blocks from before a rule concerned itself with them: after a reorg, what the rule found
    /// earlier may have moved there. Which of it is known is for the ledger to say.
    pub again_from: Option<BlockNumber>,
    /// Whose rules are asked; `None`: everybody's.
    pub orgs: Option<&'a BTreeSet<OrgId>>,
    /// Rules that are not asked.
    pub without: &'a BTreeSet<RuleId>,
    /// What becomes of the search if rules find more than may be held.
    pub excess: Excess,
}

/// The rules of a chain, ready to be asked.
#[derive(Debug, Default)]
pub struct RuleIndex {
    rules: Vec<CompiledRule>,
    by_id: HashMap<RuleId, usize>,
    tables: Tables,
}

impl RuleIndex {
    /// Registers `rules`; of two with the same id the later one counts. Those of SQL and of findings are kept, and looked up by nothing.
    pub fn build(rules: Vec<CompiledRule>) -> Self {
        let mut by_id = HashMap::with_capacity(rules.len());
        for (place, rule) in rules.iter().enumerate() {
            by_id.insert(rule.stored.rule_id, place);
        }
        let counts = rules.iter().enumerate().filter(|(place, rule)| by_id[&rule.stored.rule_id] == *place);
        let tables = Tables::build(counts);
        Self { rules, by_id, tables }
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The rule of this id.
    ///
    /// # Panics
    /// If it was not among those that the index was built of.
    pub fn rule(&self, id: RuleId) -> &CompiledRule {
        let place = self.by_id.get(&id).unwrap_or_else(|| panic!("{id} is not in the index"));
        &self.rules[*place]
    }

    /// The rule of this id, if it is there.
    pub fn get(&self, id: RuleId) -> Option<&CompiledRule> {
        self.by_id.get(&id).map(|place| &self.rules[*place])
    }

    /// All rules.
    pub fn rules(&self) -> impl Iterator<Item = &CompiledRule> {
        self.rules
            .iter()
            .enumerate()
            .filter(|(place, rule)| self.by_id[&rule.stored.rule_id] == *place)
            .map(|(_, rule)| rule)
    }

    /// The datasets whose rows some rule looks at.
    pub fn datasets(&self) -> Vec<Dataset> {
        Dataset::ALL.into_iter().filter(|dataset| self.tables.is_asked(*dataset)).collect()
    }

    /// The columns of `dataset` that its rows must have, in the schema's order; none, if no rule looks at it.
    pub fn columns(&self, dataset: Dataset) -> Vec<&'static str> {
        if !self.tables.is_asked(dataset) {
            return Vec::new();
        }
        let mut needed = vec![false; dataset.columns().len()];
        let mut need = |name: &str| {
            if let Some(place) = dataset.columns().iter().position(|column| column.name == name) {
                needed[place] = true;
            }
        };
        always(dataset).iter().for_each(|name| need(name));
        for rule in self.rules().filter(|rule| rule.parts.dataset == Some(dataset)) {
            rule.parts.columns.iter().for_each(|name| need(name));
        }
        let columns = dataset.columns().iter().zip(needed);
        columns.filter(|(_, needed)| *needed).map(|(column, _)| column.name).collect()
    }

    /// What the rules find in `rows`. A rule that fails at one row is asked about no further one; of one that finds more than may be held
    /// ([`MOST_OF_RULE`]) nothing is told.
    ///
    /// # Panics
    /// If a batch lacks a column that [`Self::columns`] names, or has it with another type.
    pub fn find(&self, rows: &BlockRows) -> Found {
        let nobody = BTreeSet::new();
        let asked = Asked { again_from: None, orgs: None, without: &nobody, excess: Excess::IsAFault };
        self.find_as(rows, &asked)
    }

    /// The same, as far as `asked` says.
    ///
    /// # Panics
    /// As [`Self::find`].
    pub fn find_as(&self, rows: &BlockRows, asked: &Asked<'_>) -> Found {
        let places = asked.without.iter().filter_map(|rule_id| self.by_id.get(rule_id));
        let without: HashSet<u32, _> =
            places.map(|place| u32::try_from(*place).expect("there are fewer than 2^32 rules")).collect();
        let scope = Scope { again_from: asked.again_from, orgs: asked.orgs, without, excess: asked.excess };
        search::find(&self.rules, &self.tables, rows, scope)
    }
}

/// Columns by which rows are placed. Those by which they are chosen are the rules'.
fn always(dataset: Dataset) -> &'static [&'static str] {
    match dataset {
        Dataset::Blocks => &["block_number", "block_hash", "timestamp"],
        Dataset::Transactions | Dataset::Logs | Dataset::Traces => {
            &["block_number", "block_hash", "timestamp", "transaction_hash", "transaction_index"]
        }
    }
}
