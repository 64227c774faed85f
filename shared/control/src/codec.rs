//! Between Rust values and the columns that hold them.
//!
//! Words are checked on the way in, so that the rest of the crate never sees an unknown one.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ControlError;

/// Reads the JSON `value` of `column`; `row` is only for the error.
pub(crate) fn from_json<T: DeserializeOwned>(
    row: impl std::fmt::Display,
    column: &'static str,
    value: serde_json::Value,
) -> Result<T, ControlError> {
    serde_json::from_value(value).map_err(|source| ControlError::BadRow { row: row.to_string(), column, source })
}

/// Writes `value` as JSON.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<serde_json::Value, ControlError> {
    serde_json::to_value(value).map_err(|source| ControlError::Encode { source })
}

/// Reads a word that is one of a closed list.
pub(crate) fn from_word<T: std::str::FromStr>(
    row: impl std::fmt::Display,
    column: &'static str,
    word: &str,
) -> Result<T, ControlError> {
    word.parse().map_err(|_unknown| ControlError::UnknownWord { row: row.to_string(), column, value: word.to_owned() })
}

/// Text as Postgres can hold it: without NUL characters.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// JSON as Postgres can hold it: without NUL characters in its texts and keys.
pub(crate) fn storable_json(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(storable(text)),
        Value::Array(items) => Value::Array(items.iter().map(storable_json).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (storable(name), storable_json(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// A span from a column of seconds; a negative or absurd one, which no column check lets in, becomes zero or the maximum.
pub(crate) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Duration::MAX)
}

/// A count from a column that a check keeps at zero or more.
pub(crate) fn count(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}
