//! Decoded parameters as values of conditions.

use std::borrow::Cow;

use alloy_dyn_abi::DynSolValue;

use crate::condition::{Int, Value};

/// The value of `decoded`, without copying what is long.
pub(crate) fn value_of(decoded: &DynSolValue) -> Value<'_> {
    match decoded {
        DynSolValue::Bool(value) => Value::Bool(*value),
        DynSolValue::Int(value, _) => Value::Int(Int::from(*value)),
        DynSolValue::Uint(value, _) => Value::Int(Int::from(*value)),
        DynSolValue::FixedBytes(word, length) => Value::Bytes(Cow::Borrowed(&word.as_slice()[..(*length).min(32)])),
        DynSolValue::Address(address) => Value::Bytes(Cow::Borrowed(address.as_slice())),
        DynSolValue::Function(function) => Value::Bytes(Cow::Borrowed(function.as_slice())),
        DynSolValue::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
        DynSolValue::String(text) => Value::Text(Cow::Borrowed(text)),
        DynSolValue::Array(values) | DynSolValue::FixedArray(values) | DynSolValue::Tuple(values) => {
            Value::List(values.iter().map(value_of).collect())
        }
    }
}
