//! Logs and calls decoded by the signature of their event or function, as JSON.
//!
//! A log or a call of something else, or one whose bytes are no values of the types, is NULL: a query goes over many of
//! them. A wrong signature is the asker's and an error.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use duckdb::core::LogicalTypeId::{Blob, Varchar};
use duckdb::vscalar::ScalarFunctionSignature;

use super::abi::{Field, Reader, WORD, push_key};
use super::signature::Signature;
use super::{FunctionError, RowFunction, error, exact};

/// Bytes of a function's selector. **Source**: the Solidity ABI specification.
const SELECTOR: usize = 4;

/// `function_selector(VARCHAR) → BLOB`: the first four bytes of every call.
pub(super) struct FunctionSelector;

impl RowFunction for FunctionSelector {
    const NAME: &'static str = "function_selector";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Varchar], Blob)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        hashes::<Self>(input, SELECTOR)
    }
}

/// `event_topic(VARCHAR) → BLOB`: the first topic of every log of an event.
pub(super) struct EventTopic;

impl RowFunction for EventTopic {
    const NAME: &'static str = "event_topic";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Varchar], Blob)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        hashes::<Self>(input, WORD)
    }
}

/// `decode_call(signature VARCHAR, input BLOB) → VARCHAR`: the arguments of a call.
pub(super) struct DecodeCall;

impl RowFunction for DecodeCall {
    const NAME: &'static str = "decode_call";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Varchar, Blob], Varchar)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        let inputs = input.column(1).as_binary::<i32>();
        let mut last = None;
        let rows = input.column(0).as_string::<i32>().iter().zip(inputs).map(|(text, input)| {
            let (Some(text), Some(input)) = (text, input) else { return Ok(None) };
            Ok(prepared::<Self>(&mut last, text)?.call(input))
        });
        Ok(Arc::new(rows.collect::<Result<StringArray, FunctionError>>()?))
    }
}

/// `decode_log_of_topics(signature VARCHAR, topics BLOB, data BLOB) → VARCHAR`: the parameters of a log, whose topics
/// come joined.
pub(super) struct DecodeLog;

impl RowFunction for DecodeLog {
    const NAME: &'static str = "decode_log_of_topics";
    const SHOWN: &'static str = "decode_log";

    fn signatures() -> Vec<ScalarFunctionSignature> {
        vec![exact([Varchar, Blob, Blob], Varchar)]
    }

    fn rows(input: &RecordBatch) -> Result<ArrayRef, FunctionError> {
        let (topics, data) = (input.column(1).as_binary::<i32>(), input.column(2).as_binary::<i32>());
        let mut last = None;
        let rows = input.column(0).as_string::<i32>().iter().zip(topics).zip(data).map(|((text, topics), data)| {
            let (Some(text), Some(topics), Some(data)) = (text, topics, data) else { return Ok(None) };
            Ok(prepared::<Self>(&mut last, text)?.log(topics, data))
        });
        Ok(Arc::new(rows.collect::<Result<StringArray, FunctionError>>()?))
    }
}

/// A signature with what every row asks of it.
struct Prepared {
    signature: Signature,
    hash: [u8; WORD],
    /// The parameters, for calls.
    fields: Vec<Field>,
}

impl Prepared {
    fn new(signature: Signature) -> Self {
        let fields = signature.parameters.iter().map(|parameter| parameter.field.clone()).collect();
        Self { hash: signature.hash().0, signature, fields }
    }

    fn call(&self, input: &[u8]) -> Option<String> {
        let arguments = input.strip_prefix(&self.hash[..SELECTOR])?;
        let mut out = String::new();
        Reader::new(arguments).fields(&self.fields, 0, &mut out)?;
        Some(out)
    }

    fn log(&self, topics: &[u8], data: &[u8]) -> Option<String> {
        let (topics, rest) = topics.as_chunks::<WORD>();
        let indexed = match topics.split_first() {
            _ if !rest.is_empty() => return None,
            _ if self.signature.is_anonymous => topics,
            Some((event, indexed)) if *event == self.hash => indexed,
            _ => return None,
        };
        let parameters = &self.signature.parameters;
        if indexed.len() != parameters.iter().filter(|parameter| parameter.is_indexed).count() {
            return None;
        }
        let (mut indexed, mut reader, mut head) = (indexed.iter(), Reader::new(data), 0usize);
        let mut out = "{".to_owned();
        for (i, parameter) in parameters.iter().enumerate() {
            let Field { name, abi_type } = &parameter.field;
            push_key(&mut out, i == 0, name);
            if parameter.is_indexed {
                out.push_str(&abi_type.of_topic(indexed.next()?)?);
            } else {
                reader.value(abi_type, 0, head, &mut out)?;
                head = head.checked_add(abi_type.head_bytes())?;
            }
        }
        out.push('}');
        Some(out)
    }
}

/// The signature of a row; most rows have that of the row before.
fn prepared<'a, F: RowFunction>(
    last: &'a mut Option<(String, Prepared)>,
    text: &str,
) -> Result<&'a Prepared, FunctionError> {
    if last.as_ref().is_none_or(|(known, _)| known != text) {
        *last = Some((text.to_owned(), Prepared::new(parse::<F>(text)?)));
    }
    match &*last {
        Some((_, prepared)) => Ok(prepared),
        None => Err(error::<F>("there is no signature")),
    }
}

/// The first `length` bytes of each signature's hash.
fn hashes<F: RowFunction>(input: &RecordBatch, length: usize) -> Result<ArrayRef, FunctionError> {
    let hash = |text: &str| -> Result<_, FunctionError> { Ok(parse::<F>(text)?.hash()[..length].to_vec()) };
    let rows = input.column(0).as_string::<i32>().iter().map(|text| text.map(hash).transpose());
    Ok(Arc::new(rows.collect::<Result<BinaryArray, FunctionError>>()?))
}

fn parse<F: RowFunction>(text: &str) -> Result<Signature, FunctionError> {
    Signature::parse(text).map_err(|problem| error::<F>(&problem.to_string()))
}
