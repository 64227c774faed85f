//! A rule, ready to be asked: its texts read and typed, its keys in the form of the tables.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Selector};
use chrono::{DateTime, Utc};
use isotherm_types::{BlockRef, Dataset};
use serde_json::{Map, Value as Json};

use super::Match;
use super::search::shortened_key;
use crate::condition::{self, Expression, Mistake, Names, Type};
use crate::definition::{Definition, FieldError, FieldErrors, Finding, Position, Source};
use crate::facts::{Fact, FactValue, sentence};
use crate::identity::Identity;
use crate::rules::StoredRule;
use crate::source::{Decoder, Key, Signature};
use crate::template::{Template, field_name, shortened, show};

/// A rule, ready to be asked. Cloning one copies nothing of what was compiled.
#[derive(Clone, Debug)]
pub struct CompiledRule {
    /// As it is stored.
    pub stored: StoredRule,
    pub(crate) parts: Arc<Parts>,
}

/// Whether the texts of `definition` mean something.
///
/// # Errors
/// Everything that is wrong with them, each with its field and place.
pub fn check(definition: &Definition) -> Result<(), FieldErrors> {
    Parts::of(definition).map(|_| ())
}

/// What became of a definition's texts.
#[derive(Debug)]
pub(crate) struct Parts {
    /// `None` of SQL and of the platform's findings.
    pub(crate) dataset: Option<Dataset>,
    pub(crate) topics: Vec<[u8; 32]>,
    pub(crate) selectors: Vec<[u8; 4]>,
    pub(crate) addresses: Vec<[u8; 20]>,
    /// What decodes the rows, and the shape by which rules share it.
    pub(crate) decoder: Option<(String, Arc<Decoder>)>,
    /// Traces only: frames that run another contract's code on the same account do not count.
    pub(crate) plain_calls: bool,
    pub(crate) condition: Option<Expression>,
    pub(crate) group_by: Option<Expression>,
    /// Of rows without types: the column that says what the cooldown goes by.
    group_field: Option<String>,
    pub(crate) message: Option<Template>,
    pub(crate) facts: Vec<Fact>,
    /// Columns that the rows must have for it.
    pub(crate) columns: Vec<&'static str>,
    /// What it finds, in a word or two.
    pub(crate) what: String,
    pub(crate) title: String,
}

impl CompiledRule {
    /// Reads and types a rule's texts.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its field and place.
    pub fn compile(stored: StoredRule) -> Result<Self, FieldErrors> {
        let parts = Arc::new(Parts::of(&stored.definition)?);
        Ok(Self { stored, parts })
    }

    /// This rule with what is stored of it now, without compiling it again; `None` if its definition has changed since.
    #[must_use]
    pub fn refreshed(&self, stored: StoredRule) -> Option<Self> {
        let is_same = stored.rule_id == self.stored.rule_id && stored.version == self.stored.version;
        is_same.then(|| Self { stored, parts: Arc::clone(&self.parts) })
    }

    /// What a row of the answer to the rule's SQL is. `block` is the newest one that the answer was made from.
    pub fn match_of_row(&self, row: &Map<String, Json>, block: BlockRef, block_time: DateTime<Utc>) -> Match {
        let identity = Identity::of_row(self.stored.rule_id, self.stored.chain_id, row);
        self.match_of_fields(identity, row, block, block_time)
    }

    /// What a finding of the platform, called `key` for ever, is.
    pub fn match_of_finding(
        &self,
        key: &str,
        fields: &Map<String, Json>,
        block: BlockRef,
        block_time: DateTime<Utc>,
    ) -> Match {
        let identity = Identity::of_finding(self.stored.rule_id, self.stored.chain_id, key);
        self.match_of_fields(identity, fields, block, block_time)
    }

    /// Whether the rule wants to know of such findings.
    pub fn wants(&self, finding: Finding) -> bool {
        matches!(&self.stored.definition.source, Source::Platform(wanted) if wanted.contains(&finding))
    }

    fn match_of_fields(
        &self,
        identity: Identity,
        fields: &Map<String, Json>,
        block: BlockRef,
        block_time: DateTime<Utc>,
    ) -> Match {
        let parts = &self.parts;
        let message = match &parts.message {
            Some(template) => template.of_fields(fields),
            None => shortened(sentence(&parts.what, fields)),
        };
        let group = parts.group_field.as_ref().and_then(|name| fields.get(name)).filter(|value| !value.is_null());
        Match {
            rule: self.stored.rule_id,
            org: self.stored.org_id,
            identity,
            transaction_hash: None,
            position: 0,
            block,
            block_time,
            severity: self.stored.definition.severity,
            title: parts.title.clone(),
            message,
            facts: Json::Object(fields.clone()),
            group_key: group.map(|value| shortened_key(show(Some(value)))),
        }
    }
}

