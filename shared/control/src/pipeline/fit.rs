//! Whether a tree has the shape that the tables say. Pure.

use serde_json::Value;

use super::read::{Fault, MAX_FAULTS};
use super::shape::{Format, MAX_SECONDS, Presence, Shape, Table, did_you_mean, nearest};
use super::tree::{Entry, Kind, Node, quoted};

/// Puts into `faults` what `node` holds against `table`. `of` names whose it is, such as ` of job "beat"`; or nothing.
pub(super) fn fit_table(node: &Node, table: &'static Table, what: &str, of: &str, faults: &mut Vec<Fault>) {
    let Some(entries) = entries(node, what, of, faults) else { return };
    let mut meant = Vec::new();
    for entry in entries {
        if faults.len() >= MAX_FAULTS {
            return;
        }
        match table.key(&entry.key) {
            Some(key) if key.presence == Presence::Optional && entry.value.is_null() => {}
            Some(key) => fit(&entry.value, &key.shape, key.name, of, faults),
            None => {
                let suggestion = table.resembling(&entry.key).filter(|name| node.get(name).is_none());
                meant.extend(suggestion);
                let hint = did_you_mean(suggestion);
                faults.push(entry.place.fault(format!("unknown key {}{of}{hint}", quoted(&entry.key))));
            }
        }
    }
    for key in table.keys.iter().filter(|key| key.presence == Presence::Required) {
        // One fault, not two, where a key is there with a slip in it.
        if node.get(key.name).is_none() && !meant.contains(&key.name) {
            faults.push(node.place.fault(format!("{what}{} has no `{}`, which it needs", owner(what, of), key.name)));
        }
    }
}

fn fit(node: &Node, shape: &'static Shape, what: &str, of: &str, faults: &mut Vec<Fault>) {
    let mut wrong = |ends: String| faults.push(node.place.fault(format!("{what}{of} is {}; {ends}", described(node))));
    match (shape, &node.kind) {
        (_, Kind::Broken) => {}
        (Shape::Text(format), Kind::Scalar(Value::String(text))) => {
            if let Err(message) = check_text(text, format) {
                wrong(message);
            }
        }
        (Shape::Text(_), Kind::Scalar(Value::Number(_) | Value::Bool(_))) => {
            wrong("it must be text: put it in quotes".to_owned());
        }
        (Shape::Text(_), _) => wrong("it must be text".to_owned()),
        (Shape::Flag, Kind::Scalar(Value::Bool(_))) => {}
        (Shape::Flag, _) => wrong("it must be true or false".to_owned()),
        (Shape::Whole { least, most }, Kind::Scalar(Value::Number(number))) if !number.is_f64() => {
            if !number.as_i64().is_some_and(|number| (*least..=*most).contains(&number)) {
                wrong(format!("it must be {}", between(*least, *most)));
            }
        }
        (Shape::Whole { least, most }, _) => wrong(format!("it must be a whole number, {}", between(*least, *most))),
        (Shape::Seconds, Kind::Scalar(Value::Number(number))) => {
            if !number.as_f64().is_some_and(|seconds| seconds > 0.0 && seconds <= f64::from(MAX_SECONDS)) {
                wrong(format!("it must be above 0 and at most {MAX_SECONDS} seconds"));
            }
        }
        (Shape::Seconds, _) => wrong("it must be a number of seconds".to_owned()),
        (Shape::Word(words), Kind::Scalar(Value::String(text))) => {
            if !words.iter().any(|(word, _)| word == text) {
                let hint = did_you_mean(nearest(text, words.iter().map(|(word, _)| *word)));
                wrong(format!("it must be {}{hint}", listed(words)));
            }
        }
        (Shape::Word(words), _) => wrong(format!("it must be {}", listed(words))),
        (Shape::Free, Kind::Map(_)) => {}
        (Shape::Free, _) => wrong("it must be a mapping".to_owned()),
        (Shape::Texts { keys, values }, _) => fit_texts(node, (keys, values), what, of, faults),
        (Shape::List(item), Kind::List(items)) => fit_items(items, item, what, of, faults),
        (Shape::List(_), _) => wrong("it must be a list".to_owned()),
        (Shape::Table(table), _) => fit_table(node, table, what, of, faults),
    }
}

fn fit_items(items: &[Node], shape: &'static Shape, what: &str, of: &str, faults: &mut Vec<Fault>) {
    for (index, item) in items.iter().enumerate() {
        if faults.len() >= MAX_FAULTS {
            return;
        }
        match shape {
            Shape::Table(table) => {
                let of = match item.text_of("name") {
                    Some(name) => format!(" of {} {}", table.name, quoted(name)),
                    None => format!(" of {} {}", table.name, index + 1),
                };
                fit_table(item, table, "", &of, faults);
            }
            _ => fit(item, shape, &format!("entry {} of {what}", index + 1), of, faults),
        }
    }
}

fn fit_texts(node: &Node, (keys, values): (&Format, &'static Format), what: &str, of: &str, faults: &mut Vec<Fault>) {
    let Some(entries) = entries(node, what, of, faults) else { return };
    for entry in entries {
        if faults.len() >= MAX_FAULTS {
            return;
        }
        if let Err(message) = check_text(&entry.key, keys) {
            faults.push(entry.place.fault(format!("{what}{of} has the key {}; {message}", quoted(&entry.key))));
        }
        let what = format!("{} in {what}", quoted(&entry.key));
        match &entry.value.kind {
            Kind::Broken => {}
            Kind::Scalar(Value::String(text)) => {
                if let Err(message) = check_text(text, values) {
                    faults.push(entry.value.place.fault(format!("{what}{of} is {}; {message}", quoted(text))));
                }
            }
            _ => {
                let message = format!("{what}{of} is {}; it must be text", described(&entry.value));
                faults.push(entry.value.place.fault(message));
            }
        }
    }
}

/// The entries of a mapping; anything else is a fault.
fn entries<'a>(node: &'a Node, what: &str, of: &str, faults: &mut Vec<Fault>) -> Option<&'a [Entry]> {
    match &node.kind {
        Kind::Map(entries) => Some(entries),
        Kind::Broken => None,
        Kind::Scalar(_) | Kind::List(_) => {
            let message = format!("{what}{} is {}; it must be a mapping", owner(what, of), described(node));
            faults.push(node.place.fault(message));
            None
        }
    }
}

/// `of` as it stands after `what`: without its ` of ` if nothing stands before it.
fn owner<'a>(what: &str, of: &'a str) -> &'a str {
    if what.is_empty() { of.trim_start_matches(" of ") } else { of }
}

fn check_text(text: &str, format: &Format) -> Result<(), String> {
    let length = text.chars().count();
    if length > format.most {
        return Err(format!("it has {length} characters and may have {}", format.most));
    }
    if length < format.least {
        return Err("it must not be empty".to_owned());
    }
    (format.check)(text)
}

fn between(least: i64, most: i64) -> String {
    match (least, most) {
        (least, i64::MAX) => format!("at least {least} and at most {most}"),
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("from {least} to {most}"),
    }
}

fn listed(words: &[(&str, &str)]) -> String {
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn described(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(Value::String(text)) => quoted(text),
        Kind::Scalar(Value::Null) => "empty".to_owned(),
        Kind::Scalar(value) => value.to_string(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) | Kind::Broken => "a mapping".to_owned(),
    }
}
