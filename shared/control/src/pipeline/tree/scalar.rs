//! What a plain (unquoted) scalar means.
//!
//! Source: YAML 1.2.2, section 10.3.2, the core schema; but a form that YAML 1.1, YAML 1.2 and JSON read in different ways
//! is refused, and so is a number that would be rounded.

use serde_json::{Number, Value};

/// The value of `text`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn resolve(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let shown = super::quoted(text);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.starts_with("0x") || digits.starts_with("0o") {
        return Err(format!(
            "{shown} is a number to some and text to others; put it in quotes, or write a decimal number"
        ));
    }
    if digits.eq_ignore_ascii_case(".inf") || digits.eq_ignore_ascii_case(".nan") {
        return Err(format!("{shown} is no number that can be stored"));
    }
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(format!(
                "{shown} is 8-based to some and 10-based to others; leave the zeros out, or put it in quotes"
            ));
        }
        let number = text.parse::<i64>().map(Number::from).or_else(|_large| text.parse::<u64>().map(Number::from));
        return number
            .map(Value::Number)
            .map_err(|_larger| format!("{shown} does not fit 64 bits and would be rounded; put it in quotes"));
    }
    if is_decimal(digits) {
        let number = text.parse().ok().and_then(Number::from_f64);
        return number.map(Value::Number).ok_or_else(|| format!("{shown} is no number that can be stored"));
    }
    Ok(Value::String(text.to_owned()))
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_decimal(text: &str) -> bool {
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    let is_exponent = |exponent: &str| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    };
    has_digits && all_digits(whole) && all_digits(fraction) && exponent.is_none_or(is_exponent)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_are_what_yaml_1_2_says() {
        let cases = [
            ("", json!(null)),
            ("~", json!(null)),
            ("True", json!(true)),
            ("0", json!(0)),
            ("-17", json!(-17)),
            ("+5", json!(5)),
            ("18446744073709551615", json!(u64::MAX)),
            ("2.5", json!(2.5)),
            ("1e3", json!(1000.0)),
            (".5", json!(0.5)),
            ("yes", json!("yes")),
            ("off", json!("off")),
            ("1_000", json!("1_000")),
            ("1e", json!("1e")),
            (".", json!(".")),
            ("1.2.3", json!("1.2.3")),
            ("rate(1 minute)", json!("rate(1 minute)")),
            ("é1", json!("é1")),
            ("-", json!("-")),
        ];
        for (text, value) in cases {
            assert_eq!(resolve(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_readers_disagree_on_or_would_round_is_refused() {
        for (text, named) in [
            ("0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045", "in quotes"),
            ("0o17", "in quotes"),
            ("010", "leave the zeros out"),
            ("18446744073709551616", "64 bits"),
            ("-9223372036854775809", "64 bits"),
            (".inf", "no number"),
            ("-.Inf", "no number"),
            (".NaN", "no number"),
            ("1e999", "no number"),
        ] {
            let error = resolve(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