impl Parts {
    /// Reads and types the texts of `definition`.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(crate) fn of(definition: &Definition) -> Result<Self, FieldErrors> {
        let mut errors = Vec::new();
        let mut parts = Self::of_source(definition);
        let signature = match &definition.source {
            Source::Event { event, .. } => keep(Signature::of_event(event), "source.event", &mut errors),
            Source::Call { call, .. } => keep(Signature::of_call(call), "source.call", &mut errors),
            Source::Rows(_) | Source::Sql { .. } | Source::Platform(_) => None,
        };
        // Without its signature nothing can be said about the names in the other texts.
        FieldErrors::check(std::mem::take(&mut errors))?;
        if let Some(signature) = &signature {
            parts.select_by(signature);
        }
        let parameters = signature.as_ref().map(|signature| signature.parameters.clone());
        let names = parts.dataset.map(|dataset| Names::new(dataset, parameters));
        parts.read_texts(definition, names.as_ref(), &mut errors);
        FieldErrors::check(errors)?;
        if let Some(names) = &names {
            parts.gather(names, signature.as_ref());
        }
        Ok(parts)
    }

    fn of_source(definition: &Definition) -> Self {
        let bytes = |addresses: &[Address]| addresses.iter().map(|address| address.0.0).collect::<Vec<[u8; 20]>>();
        let (addresses, topics, selectors) = match &definition.source {
            Source::Rows(rows) => (
                bytes(&rows.address),
                rows.topic0.iter().map(|topic: &B256| topic.0).collect(),
                rows.selector.iter().map(|selector: &Selector| selector.0).collect(),
            ),
            Source::Event { address, .. } | Source::Call { address, .. } => (bytes(address), Vec::new(), Vec::new()),
            Source::Sql { .. } | Source::Platform(_) => (Vec::new(), Vec::new(), Vec::new()),
        };
        let what = match &definition.source {
            Source::Rows(rows) => rows.dataset.as_str().trim_end_matches('s').to_owned(),
            Source::Event { .. } | Source::Call { .. } => String::new(),
            Source::Sql { .. } => "row".to_owned(),
            Source::Platform(_) => "finding".to_owned(),
        };
        Self {
            dataset: definition.source.dataset(),
            topics,
            selectors,
            addresses,
            decoder: None,
            plain_calls: matches!(definition.source, Source::Call { internal: true, .. }),
            condition: None,
            group_by: None,
            group_field: None,
            message: None,
            facts: Vec::new(),
            columns: Vec::new(),
            title: title(&definition.name, &what, &definition.chain),
            what,
        }
        .named_after(definition)
    }

    fn named_after(mut self, definition: &Definition) -> Self {
        if let Source::Event { event: signature, .. } | Source::Call { call: signature, .. } = &definition.source {
            let name = signature.split('(').next().unwrap_or_default();
            self.what = name.split_whitespace().last().unwrap_or_default().to_owned();
            self.title = title(&definition.name, &self.what, &definition.chain);
        }
        self
    }

    fn select_by(&mut self, signature: &Signature) {
        match signature.key {
            Key::Topic(topic) => self.topics = vec![topic.0],
            Key::Selector(selector) => self.selectors = vec![selector.0],
        }
        self.decoder = Some((signature.shape.clone(), Arc::clone(&signature.decoder)));
    }

    fn read_texts(&mut self, definition: &Definition, names: Option<&Names>, errors: &mut Vec<FieldError>) {
        if let (Some(text), Some(names)) = (&definition.condition, names) {
            self.condition = keep_all(condition::compile_condition(text, names), "condition", errors);
        }
        if let Some(text) = &definition.group_by {
            match names {
                Some(names) => self.group_by = keep_all(group_key(text, names), "group_by", errors),
                None => self.group_field = keep(field_name(text).map(str::to_owned), "group_by", errors),
            }
        }
        if let Some(text) = &definition.message {
            self.message = keep_all(Template::compile(text, names), "message", errors);
        }
    }

    /// Decides which facts are shown, and which columns that takes.
    fn gather(&mut self, names: &Names, signature: Option<&Signature>) {
        let dataset = self.dataset.expect("names are those of a dataset");
        let shown: &[&str] = match (dataset, signature.is_some()) {
            (Dataset::Blocks, _) => &["gas_used", "transaction_count"],
            (Dataset::Transactions, _) => &["from_address", "to_address", "value", "success"],
            (Dataset::Logs, false) => &["address", "topic0", "log_index"],
            (Dataset::Logs, true) => &["address", "log_index"],
            (Dataset::Traces, _) => &["action_from", "action_to", "action_value", "action_type", "error"],
        };
        if let Some(signature) = signature {
            let kind = if dataset == Dataset::Logs { "event" } else { "call" };
            self.facts.push(Fact { name: kind.to_owned(), value: FactValue::Text(signature.name.clone()) });
        }
        let mut facts: Vec<&'static str> = Vec::new();
        facts.extend(names.columns().filter(|name| shown.contains(name)));
        let mut used = Vec::new();
        self.each_expression(&mut |expression| {
            expression.each_column(&mut |read| used.push(dataset.columns()[read.column].name));
        });
        // Where something stands is told of every finding.
        let known = ["chain_id", "block_number", "block_hash", "timestamp", "transaction_hash", "transaction_index"];
        for name in used.iter().copied().map(shown_name).filter(|name| !known.contains(name)) {
            if !facts.contains(&name) {
                facts.push(name);
            }
        }
        for name in facts {
            let column = names.column(name).expect("it is the name of a column");
            column.expression.each_column(&mut |read| used.push(dataset.columns()[read.column].name));
            self.facts.push(Fact { name: name.to_owned(), value: FactValue::Expression(column.expression) });
        }
        if let Some(signature) = signature {
            let parameters = signature.parameters.iter().map(|parameter| parameter.name.clone()).collect();
            self.facts.push(Fact { name: "args".to_owned(), value: FactValue::Arguments(parameters) });
        }
        self.columns = used;
        self.columns.extend(self.keys(dataset));
    }

    /// Columns by which its rows are chosen and decoded.
    fn keys(&self, dataset: Dataset) -> Vec<&'static str> {
        let mut columns = Vec::new();
        let (address, first) = match dataset {
            Dataset::Blocks => return columns,
            Dataset::Transactions => ("to_address", "input"),
            Dataset::Logs => ("address", "topic0"),
            Dataset::Traces => ("action_to", "action_input"),
        };
        if !self.addresses.is_empty() {
            columns.push(address);
        }
        if !(self.topics.is_empty() && self.selectors.is_empty()) {
            columns.push(first);
        }
        if self.decoder.is_some() && dataset == Dataset::Logs {
            columns.extend(["topic1", "topic2", "topic3", "data"]);
        }
        if self.plain_calls {
            columns.extend(["action_type", "action_call_type"]);
        }
        columns
    }

    fn each_expression(&self, visit: &mut dyn FnMut(&Expression)) {
        self.condition.iter().chain(&self.group_by).for_each(&mut *visit);
        self.message.iter().flat_map(Template::expressions).for_each(visit);
    }
}

