//! Nested frames: the answer of `debug_traceBlockByHash` with `callTracer`, unfolded into flat traces.
//!
//! Source: go-ethereum, `eth/tracers/native/call.go` for the frames and `call_flat.go` for what flat traces are made of
//! them. Two values are taken from the block instead: by definition the top frame's gas is the transaction's, and what
//! it used is the receipt's, yet there are nodes that answer others.

use std::fmt;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::serde::quantity;
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;

use super::cut::{CutFrame, MOST_STEPS, cut};
use super::{Action, CallType, Outcome, Trace, Untraced, misshapen};
use crate::block::FetchedBlock;
use crate::verify::BadBlock;

/// `error` of a frame that ended with REVERT: of such a frame alone the result is kept.
const REVERTED: &str = "execution reverted";

/// The answer for one transaction.
#[derive(Deserialize)]
pub(super) struct Entry<'a> {
    /// Older nodes leave it out.
    #[serde(default, rename = "txHash")]
    transaction_hash: Option<B256>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    /// Why the transaction could not be traced.
    #[serde(default)]
    error: Option<String>,
}

/// A frame without its calls.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    #[serde(rename = "type")]
    kind: Kind,
    from: Address,
    /// Left out of a creation that failed.
    #[serde(default)]
    to: Option<Address>,
    /// Left out of a static call.
    #[serde(default)]
    value: U256,
    #[serde(with = "quantity")]
    gas: u64,
    #[serde(with = "quantity")]
    gas_used: u64,
    input: Bytes,
    /// Left out if it is empty.
    #[serde(default)]
    output: Bytes,
    #[serde(default)]
    error: Option<String>,
    /// Here so that they cannot stand twice.
    #[serde(default, rename = "calls")]
    _calls: Option<()>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Call,
    CallCode,
    DelegateCall,
    StaticCall,
    Create,
    Create2,
    SelfDestruct,
}

/// The traces of `block`, by transaction and path.
///
/// # Errors
/// [`Untraced`]; that the top frames are the transactions' calls is not asked for yet.
pub(super) fn read(block: &FetchedBlock, answer: &RawValue) -> Result<Vec<Trace>, Untraced> {
    let transactions = block.transactions.len();
    let (entries, traced) = entries(answer, transactions)?;
    if traced == 0 && transactions > 0 {
        return Err(Untraced::Replaced);
    }
    if transactions != traced {
        return Err(BadBlock::TraceCount { block: block.reference, transactions, traced }.into());
    }
    let mut traces = Vec::with_capacity(transactions);
    let mut steps_left = MOST_STEPS;
    for (index, entry) in entries.into_iter().enumerate() {
        let transaction = &block.transactions[index];
        if entry.transaction_hash.is_some_and(|hash| hash != transaction.hash) {
            let problem = "its transaction has another hash";
            return Err(BadBlock::TracePlace { block: block.reference, trace: index, problem }.into());
        }
        let (gas, gas_used) = (transaction.gas, block.receipts[index].gas_used);
        for frame in cut(entry.text(index)?, &mut steps_left).map_err(misshapen)? {
            traces.push(unfold(index, frame, gas, gas_used)?);
        }
    }
    Ok(traces)
}

/// The first `most` entries of the answer, and how many it has in all.
pub(super) fn entries(answer: &RawValue, most: usize) -> Result<(Vec<Entry<'_>>, usize), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(answer.get());
    let found = reader.deserialize_seq(Entries { most })?;
    reader.end()?;
    Ok(found)
}

/// Reads a list of entries. Those beyond the first `most` are counted and not kept: they may be as short as `{}`.
struct Entries {
    most: usize,
}

impl<'de> Visitor<'de> for Entries {
    type Value = (Vec<Entry<'de>>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of traced transactions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while entries.len() < self.most
            && let Some(entry) = list.next_element()?
        {
            entries.push(entry);
        }
        let mut count = entries.len();
        while count >= self.most && list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((entries, count))
    }
}

impl<'a> Entry<'a> {
    fn text(&self, index: usize) -> Result<&'a str, serde_json::Error> {
        match (self.result, &self.error) {
            (Some(result), None) => Ok(result.get()),
            (_, Some(error)) => Err(misshapen(format_args!("transaction {index} was not traced: {error}"))),
            (None, None) => Err(serde_json::Error::missing_field("result")),
        }
    }
}

/// The trace of one frame of transaction `index`, which may use `gas` and used `gas_used` in all.
fn unfold(index: usize, cut: CutFrame, gas: u64, gas_used: u64) -> Result<Trace, serde_json::Error> {
    let CutFrame { trace_address, calls: subtraces, text } = cut;
    let mut frame: Frame = serde_json::from_str(&text)?;
    if trace_address.is_empty() {
        (frame.gas, frame.gas_used) = (gas, gas_used);
    }
    let error = frame.error.as_deref().map(|error| in_flat_words(error).to_owned());
    let has_outcome = frame.error.as_deref().is_none_or(|error| error == REVERTED);
    let (action, outcome) = frame.into_action_and_outcome()?;
    let outcome = outcome.filter(|_| has_outcome);
    Ok(Trace { transaction_index: Some(index), trace_address, subtraces, action, outcome, error })
}

impl Frame {
    fn into_action_and_outcome(self) -> Result<(Action, Option<Outcome>), serde_json::Error> {
        let Self { from, to, value, gas, gas_used, input, output, .. } = self;
        let recipient = || to.ok_or_else(|| serde_json::Error::missing_field("to"));
        let call_type = match self.kind {
            Kind::Call => CallType::Call,
            Kind::CallCode => CallType::CallCode,
            Kind::DelegateCall => CallType::DelegateCall,
            Kind::StaticCall => CallType::StaticCall,
            Kind::Create | Kind::Create2 => {
                let action = Action::Create { from, value, gas, init: input };
                return Ok((action, Some(Outcome::Created { gas_used, code: output, address: to })));
            }
            Kind::SelfDestruct => {
                let action = Action::Suicide { address: from, refund_address: recipient()?, balance: value };
                return Ok((action, None));
            }
        };
        let action = Action::Call { from, to: recipient()?, value, gas, input, call_type };
        Ok((action, Some(Outcome::Returned { gas_used, output })))
    }
}

/// A frame's error in the words of flat traces; one that they have no word for stays as it is.
///
/// Source: go-ethereum, `parityErrorMapping` of `call_flat.go`.
fn in_flat_words(error: &str) -> &str {
    match error {
        REVERTED => "Reverted",
        "out of gas"
        | "gas uint64 overflow"
        | "max code size exceeded"
        | "contract creation code storage out of gas" => "Out of gas",
        "invalid jump destination" => "Bad jump destination",
        "return data out of bounds" => "Out of bounds",
        "precompiled failed" | "invalid input length" => "Built-in failed",
        _ if error.starts_with("out of gas:") => "Out of gas",
        _ if error.starts_with("invalid opcode") => "Bad instruction",
        _ if error.starts_with("stack underflow") => "Stack underflow",
        _ if error.starts_with("stack limit reached") => "Out of stack",
        _ => error,
    }
}
