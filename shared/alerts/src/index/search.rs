//! Going over the rows of a run.

use std::collections::{BTreeSet, HashMap, HashSet};

use alloy_dyn_abi::DynSolValue;
use arrow::array::RecordBatch;
use chrono::DateTime;
use isotherm_types::{B256, BlockNumber, BlockRef, Classified as _, Dataset, OrgId};
use serde_json::Value as Json;

use super::compiled::CompiledRule;
use super::keys::Tables;
use super::places::{GroupColumns, Ranks};
use super::tally::{Excess, Tally};
use super::{BlockRows, Found, Match, RuleFault};
use crate::condition::{self, EvaluationError};
use crate::facts::{Column, Columns, Row, facts_of, sentence};
use crate::identity::{Identity, Place};
use crate::source::Decoder;
use crate::template::shortened;

/// Steps that the condition of one rule may take over all rows of one run: some seconds.
pub const MAX_STEPS_PER_RUN: u64 = 50_000_000;

/// Longest key of a group, in characters.
const MAX_GROUP_KEY: usize = 200;

/// Who is asked, and of what.
pub(super) struct Scope<'run> {
    /// From this block on every rule is asked.
    pub(super) again_from: Option<BlockNumber>,
    /// Whose rules are asked; `None`: everybody's.
    pub(super) orgs: Option<&'run BTreeSet<OrgId>>,
    /// Places of rules that are not asked.
    pub(super) without: HashSet<u32, foldhash::fast::RandomState>,
    /// What becomes of the search if rules find too much.
    pub(super) excess: Excess,
}

pub(super) fn find(rules: &[CompiledRule], tables: &Tables, rows: &BlockRows, scope: Scope<'_>) -> Found {
    let again_from = scope.again_from.map_or(u64::MAX, |block| block.0);
    let mut search = Search {
        rules,
        tables,
        again_from,
        orgs: scope.orgs,
        excess: scope.excess,
        found: Found::default(),
        tally: Tally::default(),
        steps: HashMap::default(),
        silent: scope.without,
    };
    for dataset in Dataset::ALL.into_iter().filter(|dataset| tables.is_asked(*dataset)) {
        search.dataset(dataset, rows.of(dataset));
    }
    let Search { mut found, .. } = search;
    // What a rule found before its condition failed is told; one that failed finds nothing further.
    found.matches.sort_by_key(|found| found.block.number);
    found
}

struct Search<'run> {
    rules: &'run [CompiledRule],
    tables: &'run Tables,
    /// From this block on every rule is asked.
    again_from: u64,
    orgs: Option<&'run BTreeSet<OrgId>>,
    excess: Excess,
    found: Found,
    tally: Tally,
    /// Steps taken, by the place of the rule.
    steps: HashMap<u32, u64, foldhash::fast::RandomState>,
    /// Places of rules that are not asked, or have failed.
    silent: HashSet<u32, foldhash::fast::RandomState>,
}