/// Under which name a stored column is shown: amounts under the one of the number.
fn shown_name(column: &'static str) -> &'static str {
    if column == "value_binary" { "value" } else { column }
}

fn title(rule: &str, what: &str, chain: &str) -> String {
    format!("{rule}: {what} on {chain}")
}

/// A text, a number or bytes: something to tell groups apart by.
fn group_key(text: &str, names: &Names) -> Result<Expression, Vec<Mistake>> {
    let typed = condition::compile(text, names)?;
    match typed.kind {
        Type::Text | Type::Int | Type::Bytes(_) => Ok(typed.expression),
        kind => {
            let message = format!("groups are told apart by a text, a whole number or bytes, and this is {kind}");
            Err(vec![Mistake::new(Position::START, message)])
        }
    }
}

fn keep<T>(outcome: Result<T, Mistake>, field: &str, errors: &mut Vec<FieldError>) -> Option<T> {
    keep_all(outcome.map_err(|mistake| vec![mistake]), field, errors)
}

fn keep_all<T>(outcome: Result<T, Vec<Mistake>>, field: &str, errors: &mut Vec<FieldError>) -> Option<T> {
    match outcome {
        Ok(kept) => Some(kept),
        Err(mistakes) => {
            let found = mistakes.into_iter().map(|mistake| FieldError::at(field, mistake.position, mistake.message));
            errors.extend(found);
            None
        }
    }
}
