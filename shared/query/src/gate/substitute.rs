//! Puts constants into the tree before it is checked: parameters' values, and the query's start for the present.
//!
//! Plan and run are two sittings of DuckDB, each with a clock of its own. With one instant in the tree both see the
//! same present, so that a filter of the plan is one of the run. What cannot be replaced exactly stays
//! ([`reads_the_clock`]): `localtime`, `age` of one argument, `ago`.
//!
//! Whatever is put in is checked by the walk like everything else.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::constants::{self, ClockKind};
use super::{Given, Refusal};
use crate::parameters::ParameterError;

/// Functions without arguments that stand for the present.
const CLOCK_FUNCTIONS: [(&str, ClockKind); 6] = [
    ("current_date", ClockKind::Date),
    ("current_localtimestamp", ClockKind::Local),
    ("get_current_timestamp", ClockKind::Instant),
    ("now", ClockKind::Instant),
    ("today", ClockKind::Date),
    ("transaction_timestamp", ClockKind::Instant),
];

/// Words that DuckDB reads as such a function where no column has their name.
const CLOCK_WORDS: [(&str, ClockKind); 3] = [
    ("current_date", ClockKind::Date),
    ("current_timestamp", ClockKind::Instant),
    ("localtimestamp", ClockKind::Local),
];

/// Every name that may stand for the present. `age` of one argument counts from today.
const CLOCK_NAMES: [&str; 15] = [
    "age",
    "ago",
    "current_date",
    "current_localtime",
    "current_localtimestamp",
    "current_time",
    "current_timestamp",
    "get_current_date",
    "get_current_time",
    "get_current_timestamp",
    "localtime",
    "localtimestamp",
    "now",
    "today",
    "transaction_timestamp",
];

/// DuckDB writes 2^64 - 1 for "nowhere".
const NOWHERE: u64 = u64::MAX;

/// Where a node stands, as far as it matters to a constant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a list of results: it gives a column its name.
    Result,
    /// An item of ORDER BY, GROUP BY or DISTINCT ON, where a number would mean a column.
    Item,
    Elsewhere,
}

/// Puts the constants of `given` into `tree` and moves every place to the user's text. Returns whether the tree says
/// something else now.
///
/// # Errors
/// [`Refusal::Parameter`] if statement and values do not fit; [`Refusal::Construct`] for a bare `0x…` that was read as
/// the number 0.
pub(super) fn substitute(tree: &mut Value, given: &Given<'_>) -> Result<bool, Refusal> {
    let words = CLOCK_WORDS.into_iter().filter(|(word, _)| is_surely_no_column(tree, word)).collect();
    let mut work = Substitution { given, words, used: BTreeSet::new(), changed: false };
    work.visit(tree, Place::Elsewhere)?;
    if let Some(name) = given.parameters.names().find(|name| !work.used.contains(*name)) {
        return Err(ParameterError::Surplus { name: name.to_owned() }.into());
    }
    if work.changed {
        forget_parameters(tree);
    }
    Ok(work.changed)
}

/// Whether anything in `tree` may still stand for the present. Says yes too often rather than too seldom: a column or
/// a text of such a name counts as well, though not the name of a result.
pub(super) fn reads_the_clock(tree: &Value) -> bool {
    match tree {
        Value::String(text) => CLOCK_NAMES.iter().any(|name| text.eq_ignore_ascii_case(name)),
        Value::Array(values) => values.iter().any(reads_the_clock),
        Value::Object(node) => node.iter().any(|(key, value)| key != "alias" && reads_the_clock(value)),
        _ => false,
    }
}

struct Substitution<'a> {
    given: &'a Given<'a>,
    words: Vec<(&'static str, ClockKind)>,
    used: BTreeSet<String>,
    changed: bool,
}

