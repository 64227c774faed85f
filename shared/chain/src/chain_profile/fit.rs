//! From a tree to the JSON of what it means, by the tables of `keys`; every slip with its place. Pure.

use isotherm_types::sandbox::PLATFORM_SCHEMA;
use serde_json::{Map, Value};

use super::keys::{FINALITY, Key, MAX_NAME, Presence, Shape, Table};
use super::tree::{Entry, Kind, Node, Slip};

/// Slips after which reading ends.
pub(super) const MAX_SLIPS: usize = 100;

/// What `node` means as a `table`; puts into `slips` what it holds against it. `what` names it.
pub(super) fn fit_table<P: Clone>(
    node: &Node<P>,
    table: &'static Table,
    what: &str,
    slips: &mut Vec<Slip<P>>,
) -> Value {
    let Kind::Map(entries) = &node.kind else {
        slips.push(node.slip(format!("{what} is {}; it must be a mapping", described(node))));
        return Value::Null;
    };
    let mut values = Map::new();
    for entry in entries {
        if slips.len() >= MAX_SLIPS {
            return Value::Null;
        }
        match table.keys.iter().find(|key| key.name == entry.key) {
            Some(key) => {
                values.insert(key.name.to_owned(), fit(&entry.value, key, what, slips));
            }
            None => slips.push(unknown(entry, table, what)),
        }
    }
    for key in table.keys.iter().filter(|key| key.presence == Presence::Required) {
        if node.value(key.name).is_none() {
            slips.push(node.slip(format!("{what} has no `{}`, which it needs", key.name)));
        }
    }
    if table.name == FINALITY.name {
        slips.extend(slip_of_finality(node));
    }
    Value::Object(values)
}

/// `blocks` goes with `kind: depth`, and only with it.
fn slip_of_finality<P: Clone>(finality: &Node<P>) -> Option<Slip<P>> {
    match (finality.value("kind").and_then(Node::text), finality.value("blocks")) {
        (Some("depth"), None) => Some(finality.slip("finality by depth needs `blocks`")),
        (Some("tags"), Some(blocks)) => Some(blocks.slip("finality by tags takes no `blocks`")),
        _ => None,
    }
}

fn unknown<P: Clone>(entry: &Entry<P>, table: &Table, what: &str) -> Slip<P> {
    let known: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
    entry.slip(format!("unknown key {} of {what}; it may have {}", quoted(&entry.key), known.join(", ")))
}

fn fit<P: Clone>(node: &Node<P>, key: &'static Key, of: &str, slips: &mut Vec<Slip<P>>) -> Value {
    let what = format!("{} of {of}", key.name);
    let mut wrong = |must: String| {
        slips.push(node.slip(format!("{what} is {}; it must be {must}", described(node))));
        Value::Null
    };
    match (&key.shape, &node.kind) {
        (Shape::Whole { least, most }, Kind::Plain(text)) => match whole(text) {
            Some(number) if (*least..=*most).contains(&number) => number.into(),
            _ => wrong(span(*least, *most)),
        },
        (Shape::Whole { least, most }, _) => wrong(span(*least, *most)),
        (Shape::Name, Kind::Plain(text) | Kind::Quoted(text)) if is_name(text) && !is_null(node) => {
            text.as_str().into()
        }
        (Shape::Name, _) => wrong(format!(
            "1 to {MAX_NAME} of lower-case letters, digits, - and _, beginning with a letter or digit, \
                 and not {PLATFORM_SCHEMA}"
        )),
        (Shape::Word(words), Kind::Plain(text) | Kind::Quoted(text)) if is_one_of(words, text) => text.as_str().into(),
        (Shape::Word(words), _) => wrong(listed(words)),
        (Shape::Check, Kind::Plain(text) | Kind::Quoted(text)) if text == "never" => text.as_str().into(),
        (Shape::Check, Kind::Plain(text)) if whole(text).is_some_and(|number| number <= i64::MAX.unsigned_abs()) => {
            whole(text).into()
        }
        (Shape::Check, _) => wrong("never or the number of the first block that it is made on".to_owned()),
        (Shape::Table(table), _) => fit_table(node, table, &what, slips),
        (Shape::List(table), Kind::List(items)) => {
            let fitted = items.iter().enumerate().map(|(place, item)| {
                let what = match item.value("name").and_then(Node::text) {
                    Some(name) => format!("{} {}", table.name, quoted(name)),
                    None => format!("{} {}", table.name, place + 1),
                };
                fit_table(item, table, &what, slips)
            });
            Value::Array(fitted.collect())
        }
        (Shape::List(_), _) => wrong("a list".to_owned()),
    }
}

/// A decimal number, written as all readers of YAML read it: no sign, no zeros before it.
fn whole(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse::<u64>().ok().filter(|_| is_plain)
}

fn is_name(text: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    text.len() <= MAX_NAME
        && text != PLATFORM_SCHEMA
        && text.starts_with(is_plain)
        && text.chars().all(|letter| is_plain(letter) || letter == '-' || letter == '_')
}

fn is_one_of(words: &[(&str, &str)], text: &str) -> bool {
    words.iter().any(|(word, _)| *word == text)
}

fn span(least: u64, most: u64) -> String {
    if least == most { least.to_string() } else { format!("a whole number from {least} to {most}") }
}

fn listed(words: &[(&str, &str)]) -> String {
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// Whether nothing is written there, in one of the ways of YAML.
fn is_null<P>(node: &Node<P>) -> bool {
    matches!(&node.kind, Kind::Plain(text) if text.is_empty() || text == "~" || text == "null")
}

fn described<P>(node: &Node<P>) -> String {
    match &node.kind {
        Kind::Plain(_) if is_null(node) => "empty".to_owned(),
        Kind::Plain(text) => quoted(text).trim_matches('"').to_owned(),
        Kind::Quoted(text) => quoted(text),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "a mapping".to_owned(),
    }
}

/// `text` in quotes, its end left out if it is long, control characters escaped.
fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
