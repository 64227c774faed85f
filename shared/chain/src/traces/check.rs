//! Holds traces against their block, and against what can be stored.

use alloy::primitives::{Address, keccak256};

use super::cut::LONGEST_PATH;
use super::{Action, Outcome, Trace, misshapen};
use crate::block::FetchedBlock;
use crate::verify::{BadBlock, Verdict};

/// Each transaction has one top frame, which is its own call, and no two traces have the same place. Traces must be
/// sorted by transaction and path, rewards last.
///
/// The frame's sender is held against the transaction's only if `sender` says that this one was recovered: else it may
/// be the block that is untrue, and another endpoint that served it.
///
/// # Errors
/// [`BadBlock::TraceCount`], [`BadBlock::TracePlace`], [`BadBlock::TopFrame`].
pub(super) fn places(block: &FetchedBlock, sender: &Verdict, traces: &[Trace]) -> Result<(), BadBlock> {
    let reference = block.reference;
    if let Some(index) = traces.windows(2).position(|pair| are_at_one_place(&pair[0], &pair[1])) {
        return Err(BadBlock::TracePlace { block: reference, trace: index + 1, problem: "its path is taken" });
    }
    let is_top = |trace: &&Trace| trace.transaction_index.is_some() && trace.trace_address.is_empty();
    let tops: Vec<&Trace> = traces.iter().filter(is_top).collect();
    let (transactions, traced) = (block.transactions.len(), tops.len());
    if transactions != traced {
        return Err(BadBlock::TraceCount { block: reference, transactions, traced });
    }
    // As many as transactions, sorted, and none twice: the n-th is the n-th transaction's.
    tops.into_iter().enumerate().try_for_each(|(index, top)| compare(block, sender, index, top))
}

fn are_at_one_place(one: &Trace, other: &Trace) -> bool {
    let is_of_a_transaction = one.transaction_index.is_some();
    is_of_a_transaction && one.transaction_index == other.transaction_index && one.trace_address == other.trace_address
}

/// The top frame of transaction `index` is that transaction's call.
fn compare(block: &FetchedBlock, sender: &Verdict, index: usize, top: &Trace) -> Result<(), BadBlock> {
    let transaction = &block.transactions[index];
    let differs = |field, found: String, expected: String| {
        Err(BadBlock::TopFrame { block: block.reference, index, field, found, expected })
    };
    let (from, to, value, input) = match &top.action {
        Action::Call { from, to, value, input, .. } => (from, Some(*to), value, input),
        Action::Create { from, value, init, .. } => (from, None, value, init),
        Action::Suicide { .. } | Action::Reward { .. } => {
            return differs("type", "suicide or reward".to_owned(), "call or create".to_owned());
        }
    };
    if sender.is_ok() && *from != transaction.from {
        return differs("sender", from.to_string(), transaction.from.to_string());
    }
    if to != transaction.to {
        let shown = |to: Option<Address>| to.map_or_else(|| "none".to_owned(), |to| to.to_string());
        return differs("recipient", shown(to), shown(transaction.to));
    }
    if *value != transaction.value {
        return differs("value", value.to_string(), transaction.value.to_string());
    }
    if *input != transaction.input {
        let shown = |bytes: &[u8]| keccak256(bytes).to_string();
        return differs("input with Keccak-256", shown(input), shown(&transaction.input));
    }
    Ok(())
}

/// Every value has a place in hot storage. Nothing vouches for these, so that an endpoint could stop the follower.
///
/// # Errors
/// A gas above what `bigint` holds, an error's text with a NUL, which Postgres refuses, or a path that is longer than
/// the EVM calls are deep.
pub(super) fn values(traces: &[Trace]) -> Result<(), serde_json::Error> {
    for trace in traces {
        let gas = match &trace.action {
            Action::Call { gas, .. } | Action::Create { gas, .. } => Some(*gas),
            Action::Suicide { .. } | Action::Reward { .. } => None,
        };
        let gas_used = match &trace.outcome {
            Some(Outcome::Returned { gas_used, .. } | Outcome::Created { gas_used, .. }) => Some(*gas_used),
            None => None,
        };
        if let Some(gas) = [gas, gas_used].into_iter().flatten().find(|gas| i64::try_from(*gas).is_err()) {
            return Err(misshapen(format_args!("{gas} is no amount of gas")));
        }
        if trace.trace_address.len() > LONGEST_PATH {
            return Err(misshapen(format_args!("a path has {} steps", trace.trace_address.len())));
        }
        if trace.error.as_ref().is_some_and(|error| error.contains('\0')) {
            return Err(misshapen("an error's text holds a NUL"));
        }
    }
    Ok(())
}
