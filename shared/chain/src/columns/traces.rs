//! Columns of `traces`.
//!
//! Values are spelled as cryo spells them, not as nodes do: `delegate_call`, and `reward` for the reward of a block.

use std::fmt::Write as _;

use alloy::primitives::{Address, Bytes, U256};
use arrow::array::RecordBatch;
use isotherm_types::{ChainId, Dataset};

use super::ColumnError;
use super::batch::Batch;
use crate::block::FetchedBlock;
use crate::traces::{Action, CallType, Outcome, RewardType, Trace};
use crate::verify::VerifiedBlock;

/// A trace with what stands beside it.
#[derive(Clone, Copy)]
struct Row<'a> {
    block: &'a FetchedBlock,
    index: u64,
    trace: &'a Trace,
}

fn rows(blocks: &[VerifiedBlock]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for verified in blocks {
        let (block, traces) = (verified.block(), verified.traces().into_iter().flatten());
        rows.extend((0u64..).zip(traces).map(|(index, trace)| Row { block, index, trace }));
    }
    rows
}

pub(super) fn encode(chain_id: ChainId, blocks: &[VerifiedBlock]) -> Result<RecordBatch, ColumnError> {
    let rows = rows(blocks);
    let mut batch = Batch::new(Dataset::Traces, rows.len());
    action(&mut batch, &rows);
    outcome(&mut batch, &rows);
    place(&mut batch, chain_id, &rows)?;
    Ok(batch.finish())
}

fn action(batch: &mut Batch, rows: &[Row<'_>]) {
    let actions = || rows.iter().map(|row| &row.trace.action);
    batch.optional_fixed::<20, _>("action_from", actions().map(|action| Some(from(action))));
    batch.optional_fixed::<20, _>("action_to", actions().map(to));
    batch.text("action_value", actions().map(|action| value(action).to_string()));
    batch.optional_u64("action_gas", actions().map(gas));
    batch.optional_bytes("action_input", actions().map(input));
    batch.optional_text("action_call_type", actions().map(call_type));
    batch.optional_bytes("action_init", actions().map(init));
    batch.optional_text("action_reward_type", actions().map(reward_type));
    batch.text("action_type", actions().map(action_type));
}

fn outcome(batch: &mut Batch, rows: &[Row<'_>]) {
    let outcomes = || rows.iter().map(|row| row.trace.outcome.as_ref());
    let gas_used = |outcome: &Outcome| match outcome {
        Outcome::Returned { gas_used, .. } | Outcome::Created { gas_used, .. } => *gas_used,
    };
    batch.optional_u64("result_gas_used", outcomes().map(|outcome| outcome.map(gas_used)));
    batch.optional_bytes("result_output", outcomes().map(|outcome| outcome.and_then(output)));
    batch.optional_bytes("result_code", outcomes().map(|outcome| outcome.and_then(code)));
    batch.optional_fixed::<20, _>("result_address", outcomes().map(|outcome| outcome.and_then(created)));
    batch.optional_text("error", rows.iter().map(|row| row.trace.error.as_deref()));
}

fn place(batch: &mut Batch, chain_id: ChainId, rows: &[Row<'_>]) -> Result<(), ColumnError> {
    batch.text("trace_address", rows.iter().map(|row| path(&row.trace.trace_address)));
    batch.u32("subtraces", rows.iter().map(|row| u64::from(row.trace.subtraces)))?;
    let transactions = || rows.iter().map(|row| row.trace.transaction_index);
    batch.optional_u32("transaction_index", transactions().map(|index| index.map(|index| index as u64)))?;
    let hashes = rows.iter().map(|row| Some(row.block.transactions[row.trace.transaction_index?].hash));
    batch.optional_fixed::<32, _>("transaction_hash", hashes);
    batch.u32("block_number", rows.iter().map(|row| row.block.reference.number.0))?;
    batch.fixed::<32, _>("block_hash", rows.iter().map(|row| row.block.reference.hash));
    batch.u64("chain_id", rows.iter().map(|_| chain_id.0));
    batch.u32("trace_index", rows.iter().map(|row| row.index))?;
    batch.u32("timestamp", rows.iter().map(|row| row.block.header.timestamp))
}

/// Caller, creator, contract that destroys itself, or whoever is rewarded.
fn from(action: &Action) -> Address {
    match action {
        Action::Call { from, .. } | Action::Create { from, .. } => *from,
        Action::Suicide { address, .. } => *address,
        Action::Reward { author, .. } => *author,
    }
}

fn to(action: &Action) -> Option<Address> {
    match action {
        Action::Call { to, .. } => Some(*to),
        Action::Suicide { refund_address, .. } => Some(*refund_address),
        Action::Create { .. } | Action::Reward { .. } => None,
    }
}

fn value(action: &Action) -> U256 {
    match action {
        Action::Call { value, .. } | Action::Create { value, .. } | Action::Reward { value, .. } => *value,
        Action::Suicide { balance, .. } => *balance,
    }
}

fn gas(action: &Action) -> Option<u64> {
    match action {
        Action::Call { gas, .. } | Action::Create { gas, .. } => Some(*gas),
        Action::Suicide { .. } | Action::Reward { .. } => None,
    }
}

fn input(action: &Action) -> Option<&Bytes> {
    match action {
        Action::Call { input, .. } => Some(input),
        Action::Create { .. } | Action::Suicide { .. } | Action::Reward { .. } => None,
    }
}

fn init(action: &Action) -> Option<&Bytes> {
    match action {
        Action::Create { init, .. } => Some(init),
        Action::Call { .. } | Action::Suicide { .. } | Action::Reward { .. } => None,
    }
}

fn call_type(action: &Action) -> Option<&'static str> {
    let Action::Call { call_type, .. } = action else { return None };
    Some(match call_type {
        CallType::Call => "call",
        CallType::CallCode => "call_code",
        CallType::DelegateCall => "delegate_call",
        CallType::StaticCall => "static_call",
    })
}

fn reward_type(action: &Action) -> Option<&'static str> {
    let Action::Reward { reward_type, .. } = action else { return None };
    Some(match reward_type {
        RewardType::Block => "reward",
        RewardType::Uncle => "uncle",
        RewardType::EmptyStep => "empty_step",
        RewardType::External => "external",
    })
}

fn action_type(action: &Action) -> &'static str {
    match action {
        Action::Call { .. } => "call",
        Action::Create { .. } => "create",
        Action::Suicide { .. } => "suicide",
        Action::Reward { .. } => "reward",
    }
}

fn output(outcome: &Outcome) -> Option<&Bytes> {
    match outcome {
        Outcome::Returned { output, .. } => Some(output),
        Outcome::Created { .. } => None,
    }
}

fn code(outcome: &Outcome) -> Option<&Bytes> {
    match outcome {
        Outcome::Created { code, .. } => Some(code),
        Outcome::Returned { .. } => None,
    }
}

fn created(outcome: &Outcome) -> Option<Address> {
    match outcome {
        Outcome::Created { address, .. } => *address,
        Outcome::Returned { .. } => None,
    }
}

/// Empty at the top, then `0`, `0_1`.
fn path(trace_address: &[u32]) -> String {
    let mut path = String::new();
    for (depth, step) in trace_address.iter().enumerate() {
        let separator = if depth == 0 { "" } else { "_" };
        write!(path, "{separator}{step}").expect("a text takes what is written");
    }
    path
}