/// A batch, with the arrays that are read of every candidate looked up once.
struct Batch<'a> {
    dataset: Dataset,
    columns: &'a Columns<'a>,
    number: Column<'a>,
    hash: Column<'a>,
    timestamp: Column<'a>,
    /// Not of blocks.
    groups: Option<GroupColumns<'a>>,
    transaction_hash: Option<Column<'a>>,
    /// Of logs.
    topics: [Option<Column<'a>>; 4],
    /// Data of logs, input of transactions and traces, if some rule needs it.
    payload: Option<Column<'a>>,
    /// Of traces, if some rule needs them: type of the frame and of the call.
    call_types: [Option<Column<'a>>; 2],
}

impl<'a> Batch<'a> {
    fn of(columns: &'a Columns<'a>, dataset: Dataset) -> Self {
        let is_block = dataset == Dataset::Blocks;
        let payload = match dataset {
            Dataset::Blocks => None,
            Dataset::Transactions => columns.named("input"),
            Dataset::Logs => columns.named("data"),
            Dataset::Traces => columns.named("action_input"),
        };
        Self {
            dataset,
            columns,
            number: columns.required("block_number"),
            hash: columns.required("block_hash"),
            timestamp: columns.required("timestamp"),
            groups: (!is_block).then(|| GroupColumns::of(columns)),
            transaction_hash: (!is_block).then(|| columns.required("transaction_hash")),
            topics: ["topic0", "topic1", "topic2", "topic3"].map(|name| columns.named(name)),
            payload,
            call_types: ["action_type", "action_call_type"].map(|name| columns.named(name)),
        }
    }

    /// Whether a trace is a call of the contract that it names, and not of its code on another one's account.
    fn is_plain_call(&self, row: usize) -> bool {
        let [kind, call] = self.call_types.map(|column| column.and_then(|column| column.text(row)));
        kind == Some("call") && matches!(call, Some("call" | "static_call"))
    }

    fn decode(&self, decoder: &Decoder, row: usize) -> Option<Vec<DynSolValue>> {
        let payload = self.payload?.bytes(row)?;
        if self.dataset == Dataset::Logs {
            let topics = self.topics.iter().flatten().filter_map(|column| column.bytes(row));
            return decoder.decode_log(topics, payload);
        }
        decoder.decode_call(payload)
    }
}

/// What decoders made of the row that is looked at: once, however many rules share one.
#[derive(Default)]
struct Decoded {
    by_decoder: Vec<(u32, Option<Vec<DynSolValue>>)>,
}

impl Decoded {
    fn by(&mut self, decoder: u32, decode: impl FnOnce() -> Option<Vec<DynSolValue>>) -> Option<&[DynSolValue]> {
        let known = self.by_decoder.iter().position(|(known, _)| *known == decoder);
        let place = known.unwrap_or_else(|| {
            self.by_decoder.push((decoder, decode()));
            self.by_decoder.len() - 1
        });
        self.by_decoder[place].1.as_deref()
    }
}

/// The bytes of a row, if the batch has the column and the row a value.
#[inline]
fn bytes<'a>(column: Option<Column<'a>>, row: usize) -> Option<&'a [u8]> {
    column.and_then(|column| column.bytes(row))
}

impl Search<'_> {
    fn dataset(&mut self, dataset: Dataset, batches: &[RecordBatch]) {
        let mut ranks = Ranks::default();
        let tables = self.tables;
        for rows in batches.iter().filter(|batch| batch.num_rows() > 0) {
            let columns = Columns::of(rows, dataset);
            let batch = Batch::of(&columns, dataset);
            let count = rows.num_rows();
            match dataset {
                Dataset::Blocks => {
                    self.batch(&batch, count, &mut ranks, |_, found| found.extend_from_slice(&tables.blocks));
                }
                Dataset::Transactions => {
                    let (input, to) = (columns.named("input"), columns.named("to_address"));
                    self.batch(&batch, count, &mut ranks, |row, found| {
                        tables.transactions.look_up(bytes(input, row), bytes(to, row), found);
                    });
                }
                Dataset::Logs => {
                    let (topic0, address) = (columns.named("topic0"), columns.named("address"));
                    self.batch(&batch, count, &mut ranks, |row, found| {
                        tables.logs.look_up(bytes(topic0, row), bytes(address, row), found);
                    });
                }
                Dataset::Traces => {
                    let (input, to) = (columns.named("action_input"), columns.named("action_to"));
                    self.batch(&batch, count, &mut ranks, |row, found| {
                        tables.traces.look_up(bytes(input, row), bytes(to, row), found);
                    });
                }
            }
            if let Some(groups) = batch.groups {
                ranks.finish(groups, count);
            }
        }
    }

    fn batch(&mut self, batch: &Batch<'_>, rows: usize, ranks: &mut Ranks, look_up: impl Fn(usize, &mut Vec<u32>)) {
        let (mut found, mut decoded) = (Vec::new(), Decoded::default());
        for row in 0..rows {
            if self.found.is_too_much {
                return;
            }
            look_up(row, &mut found);
            if found.is_empty() {
                continue;
            }
            for place in found.drain(..) {
                self.judge(place, batch, row, &mut decoded, ranks);
            }
            decoded.by_decoder.clear();
        }
    }

    fn judge(&mut self, place: u32, batch: &Batch<'_>, row: usize, decoded: &mut Decoded, ranks: &mut Ranks) {
        let index = usize::try_from(place).expect("places fit memory");
        let (rules, tables) = (self.rules, self.tables);
        let rule = &rules[index];
        let block = batch.number.number(row).unwrap_or_default();
        let is_before = block < rule.stored.first_block.0 && block < self.again_from;
        let is_asked = self.orgs.is_none_or(|orgs| orgs.contains(&rule.stored.org_id));
        if is_before || !is_asked || self.found.is_too_much || self.silent.contains(&place) {
            return;
        }
        if rule.parts.plain_calls && !batch.is_plain_call(row) {
            return;
        }
        let arguments: &[DynSolValue] = match tables.decoder_of[index] {
            None => &[],
            Some(id) => {
                let decoder = &tables.decoders[usize::try_from(id).expect("places fit memory")];
                let Some(arguments) = decoded.by(id, || batch.decode(decoder, row)) else { return };
                arguments
            }
        };
        let values = Row { columns: batch.columns, row, arguments };
        if let Some(condition) = &rule.parts.condition {
            let (outcome, steps) = condition::holds(condition, &values);
            match outcome.and_then(|holds| self.spend(place, steps).map(|()| holds)) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.fail(place, BlockNumber(block), error.code(), &error),
            }
        }
        let rank = batch.groups.map_or(0, |groups| ranks.rank(groups, row));
        self.keep(place, match_of(rule, batch, &values, BlockNumber(block), rank));
    }

    /// Adds a finding, and lets go of those for which there is no room.
    fn keep(&mut self, place: u32, found: Match) {
        let (org, block) = (found.org, found.block.number);
        self.tally.add(place, &found);
        self.found.matches.push(found);
        while let Some((guilty, trouble)) = self.tally.excess(place, org) {
            if self.excess == Excess::EndsSearch {
                self.found = Found { is_too_much: true, ..Found::default() };
                return;
            }
            self.tally.forget(guilty);
            self.fail(guilty, block, trouble.code(), &trouble);
            let rule_id = self.rule_at(guilty).stored.rule_id;
            self.found.matches.retain(|found| found.rule != rule_id);
        }
    }

    fn rule_at(&self, place: u32) -> &CompiledRule {
        &self.rules[usize::try_from(place).expect("places fit memory")]
    }

    fn spend(&mut self, place: u32, steps: u32) -> Result<(), EvaluationError> {
        let taken = self.steps.entry(place).or_default();
        *taken += u64::from(steps);
        if *taken > MAX_STEPS_PER_RUN {
            return Err(EvaluationError::TooSlow { limit: MAX_STEPS_PER_RUN });
        }
        Ok(())
    }

    fn fail(&mut self, place: u32, block: BlockNumber, code: &'static str, trouble: &impl std::fmt::Display) {
        self.silent.insert(place);
        let fault = RuleFault {
            rule_id: self.rule_at(place).stored.rule_id,
            code,
            message: format!("at block {block}: {trouble}"),
        };
        self.found.faults.push(fault);
    }
}

