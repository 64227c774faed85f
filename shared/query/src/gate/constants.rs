//! Constants as nodes of DuckDB's tree.
//!
//! **Source**: the serialization of `ConstantExpression` and `Value` in DuckDB 1.5.5. DuckDB prints such a node as a
//! literal of its own making, quotes doubled and bytes as `\x…`.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::parameters::Constant;

/// Seconds of a day without leap seconds, as Unix time counts.
const SECONDS_PER_DAY: i64 = 86_400;

/// Which constant stands for a name of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClockKind {
    /// The instant, `TIMESTAMP WITH TIME ZONE`.
    Instant,
    /// The instant's time of day and date in UTC, which is the session's time zone.
    Local,
    /// Its date in UTC.
    Date,
}

/// The inner value of a constant, without its place in the text.
pub(super) fn of_parameter(constant: &Constant) -> Value {
    match constant {
        Constant::Null => json!({"type": plain_type("NULL"), "is_null": true}),
        Constant::Boolean(value) => value_of("BOOLEAN", &json!(value)),
        Constant::Integer(value) => integer(*value),
        Constant::Double(value) => value_of("DOUBLE", &json!(value)),
        Constant::Text(value) => value_of("VARCHAR", &json!(value)),
        Constant::Bytes(bytes) => {
            let escaped: String = bytes.iter().map(|byte| format!("\\x{byte:02X}")).collect();
            value_of("BLOB", &json!(escaped))
        }
    }
}

/// The inner value of a constant for `now`.
pub(super) fn of_clock(kind: ClockKind, now: DateTime<Utc>) -> Value {
    match kind {
        ClockKind::Instant => value_of("TIMESTAMP WITH TIME ZONE", &json!(now.timestamp_micros())),
        ClockKind::Local => value_of("TIMESTAMP", &json!(now.timestamp_micros())),
        ClockKind::Date => value_of("DATE", &json!(now.timestamp().div_euclid(SECONDS_PER_DAY))),
    }
}

/// A whole node. `query_location` is the place of the node that it replaces.
pub(super) fn node(value: Value, alias: &str, query_location: u64) -> Value {
    let mut node = json!({
        "class": "CONSTANT", "type": "VALUE_CONSTANT", "alias": alias, "query_location": query_location,
    });
    node["value"] = value;
    node
}

/// The type that DuckDB's parser gives to the same digits.
fn integer(value: i128) -> Value {
    if let Ok(small) = i32::try_from(value) {
        return value_of("INTEGER", &json!(small));
    }
    if let Ok(large) = i64::try_from(value) {
        return value_of("BIGINT", &json!(large));
    }
    let upper = i64::try_from(value >> 64).unwrap_or(i64::MAX);
    let lower = u64::try_from(value & i128::from(u64::MAX)).unwrap_or(u64::MAX);
    value_of("HUGEINT", &json!({"upper": upper, "lower": lower}))
}

fn value_of(type_id: &str, value: &Value) -> Value {
    json!({"type": plain_type(type_id), "is_null": false, "value": value})
}

fn plain_type(type_id: &str) -> Value {
    json!({"id": type_id, "type_info": null})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_has_the_type_that_its_digits_have_in_sql() {
        let (max, min) = (i128::from(i64::MAX), i128::from(i64::MIN));
        let table =
            [(5, "INTEGER"), (-5, "INTEGER"), (1 + (max >> 32), "BIGINT"), (min, "BIGINT"), (max + 1, "HUGEINT")];
        for (value, type_id) in table {
            assert_eq!(integer(value)["type"]["id"], type_id, "{value}");
        }
        assert_eq!(integer(u64::MAX.into())["value"], json!({"upper": 0, "lower": u64::MAX}));
        assert_eq!(integer(-(1_i128 << 64) - 1)["value"], json!({"upper": -2, "lower": u64::MAX}));
    }

    #[test]
    fn an_instant_before_1970_has_the_date_of_its_day() {
        let now = DateTime::from_timestamp(-1, 0).unwrap();
        assert_eq!(of_clock(ClockKind::Date, now)["value"], -1);
        assert_eq!(of_clock(ClockKind::Instant, now)["value"], -1_000_000);
    }
}
