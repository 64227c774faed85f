//! From a tree to the JSON of what it means, by the tables of `keys`; every fault with its place. Pure.

use serde_json::{Map, Value};

use super::keys::{Key, MAX_NAME, Presence, Shape, Table};
use super::read::Fault;
use super::yaml::{Entry, Kind, Node};

/// Faults after which reading ends.
pub(super) const MAX_FAULTS: usize = 100;

/// What `node` means as a `table`; puts into `faults` what it holds against it. `what` names it.
pub(super) fn fit_table(node: &Node, table: &'static Table, what: &str, faults: &mut Vec<Fault>) -> Value {
    let Kind::Map(entries) = &node.kind else {
        faults.push(node.place.fault(format!("{what} is {}; it must be a mapping", described(node))));
        return Value::Null;
    };
    let mut values = Map::new();
    for entry in entries {
        if faults.len() >= MAX_FAULTS {
            return Value::Null;
        }
        match table.keys.iter().find(|key| key.name == entry.key) {
            Some(key) => {
                values.insert(key.name.to_owned(), fit(&entry.value, key, what, faults));
            }
            None => faults.push(unknown(entry, table, what)),
        }
    }
    for key in table.keys.iter().filter(|key| key.presence == Presence::Required) {
        if node.value(key.name).is_none() {
            faults.push(node.place.fault(format!("{what} has no `{}`, which it needs", key.name)));
        }
    }
    Value::Object(values)
}

fn unknown(entry: &Entry, table: &Table, what: &str) -> Fault {
    let known: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
    entry.place.fault(format!("unknown key {} of {what}; it may have {}", quoted(&entry.key), known.join(", ")))
}

fn fit(node: &Node, key: &'static Key, of: &str, faults: &mut Vec<Fault>) -> Value {
    let what = format!("{} of {of}", key.name);
    let mut wrong = |must: String| {
        faults.push(node.place.fault(format!("{what} is {}; it must be {must}", described(node))));
        Value::Null
    };
    match (&key.shape, &node.kind) {
        (Shape::Whole { least, most }, Kind::Plain(text)) => match whole(text) {
            Some(number) if (*least..=*most).contains(&number) => number.into(),
            _ => wrong(span(*least, *most)),
        },
        (Shape::Whole { least, most }, _) => wrong(span(*least, *most)),
        (Shape::Name, Kind::Plain(text) | Kind::Quoted(text)) if is_name(text) => text.as_str().into(),
        (Shape::Name, _) => {
            wrong(format!("1 to {MAX_NAME} of lower-case letters, digits, - and _, beginning with a letter or digit"))
        }
        (Shape::Word(words), Kind::Plain(text) | Kind::Quoted(text)) if is_one_of(words, text) => text.as_str().into(),
        (Shape::Word(words), _) => wrong(listed(words)),
        (Shape::Check, Kind::Plain(text)) if text == "never" => text.as_str().into(),
        (Shape::Check, Kind::Plain(text)) if whole(text).is_some_and(|number| number <= i64::MAX.unsigned_abs()) => {
            whole(text).into()
        }
        (Shape::Check, _) => wrong("never or the number of the first block that it is made on".to_owned()),
        (Shape::Table(table), _) => fit_table(node, table, &what, faults),
        (Shape::List(table), Kind::List(items)) => {
            let fitted = items.iter().enumerate().map(|(place, item)| {
                let what = match item.value("name").and_then(Node::text) {
                    Some(name) => format!("{} {}", table.name, quoted(name)),
                    None => format!("{} {}", table.name, place + 1),
                };
                fit_table(item, table, &what, faults)
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

fn described(node: &Node) -> String {
    match &node.kind {
        Kind::Plain(text) if text.is_empty() || text == "~" || text == "null" => "empty".to_owned(),
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