fn match_of(rule: &CompiledRule, batch: &Batch<'_>, row: &Row<'_>, number: BlockNumber, rank: u32) -> Match {
    let hash_at = |column: Column<'_>| column.bytes(row.row).filter(|hash| hash.len() == 32).map(B256::from_slice);
    let transaction_hash = batch.transaction_hash.and_then(hash_at);
    let (place, position) = match (batch.dataset, transaction_hash) {
        (Dataset::Blocks, _) => (Place::Block(number), 0),
        (Dataset::Transactions, Some(hash)) => (Place::Transaction(hash), 0),
        (Dataset::Logs, Some(hash)) => (Place::Log(hash, rank), rank),
        (Dataset::Traces, Some(hash)) => (Place::Trace(hash, rank), rank),
        (_, None) => (Place::Reward(number, rank), rank),
    };
    let seconds = batch.timestamp.number(row.row).and_then(|seconds| i64::try_from(seconds).ok());
    let parts = &rule.parts;
    let facts = facts_of(&parts.facts, row);
    let message = match &parts.message {
        Some(template) => template.of_row(row),
        None => shortened(sentence(&parts.what, &facts)),
    };
    let group_key = parts.group_by.as_ref().and_then(|group_by| condition::value(group_by, row).ok());
    let group_key = group_key.filter(|value| *value != condition::Value::Absent).map(|value| value.show());
    Match {
        rule: rule.stored.rule_id,
        org: rule.stored.org_id,
        identity: Identity::of_place(rule.stored.rule_id, rule.stored.chain_id, place),
        transaction_hash,
        position,
        block: BlockRef { number, hash: hash_at(batch.hash).unwrap_or_default() },
        block_time: seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or_default(),
        severity: rule.stored.definition.severity,
        title: parts.title.clone(),
        message,
        facts: Json::Object(facts),
        group_key: group_key.map(shortened_key),
    }
}

/// The begin of a key that is too long, as Postgres holds it: without NUL characters.
pub(super) fn shortened_key(key: String) -> String {
    let key = if key.contains('\0') { key.replace('\0', "\u{fffd}") } else { key };
    match key.char_indices().nth(MAX_GROUP_KEY) {
        None => key,
        Some((end, _)) => key[..end].to_owned(),
    }
}