impl Substitution<'_> {
    fn visit(&mut self, value: &mut Value, place: Place) -> Result<(), Refusal> {
        match value {
            Value::Array(values) => values.iter_mut().try_for_each(|value| self.visit(value, place)),
            Value::Object(node) => {
                self.move_to_the_users_text(node)?;
                if let Some(constant) = self.constant(node, place)? {
                    self.changed = true;
                    *value = constant;
                    return Ok(());
                }
                let is_order = node.contains_key("null_order");
                node.iter_mut().try_for_each(|(key, value)| self.visit(value, place_of(key, is_order)))
            }
            _ => Ok(()),
        }
    }

    fn move_to_the_users_text(&self, node: &mut Map<String, Value>) -> Result<(), Refusal> {
        let Some(position) = location(node) else { return Ok(()) };
        let position = self.given.statement.original_position(position);
        // Every bare literal was rewritten, so DuckDB should never meet one.
        if text(node, "class") == "CONSTANT" && self.given.statement.has_literal_at(position) && is_zero(node) {
            return Err(Refusal::Construct { what: "a bare 0x literal", position: Some(position) });
        }
        node.insert("query_location".to_owned(), json!(position));
        Ok(())
    }

    /// What stands in the place of `node`, if anything does.
    fn constant(&mut self, node: &Map<String, Value>, place: Place) -> Result<Option<Value>, Refusal> {
        let (inner, name) = match text(node, "class") {
            "PARAMETER" => {
                let identifier = text(node, "identifier");
                (self.parameter(identifier, place)?, format!("${identifier}"))
            }
            "FUNCTION" => match clock_function(node) {
                Some((word, kind)) => (constants::of_clock(kind, self.given.now), format!("{word}()")),
                None => return Ok(None),
            },
            "COLUMN_REF" => match self.words.iter().find(|(word, _)| is_word(node, word)) {
                Some((word, kind)) => (constants::of_clock(*kind, self.given.now), (*word).to_owned()),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let alias = match text(node, "alias") {
            "" if place == Place::Result => name.as_str(),
            alias => alias,
        };
        Ok(Some(constants::node(inner, alias, location(node).unwrap_or(NOWHERE))))
    }

    fn parameter(&mut self, identifier: &str, place: Place) -> Result<Value, ParameterError> {
        let name = || identifier.to_owned();
        let constant = self.given.parameters.get(identifier).ok_or_else(|| ParameterError::Missing { name: name() })?;
        if place == Place::Item {
            return Err(ParameterError::Item { name: name() });
        }
        self.used.insert(identifier.to_lowercase());
        Ok(constants::of_parameter(constant))
    }
}

fn place_of(key: &str, is_order: bool) -> Place {
    match key {
        "select_list" => Place::Result,
        "group_expressions" | "distinct_on_targets" => Place::Item,
        "expression" if is_order => Place::Item,
        _ => Place::Elsewhere,
    }
}

fn clock_function(node: &Map<String, Value>) -> Option<(&'static str, ClockKind)> {
    let is_bare = node.get("children").and_then(Value::as_array).is_some_and(Vec::is_empty)
        && node.get("filter").is_none_or(Value::is_null)
        && matches!(text(node, "schema"), "" | "main")
        && text(node, "catalog").is_empty();
    let name = text(node, "function_name");
    CLOCK_FUNCTIONS.into_iter().find(|(word, _)| is_bare && word.eq_ignore_ascii_case(name))
}

fn is_word(node: &Map<String, Value>, word: &str) -> bool {
    let names = node.get("column_names").and_then(Value::as_array).map(Vec::as_slice);
    matches!(names, Some([Value::String(name)]) if name.eq_ignore_ascii_case(word))
}

/// Whether `word` stands in the tree as that word only: no alias, text or other name holds it, and no lambda could
/// give it another meaning. No dataset has such a column.
fn is_surely_no_column(tree: &Value, word: &str) -> bool {
    match tree {
        Value::String(text) => !text.to_ascii_lowercase().contains(word),
        Value::Array(values) => values.iter().all(|value| is_surely_no_column(value, word)),
        Value::Object(node) => {
            let is_reference = text(node, "class") == "COLUMN_REF" && is_word(node, word);
            text(node, "class") != "LAMBDA"
                && node
                    .iter()
                    .filter(|(key, _)| !(is_reference && *key == "column_names"))
                    .all(|(_, value)| is_surely_no_column(value, word))
        }
        _ => true,
    }
}

fn is_zero(node: &Map<String, Value>) -> bool {
    node.get("value").and_then(|value| value.get("value")).and_then(Value::as_u64) == Some(0)
}

/// A statement without parameters has an empty list of them.
fn forget_parameters(tree: &mut Value) {
    for statement in tree.get_mut("statements").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(parameters) = statement.get_mut("named_param_map") {
            *parameters = json!([]);
        }
    }
}

fn location(node: &Map<String, Value>) -> Option<u64> {
    node.get("query_location").and_then(Value::as_u64).filter(|position| *position != NOWHERE)
}

/// A text field; an absent one is empty.
fn text<'a>(node: &'a Map<String, Value>, key: &str) -> &'a str {
    node.get(key).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests;
