//! What happened inside the transactions of a block: call frames and rewards, in the one form in which they are stored.
//!
//! A node tells them in one of two ways ([`TraceMethod`]): `trace_block` answers with flat traces,
//! `debug_traceBlockByHash` with nested frames; [`read`] makes the same of both and holds it against the block. The top
//! frame of each transaction must have its recipient, value and input, and its sender where the block's senders were
//! recovered. Nothing in a block commits to the frames below, nor to the gas, the output and the error of any frame, nor
//! to the rewards: those are taken on the endpoint's word, rewards only where a block may have them.
//!
//! It must never follow the nesting of an answer with its own stack, never take the traces of another block, and never
//! let a value through that hot storage cannot hold.

use alloy::primitives::{Address, Bytes, U256};
use isotherm_types::BlockRef;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::block::FetchedBlock;
use crate::verify::{BadBlock, Verdict};

mod check;
mod cut;
mod flat;
mod nested;

/// Bytes of an error's text that are kept: a node may put into it what a contract said, of whatever length.
const LONGEST_ERROR: usize = 4096;

/// How a chain's node is asked for traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceMethod {
    /// `trace_block`: flat traces. Source: Parity's module `trace`, as Erigon, Nethermind and Reth have it.
    TraceBlock,
    /// `debug_traceBlockByHash` with `callTracer`: nested frames. Source: go-ethereum's module `debug`; Monad has it.
    DebugTraceBlock,
    /// Not at all.
    #[default]
    None,
}

impl TraceMethod {
    /// Whether `block` may have traces. Without transactions there are only the rewards of proof of work, which
    /// `trace_block` tells and `debug_traceBlockByHash` does not; the genesis block has neither.
    pub(crate) fn asks_about(self, block: &FetchedBlock) -> bool {
        let has_transactions = !block.transactions.is_empty();
        match self {
            Self::TraceBlock => has_transactions || may_have_rewards(block),
            Self::DebugTraceBlock => has_transactions,
            Self::None => false,
        }
    }
}

/// Whether anybody can be rewarded for `block`: with proof of stake nobody is, nor for the genesis block.
///
/// Source: EIP-3675, which sets the difficulty to 0.
fn may_have_rewards(block: &FetchedBlock) -> bool {
    !block.header.difficulty.is_zero() && block.reference.number.previous().is_some()
}

/// A call frame of a transaction, or a reward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Position of its transaction in the block; `None` in rewards.
    pub transaction_index: Option<usize>,
    /// Path from the transaction's top frame: at each level the position among its siblings.
    pub trace_address: Vec<u32>,
    /// Frames directly below.
    pub subtraces: u32,
    /// What was to be done.
    pub action: Action,
    /// What came of it; `None` if it failed without an output, or has none by its nature.
    pub outcome: Option<Outcome>,
    /// Why it failed; a long text is cut.
    pub error: Option<String>,
}

/// What a frame was to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the names of `trace_block`")]
pub enum Action {
    /// A message call.
    Call { from: Address, to: Address, value: U256, gas: u64, input: Bytes, call_type: CallType },
    /// A creation of a contract.
    Create { from: Address, value: U256, gas: u64, init: Bytes },
    /// A contract that destroys itself.
    Suicide { address: Address, refund_address: Address, balance: U256 },
    /// A reward of proof of work or of an authority.
    Reward { author: Address, value: U256, reward_type: RewardType },
}

/// Kind of a message call. Read as `trace_block` spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of the opcodes")]
pub enum CallType {
    Call,
    CallCode,
    DelegateCall,
    StaticCall,
}

/// Kind of a reward. Read as `trace_block` spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are those of Parity")]
pub enum RewardType {
    Block,
    Uncle,
    EmptyStep,
    External,
}

/// What came of a call or a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the names of `trace_block`")]
pub enum Outcome {
    /// Of a call.
    Returned { gas_used: u64, output: Bytes },
    /// Of a creation; nested frames have no address if it failed.
    Created { gas_used: u64, code: Bytes, address: Option<Address> },
}

/// The traces of one block, held against it. Only [`read`] makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockTraces {
    block: BlockRef,
    traces: Vec<Trace>,
    size_bytes: usize,
}

impl BlockTraces {
    /// Those of a block that nobody needs to be asked about.
    pub(crate) fn none(block: &FetchedBlock) -> Self {
        Self { block: block.reference, traces: Vec::new(), size_bytes: 0 }
    }

    /// Their block.
    pub fn block(&self) -> BlockRef {
        self.block
    }

    /// By transaction, each transaction's in the order of execution; then the rewards.
    pub fn traces(&self) -> &[Trace] {
        &self.traces
    }

    /// Length of the answer that held them.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

/// Why an answer does not hold a block's traces.
#[derive(Debug, thiserror::Error)]
pub enum Untraced {
    /// It is not what the method returns.
    #[error("the traces cannot be read")]
    Json(#[source] serde_json::Error),
    /// It contradicts the block.
    #[error(transparent)]
    Bad(Box<BadBlock>),
    /// It is of another block of this number, or of none although there are transactions: a reorg came in between, or
    /// the endpoint is on another branch. About a block that has left their chain, nodes answer with an empty list.
    #[error("the traces are of another block")]
    Replaced,
}

impl From<serde_json::Error> for Untraced {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<BadBlock> for Untraced {
    fn from(problem: BadBlock) -> Self {
        Self::Bad(Box::new(problem))
    }
}

/// Reads what an endpoint answered to `method` about `block`, whose receipts must be there, and checks it. `sender` is
/// what was found of the senders of its transactions.
///
/// # Errors
/// [`Untraced`].
pub fn read(
    block: &FetchedBlock,
    sender: &Verdict,
    method: TraceMethod,
    answer: &RawValue,
) -> Result<BlockTraces, Untraced> {
    let mut traces = match method {
        TraceMethod::TraceBlock => flat::read(block, answer)?,
        TraceMethod::DebugTraceBlock => nested::read(block, answer)?,
        TraceMethod::None => Vec::new(),
    };
    traces.iter_mut().filter_map(|trace| trace.error.as_mut()).for_each(cut_error);
    check::values(&traces)?;
    check::places(block, sender, &traces)?;
    Ok(BlockTraces { block: block.reference, traces, size_bytes: answer.get().len() })
}

fn cut_error(error: &mut String) {
    let kept = error.floor_char_boundary(LONGEST_ERROR);
    error.truncate(kept);
    error.shrink_to_fit();
}

/// An answer that is JSON, but not of the method's form.
fn misshapen(problem: impl std::fmt::Display) -> serde_json::Error {
    serde::de::Error::custom(problem)
}

#[cfg(test)]
mod tests;
