//! What everything that follows from one cause has in common.

use std::num::NonZeroU128;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names a cause, such as a block that was stored or a call of the API, in rows and log lines of all that follows from it.
///
/// **Source**: W3C Trace Context, `trace-id`: 16 bytes as 32 hexadecimal digits in lower case, not all of them zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceId(NonZeroU128);

/// A text that names no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a trace id has 32 hexadecimal digits in lower case, and is not zero")]
pub struct NotATraceId;

impl std::fmt::Display for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for TraceId {
    type Err = NotATraceId;

    fn from_str(text: &str) -> Result<Self, NotATraceId> {
        let is_well_formed = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_well_formed);
        number.and_then(NonZeroU128::new).map(Self).ok_or(NotATraceId)
    }
}

impl TryFrom<String> for TraceId {
    type Error = NotATraceId;

    fn try_from(text: String) -> Result<Self, NotATraceId> {
        text.parse()
    }
}

impl From<TraceId> for String {
    fn from(trace_id: TraceId) -> Self {
        trace_id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_written_as_it_is_read() {
        for text in ["4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000001"] {
            assert_eq!(text.parse::<TraceId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_the_standard_forbids_is_none() {
        let zero = "0".repeat(32);
        let short = "4bf92f3577b34da6a3ce929d0e0e473";
        let upper = "4BF92F3577B34DA6A3CE929D0E0E4736";
        let signed = "+bf92f3577b34da6a3ce929d0e0e4736";
        for text in ["", &zero, short, upper, signed] {
            assert_eq!(text.parse::<TraceId>(), Err(NotATraceId), "{text}");
        }
    }
}
