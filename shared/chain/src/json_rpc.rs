//! JSON-RPC 2.0 frames: what goes over the wire and nothing of what it means.
//!
//! Results stay raw text here, so that a block is read straight into its own type and never into a JSON tree.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer as _, Serialize};
use serde_json::value::RawValue;

/// A call to be made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    /// The parameters as JSON text, an array.
    pub(crate) params: Box<RawValue>,
}

impl Call {
    /// A call of `method`.
    ///
    /// # Panics
    /// If the parameters cannot be written as JSON; those of this crate are texts and truth values.
    pub(crate) fn new(method: &'static str, params: impl Serialize) -> Self {
        let params = serde_json::value::to_raw_value(&params).expect("texts and truth values are JSON");
        Self { method, params }
    }
}

/// A call with the id by which its answer is found.
#[derive(Serialize)]
pub(crate) struct RequestFrame<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'static str,
    params: &'a RawValue,
}

impl<'a> RequestFrame<'a> {
    pub(crate) fn new(id: u64, call: &'a Call) -> Self {
        Self { jsonrpc: "2.0", id, method: call.method, params: &call.params }
    }
}

/// One answer.
#[derive(Debug, Deserialize)]
pub(crate) struct ResponseFrame {
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<ErrorFrame>,
}

/// The error of one answer.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ErrorFrame {
    pub(crate) code: i64,
    #[serde(default)]
    pub(crate) message: String,
}

/// What came back for one call: a raw result, `None` for `null`, or an error.
pub(crate) type Reply = Result<Option<Box<RawValue>>, ErrorFrame>;

/// A body that was understood as JSON-RPC.
#[derive(Debug)]
pub(crate) enum Body {
    /// Answers by position of their calls; `None` where one is missing.
    Replies(Vec<Option<Reply>>),
    /// One error for the whole batch, as servers send that refuse it.
    Refused(ErrorFrame),
}

/// Reads the body that answers `calls` calls whose ids are 0, 1, 2 …
pub(crate) fn read_body(body: &[u8], calls: usize) -> Result<Body, serde_json::Error> {
    let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if is_batch {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let replies = reader.deserialize_seq(Batch { calls })?;
        reader.end()?;
        return Ok(Body::Replies(replies));
    }
    let frame: ResponseFrame = serde_json::from_slice(body)?;
    if calls > 1
        && let Some(error) = frame.error
    {
        return Ok(Body::Refused(error));
    }
    let mut replies = unanswered(calls);
    frame.put_into(&mut replies);
    Ok(Body::Replies(replies))
}

/// The answers to so many calls. Each is put in its place as it is read, and no more are read: a frame takes thirty times
/// the memory of the two bytes that it may be written in.
struct Batch {
    calls: usize,
}

impl<'de> Visitor<'de> for Batch {
    type Value = Vec<Option<Reply>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most one answer for each of {} calls", self.calls)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut frames: A) -> Result<Self::Value, A::Error> {
        let mut replies = unanswered(self.calls);
        let mut found = 0;
        while let Some(frame) = frames.next_element::<ResponseFrame>()? {
            found += 1;
            if found > self.calls {
                return Err(A::Error::invalid_length(found, &self));
            }
            frame.put_into(&mut replies);
        }
        Ok(replies)
    }
}

fn unanswered(calls: usize) -> Vec<Option<Reply>> {
    (0..calls).map(|_| None).collect()
}

impl ResponseFrame {
    /// Puts the answer in the place of its call; one to no call of these is let go.
    fn put_into(self, replies: &mut [Option<Reply>]) {
        // A server that cannot read a single call answers with a null id.
        let only_call = (replies.len() == 1).then_some(0);
        let place = self.id.or(only_call).and_then(|id| usize::try_from(id).ok());
        if let Some(reply) = place.and_then(|place| replies.get_mut(place)) {
            *reply = Some(self.error.map_or(Ok(self.result), Err));
        }
    }
}

impl ErrorFrame {
    /// Whether the server means that the block is not there (yet).
    pub(crate) fn is_absent(&self) -> bool {
        // Geth and anvil answer `null`; Monad answers -32602 "Block requested not found".
        let is_missed = ["not found", "blockoutofrange", "unknown block"].iter().any(|words| self.says(words));
        // What providers say of a wrong key or a method of another plan, under many codes.
        let is_of_something_else = ["method", "key", "project"].iter().any(|words| self.says(words));
        is_missed && !is_of_something_else && !self.is_unsupported()
    }

    /// Whether the server means that it does not have the method.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.code == -32601
    }

    /// Whether the server asks to slow down. Source: EIP-1474 (-32005), and what providers write.
    pub(crate) fn is_rate_limit(&self) -> bool {
        matches!(self.code, -32005 | 429) || ["rate limit", "too many requests"].iter().any(|words| self.says(words))
    }

    /// Whether a smaller batch may be answered.
    pub(crate) fn is_too_large(&self) -> bool {
        ["size limit", "too large", "exceeds limit", "too many results"].iter().any(|words| self.says(words))
    }

    fn says(&self, words: &str) -> bool {
        self.message.to_ascii_lowercase().contains(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(body: &str, calls: usize) -> Vec<Option<Reply>> {
        match read_body(body.as_bytes(), calls).unwrap() {
            Body::Replies(replies) => replies,
            Body::Refused(error) => panic!("refused: {error:?}"),
        }
    }

    #[test]
    fn answers_are_found_by_id_and_null_is_not_missing() {
        let body = r#" [{"jsonrpc":"2.0","id":2,"result":"0x2"},{"jsonrpc":"2.0","id":0,"result":null}]"#;
        let found = replies(body, 3);
        assert!(matches!(found[0], Some(Ok(None))));
        assert!(found[1].is_none());
        assert_eq!(found[2].as_ref().unwrap().as_ref().unwrap().as_ref().unwrap().get(), r#""0x2""#);
    }

    #[test]
    fn a_batch_with_more_answers_than_calls_is_not_read_on() {
        for more in [r#"[{"id":0,"result":1},{"id":1,"result":2},{"id":1,"result":3}]"#, "[{},{},{},{},"] {
            let error = read_body(more.as_bytes(), 2).unwrap_err();
            let expected = "invalid length 3, expected at most one answer for each of 2 calls";
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        let found = replies(r#"[{"id":7,"result":1},{"id":null,"result":2},{"id":1,"result":3}]"#, 3);
        assert!(found[0].is_none() && found[1].is_some() && found[2].is_none(), "{found:?}");
    }

    #[test]
    fn one_error_object_for_a_batch_is_a_refusal() {
        let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"number of requests in batch request exceeds limit of 10"}}"#;
        assert!(matches!(read_body(body.as_bytes(), 2).unwrap(), Body::Refused(_)));
        assert!(matches!(replies(body, 1)[0], Some(Err(_))));
    }

    #[test]
    fn errors_are_told_apart() {
        let error = |code, message: &str| ErrorFrame { code, message: message.to_owned() };
        assert!(error(-32602, "Block requested not found. Request might be querying historical state").is_absent());
        assert!(error(-32001, "BlockOutOfRangeError: block height is 22 but requested was 23").is_absent());
        for message in ["API key not found", "The method trace_block not found", "Project not found"] {
            assert!(!error(-32000, message).is_absent(), "{message}");
        }
        assert!(!error(-32601, "trace_block not found").is_absent());
        assert!(error(-32601, "Method not found").is_unsupported());
        assert!(error(-32005, "daily quota").is_rate_limit());
        assert!(error(-32603, "response exceeds size limit").is_too_large());
        assert!(!error(-32000, "header is odd").is_absent());
    }
}
