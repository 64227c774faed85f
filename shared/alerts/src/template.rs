//! Messages: text with `{{ expression }}` in it.
//!
//! Pure. An expression that fails or is absent costs its own place only: the alert is told all the same.

use serde_json::{Map, Value as Json};

use crate::condition::{self, Evaluation, Expression, Mistake, Names, RowValues};
use crate::definition::Position;

/// Longest template, in characters.
pub const MAX_TEMPLATE: usize = 2000;

/// Longest message, in characters; the rest is cut off and `…` says so.
pub const MAX_MESSAGE: usize = 2000;

/// Most expressions of one template.
const MAX_EXPRESSIONS: usize = 50;

/// A message with places to fill.
#[derive(Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    /// Of a row of a dataset.
    Expression(Expression),
    /// Of a row of an answer, whose types nobody knows before: a column by its name.
    Field(String),
}

impl Template {
    /// Reads `text`; with `names`, expressions over them, and without, names of fields.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(crate) fn compile(text: &str, names: Option<&Names>) -> Result<Self, Vec<Mistake>> {
        let (mut parts, mut mistakes) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(open) = text[at..].find("{{").map(|found| at + found) {
            if open > at {
                parts.push(Part::Text(text[at..open].to_owned()));
            }
            let start = open + 2;
            let place = Position::of(text, start);
            let Some(length) = text[start..].find("}}") else {
                mistakes.push(Mistake::new(Position::of(text, open), "`{{` has no `}}` behind it"));
                return Err(mistakes);
            };
            match part(&text[start..start + length], names) {
                Ok(part) => parts.push(part),
                Err(found) => mistakes.extend(
                    found.into_iter().map(|mistake| Mistake::new(mistake.position.after(place), mistake.message)),
                ),
            }
            at = start + length + 2;
            if parts.len() + mistakes.len() > 2 * MAX_EXPRESSIONS {
                mistakes.push(Mistake::new(place, format!("it may have {MAX_EXPRESSIONS} expressions")));
                return Err(mistakes);
            }
        }
        if at < text.len() {
            parts.push(Part::Text(text[at..].to_owned()));
        }
        if mistakes.is_empty() { Ok(Self { parts }) } else { Err(mistakes) }
    }

    /// The expressions in it.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expression(expression) => Some(expression),
            Part::Text(_) | Part::Field(_) => None,
        })
    }

    /// The message about a row of a dataset: `-` where a value is absent, `?` where it could not be had.
    pub(crate) fn of_row<'a>(&'a self, row: &impl RowValues<'a>) -> String {
        let mut evaluation = Evaluation::new(row);
        let mut message = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => message.push_str(text),
                Part::Expression(expression) => match evaluation.value(expression) {
                    Ok(value) => message.push_str(&value.show()),
                    Err(_) => message.push('?'),
                },
                Part::Field(_) => message.push('-'),
            }
        }
        shortened(message)
    }

    /// The message about fields that have names.
    pub(crate) fn of_fields(&self, fields: &Map<String, Json>) -> String {
        let mut message = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => message.push_str(text),
                Part::Expression(_) => message.push('-'),
                Part::Field(name) => message.push_str(&show(fields.get(name))),
            }
        }
        shortened(message)
    }
}

fn part(text: &str, names: Option<&Names>) -> Result<Part, Vec<Mistake>> {
    if let Some(names) = names {
        return condition::compile(text, names).map(|typed| Part::Expression(typed.expression));
    }
    field_name(text).map(|name| Part::Field(name.to_owned())).map_err(|mistake| vec![mistake])
}

/// A name of a field, with nothing around it.
pub(crate) fn field_name(text: &str) -> Result<&str, Mistake> {
    let name = text.trim();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name {
        return Ok(name);
    }
    Err(Mistake::new(Position::START, "of rows of SQL and of findings it can be the name of a column only"))
}

/// A value of JSON as a person reads it.
pub(crate) fn show(value: Option<&Json>) -> String {
    match value {
        None | Some(Json::Null) => "-".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// At most [`MAX_MESSAGE`] characters, and none that Postgres does not hold.
pub(crate) fn shortened(message: String) -> String {
    let message = if message.contains('\0') { message.replace('\0', "\u{fffd}") } else { message };
    match message.char_indices().nth(MAX_MESSAGE) {
        None => message,
        Some((end, _)) => format!("{}…", &message[..end]),
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::Dataset;
    use serde_json::json;

    use super::*;
    use crate::condition::{ColumnRead, Int, Value};

    /// Every column is 1,500,000.
    struct Row;

    impl<'a> RowValues<'a> for Row {
        fn column(&self, _: ColumnRead) -> Value<'a> {
            Value::Int(Int::from(1_500_000u64))
        }

        fn argument(&self, _: usize) -> Value<'a> {
            Value::Absent
        }
    }

    fn names() -> Names {
        Names::new(Dataset::Transactions, None)
    }

    #[test]
    fn a_message_is_its_text_with_the_values_in_it() {
        for (text, message) in [
            ("plain", "plain"),
            ("{{value}}", "1500000"),
            ("{{ inUnits(value, 6) }} paid, {{ value / 2 }} }} left", "1.5 paid, 750000 }} left"),
            ("a {{ value / (value - value) }} b", "a ? b"),
            ("{ {{ value }} }", "{ 1500000 }"),
        ] {
            let template = Template::compile(text, Some(&names())).unwrap();
            assert_eq!(template.of_row(&Row), message);
        }
    }

    #[test]
    fn a_mistake_is_found_where_it_is_in_the_message() {
        for (text, line, column) in
            [("paid {{ valeu }}", 1, 9), ("paid\n{{ 1 + 'a' }}", 2, 6), ("paid {{ value", 1, 6), ("{{}}", 1, 3)]
        {
            let mistakes = Template::compile(text, Some(&names())).unwrap_err();
            assert_eq!(mistakes[0].position, Position { line, column }, "{text}: {mistakes:?}");
        }
        let many = "{{ value }} ".repeat(200);
        assert!(Template::compile(&many, Some(&names())).is_err());
    }

    #[test]
    fn rows_of_sql_are_told_by_their_columns() {
        let Json::Object(row) = json!({ "name": "a", "n": 5, "nothing": null }) else { panic!("an object") };
        let template = Template::compile("{{ name }}: {{n}}{{nothing}}{{absent}}", None).unwrap();
        assert_eq!(template.of_fields(&row), "a: 5--");
        assert!(Template::compile("{{ n + 1 }}", None).is_err());
    }

    #[test]
    fn a_message_has_an_end() {
        let template = Template::compile(&"ä".repeat(MAX_TEMPLATE), None).unwrap();
        assert_eq!(template.of_fields(&Map::new()).chars().count(), MAX_TEMPLATE);
        assert_eq!(shortened("x".repeat(9_000)).chars().count(), MAX_MESSAGE + 1);
        assert_eq!(shortened("a\0b".to_owned()), "a\u{fffd}b");
    }
}
