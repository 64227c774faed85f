//! Flat traces: the answer of `trace_block`.
//!
//! Source: Parity's documentation of its module `trace`. The nodes that followed it differ in the order of
//! frames: here each transaction's are put into that of execution.

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::serde::quantity;
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::value::RawValue;

use super::{Action, CallType, Outcome, RewardType, Trace, Untraced, may_have_rewards};
use crate::block::FetchedBlock;
use crate::verify::BadBlock;

/// A trace as the node writes it. Unknown fields, such as `creationMethod`, are let be.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlatTrace {
    #[serde(rename = "type")]
    kind: Kind,
    action: FlatAction,
    #[serde(default)]
    result: Option<FlatResult>,
    #[serde(default)]
    error: Option<String>,
    block_hash: B256,
    #[serde(default)]
    transaction_hash: Option<B256>,
    #[serde(default)]
    transaction_position: Option<usize>,
    trace_address: Vec<u32>,
    subtraces: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Call,
    Create,
    #[serde(alias = "selfdestruct")]
    Suicide,
    Reward,
}

/// The actions of all kinds in one: which fields must be there depends on the kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlatAction {
    #[serde(default)]
    from: Option<Address>,
    #[serde(default)]
    to: Option<Address>,
    #[serde(default)]
    value: Option<U256>,
    #[serde(default, with = "quantity::opt")]
    gas: Option<u64>,
    #[serde(default)]
    input: Option<Bytes>,
    #[serde(default)]
    call_type: Option<CallType>,
    #[serde(default)]
    init: Option<Bytes>,
    #[serde(default)]
    address: Option<Address>,
    #[serde(default)]
    refund_address: Option<Address>,
    #[serde(default)]
    balance: Option<U256>,
    #[serde(default)]
    author: Option<Address>,
    #[serde(default)]
    reward_type: Option<RewardType>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlatResult {
    #[serde(default, with = "quantity::opt")]
    gas_used: Option<u64>,
    #[serde(default)]
    output: Option<Bytes>,
    #[serde(default)]
    code: Option<Bytes>,
    #[serde(default)]
    address: Option<Address>,
}

/// The traces of `block`, by transaction and path, the rewards last. A reward where nobody can be rewarded is left out.
///
/// # Errors
/// [`Untraced`]; one top frame for each transaction is not asked for yet.
pub(super) fn read(block: &FetchedBlock, answer: &RawValue) -> Result<Vec<Trace>, Untraced> {
    let flat: Vec<FlatTrace> = serde_json::from_str(answer.get())?;
    if flat.is_empty() && !block.transactions.is_empty() {
        return Err(Untraced::Replaced);
    }
    check_block(block, &flat)?;
    for (index, trace) in flat.iter().enumerate() {
        check_place(block, index, trace)?;
    }
    // Versions of Erigon tell a reward with proof of stake too (issue 5344 there), and are no liars for it.
    let has_rewards = may_have_rewards(block);
    let kept = flat.into_iter().filter(|trace| has_rewards || trace.kind != Kind::Reward);
    let mut traces = kept.map(FlatTrace::into_trace).collect::<Result<Vec<Trace>, _>>()?;
    // A path is before all that begin with it, as a frame is before those that it calls.
    let transaction = |trace: &Trace| trace.transaction_index.unwrap_or(usize::MAX);
    traces.sort_by(|left, right| {
        transaction(left).cmp(&transaction(right)).then_with(|| left.trace_address.cmp(&right.trace_address))
    });
    Ok(traces)
}

/// All traces name the block. If none does, they are of another one; if only some do, they are of none.
fn check_block(block: &FetchedBlock, flat: &[FlatTrace]) -> Result<(), Untraced> {
    let others: Vec<B256> =
        flat.iter().map(|trace| trace.block_hash).filter(|hash| *hash != block.reference.hash).collect();
    match others.first() {
        None => Ok(()),
        Some(first) if others.len() == flat.len() && others.iter().all(|other| other == first) => {
            Err(Untraced::Replaced)
        }
        Some(found) => Err(BadBlock::TraceBlock { block: block.reference, found: *found }.into()),
    }
}

/// The trace is of the transaction at the position that it names, and only a reward is of none.
fn check_place(block: &FetchedBlock, index: usize, trace: &FlatTrace) -> Result<(), BadBlock> {
    let bad = |problem| Err(BadBlock::TracePlace { block: block.reference, trace: index, problem });
    match trace.transaction_position {
        None if trace.kind == Kind::Reward && trace.transaction_hash.is_none() => Ok(()),
        None => bad("it is of no transaction"),
        Some(_) if trace.kind == Kind::Reward => bad("a reward is of no transaction"),
        Some(position) => match block.transactions.get(position) {
            None => bad("there is no transaction at its position"),
            Some(transaction) if trace.transaction_hash == Some(transaction.hash) => Ok(()),
            Some(_) => bad("its transaction has another hash"),
        },
    }
}

impl FlatTrace {
    fn into_trace(self) -> Result<Trace, serde_json::Error> {
        let action = self.action.into_action(self.kind)?;
        let outcome = match self.result {
            Some(result) => result.into_outcome(self.kind)?,
            None => None,
        };
        let Self { transaction_position: transaction_index, trace_address, subtraces, error, .. } = self;
        Ok(Trace { transaction_index, trace_address, subtraces, action, outcome, error })
    }
}

impl FlatAction {
    fn into_action(self, kind: Kind) -> Result<Action, serde_json::Error> {
        Ok(match kind {
            Kind::Call => Action::Call {
                from: required("from", self.from)?,
                to: required("to", self.to)?,
                value: required("value", self.value)?,
                gas: required("gas", self.gas)?,
                input: required("input", self.input)?,
                call_type: required("callType", self.call_type)?,
            },
            Kind::Create => Action::Create {
                from: required("from", self.from)?,
                value: required("value", self.value)?,
                gas: required("gas", self.gas)?,
                init: required("init", self.init)?,
            },
            Kind::Suicide => Action::Suicide {
                address: required("address", self.address)?,
                refund_address: required("refundAddress", self.refund_address)?,
                balance: required("balance", self.balance)?,
            },
            Kind::Reward => Action::Reward {
                author: required("author", self.author)?,
                value: required("value", self.value)?,
                reward_type: required("rewardType", self.reward_type)?,
            },
        })
    }
}

impl FlatResult {
    fn into_outcome(self, kind: Kind) -> Result<Option<Outcome>, serde_json::Error> {
        let gas_used = || required("gasUsed", self.gas_used);
        Ok(match kind {
            Kind::Call => {
                let output = required("output", self.output)?;
                Some(Outcome::Returned { gas_used: gas_used()?, output })
            }
            Kind::Create => {
                let code = required("code", self.code)?;
                Some(Outcome::Created { gas_used: gas_used()?, code, address: self.address })
            }
            Kind::Suicide | Kind::Reward => None,
        })
    }
}

fn required<T>(field: &'static str, value: Option<T>) -> Result<T, serde_json::Error> {
    value.ok_or_else(|| serde_json::Error::missing_field(field))
}
