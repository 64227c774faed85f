//! Values of conditions and their types.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Number, Value as Json};

use super::number::Int;

/// Largest whole number that every reader of JSON holds exactly: 2^53.
const MOST_EXACT: i64 = 1 << 53;

/// Bytes and characters of one value that a fact shows.
const MOST_SHOWN: usize = 1024;

/// Elements of one list that a fact shows.
const MOST_ELEMENTS: usize = 64;

/// Type of an expression, known when the rule is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// True or false; never absent.
    Bool,
    /// A whole number.
    Int,
    /// Bytes: so many, or any number of them.
    Bytes(Option<usize>),
    /// Text.
    Text,
    /// An instant, to the second.
    Time,
    /// Any number of values of one type.
    List(Box<Self>),
    /// Values of these types, in this order.
    Tuple(Vec<Self>),
    /// The literal `null`.
    Null,
}

impl Type {
    /// Whether values of both types can be compared.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(_), Self::Bytes(_)) => true,
            (Self::List(own), Self::List(other)) => own.is_like(other),
            _ => self == other,
        }
    }

    /// The type of values that are of either type; `None` if there is none.
    pub(crate) fn common(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (own, other) if own == other => Some(own.clone()),
            (Self::Bytes(_), Self::Bytes(_)) => Some(Self::Bytes(None)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool => f.write_str("a bool"),
            Self::Int => f.write_str("a whole number"),
            Self::Bytes(Some(length)) => write!(f, "{length} bytes"),
            Self::Bytes(None) => f.write_str("bytes"),
            Self::Text => f.write_str("a text"),
            Self::Time => f.write_str("a timestamp"),
            Self::List(_) => f.write_str("a list"),
            Self::Tuple(_) => f.write_str("a tuple"),
            Self::Null => f.write_str("null"),
        }
    }
}

/// A value, borrowed from a row where it can be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// There is none.
    Absent,
    Bool(bool),
    Int(Int),
    Bytes(Cow<'a, [u8]>),
    Text(Cow<'a, str>),
    /// Seconds since 1970-01-01 UTC.
    Time(i64),
    /// A list or a tuple.
    List(Vec<Self>),
}

impl Value<'_> {
    /// The order of two values of one type that has one; `None` if either is absent.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(own), Self::Bool(other)) => Some(own.cmp(other)),
            (Self::Int(own), Self::Int(other)) => Some(own.cmp(other)),
            (Self::Bytes(own), Self::Bytes(other)) => Some(own.cmp(other)),
            (Self::Text(own), Self::Text(other)) => Some(own.cmp(other)),
            (Self::Time(own), Self::Time(other)) => Some(own.cmp(other)),
            _ => None,
        }
    }

    /// As a person reads it.
    pub(crate) fn show(&self) -> String {
        match self {
            Self::Absent => "-".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Bytes(bytes) => show_bytes(bytes),
            Self::Text(text) => show_text(text),
            Self::Time(seconds) => show_time(*seconds),
            Self::List(values) => {
                let shown: Vec<String> = values.iter().take(MOST_ELEMENTS).map(Self::show).collect();
                let rest = if values.len() > MOST_ELEMENTS { ", …" } else { "" };
                format!("[{}{rest}]", shown.join(", "))
            }
        }
    }

    /// As JSON, as an answer of SQL has it: bytes as `0x…`, whole numbers beyond 2^53 as texts.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Absent => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => match value.to_i64().filter(|value| (-MOST_EXACT..=MOST_EXACT).contains(value)) {
                Some(small) => Json::Number(Number::from(small)),
                None => Json::String(value.to_string()),
            },
            Self::List(values) => values.iter().take(MOST_ELEMENTS).map(Self::to_json).collect(),
            Self::Bytes(_) | Self::Text(_) | Self::Time(_) => Json::String(self.show()),
        }
    }
}

/// `0x` and two digits a byte; the end of what is very long is left out, and how long it was is said.
fn show_bytes(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(MOST_SHOWN)];
    let mut text = String::with_capacity(2 + 2 * shown.len());
    text.push_str("0x");
    for byte in shown {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    if shown.len() < bytes.len() {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}

/// Without control characters, and of what is very long the begin. Postgres stores no NUL.
fn show_text(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter };
    let mut shown: String = text.chars().take(MOST_SHOWN).map(plain).collect();
    if text.chars().nth(MOST_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn show_time(seconds: i64) -> String {
    let instant = DateTime::<Utc>::from_timestamp(seconds, 0);
    instant.map_or_else(|| seconds.to_string(), |instant| instant.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_as_an_answer_of_sql_shows_them() {
        let int = |text: &str| Value::Int(Int::from_decimal(text).unwrap());
        assert_eq!(int("9007199254740992").to_json(), json!(9_007_199_254_740_992_i64));
        assert_eq!(int("9007199254740993").to_json(), json!("9007199254740993"));
        assert_eq!(int("-5").to_json(), json!(-5));
        assert_eq!(Value::Bytes(Cow::Borrowed(&[0, 255])).to_json(), json!("0x00ff"));
        assert_eq!(Value::Time(0).to_json(), json!("1970-01-01T00:00:00Z"));
        assert_eq!(Value::Absent.to_json(), Json::Null);
        let list = Value::List(vec![Value::Bool(true), Value::Absent]);
        assert_eq!((list.show().as_str(), list.to_json()), ("[true, -]", json!([true, null])));
    }

    #[test]
    fn what_is_too_long_to_show_or_cannot_be_stored_is_cut_or_replaced() {
        let bytes = Value::Bytes(Cow::Owned(vec![1; 5_000])).show();
        assert!(bytes.ends_with("01… (5000 bytes)") && bytes.len() < 2_200, "{bytes}");
        let text = Value::Text(Cow::Owned("a\0b".repeat(1_000))).show();
        assert!(text.starts_with("a\u{fffd}b") && text.ends_with('…') && text.chars().count() == MOST_SHOWN + 1);
        let list = Value::List(vec![Value::Bool(true); 100]);
        assert_eq!(list.to_json().as_array().map(Vec::len), Some(MOST_ELEMENTS));
        assert!(list.show().ends_with(", …]"));
    }
}
