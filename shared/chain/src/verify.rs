//! Checks that a block is what its hash says: pure, and done before anything is stored.
//!
//! A check has three outcomes. It holds; or it cannot be made, with a reason (`not_verifiable`); or the block is bad,
//! which is an error that names the block and both values. Never lets a bad block through, and never keeps a value that
//! nothing vouches for: what a block does not commit to follows from what it does (sender, price paid, contract's
//! address), or is taken out. What a later fork brings is refused, unless the chain's profile accepts it.
//!
//! Taken on the endpoint's word: the contract's address of a creation that failed or whose receipt tells no status
//! (`contract`), traces below the top, and rewards ([`crate::traces`]).

use isotherm_types::BlockRef;

use crate::block::FetchedBlock;
use crate::encoding::NotEncodable;
use crate::traces::{BlockTraces, Trace};

mod bad_block;
mod checks;
mod contract;
mod header;
mod price;
mod receipts;
mod sender;
mod size;
mod transactions;

pub use bad_block::BadBlock;
pub use checks::{Check, Checks, UnknownFormats};
pub use contract::check_contract_addresses;
pub use header::check_header_hash;
pub(crate) use header::judge_hash;
pub use price::check_effective_gas_prices;
pub use receipts::{check_gas_used, check_receipts};
pub use sender::check_senders;
pub use transactions::check_transactions;

/// Outcome of a check that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Recomputed and equal.
    Ok,
    /// Cannot be recomputed.
    NotVerifiable(String),
}

impl Verdict {
    /// Whether the value was recomputed and found equal.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }

    /// The verdict on two things: the first that is not good, if one is not.
    fn and(self, other: Self) -> Self {
        match self {
            Self::Ok => other,
            Self::NotVerifiable(_) => self,
        }
    }
}

/// What was found about one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// Keccak-256 of the RLP header.
    pub header_hash: Verdict,
    /// Root of the trie of transactions, and each transaction's hash.
    pub transactions_root: Verdict,
    /// Root of the trie of receipts, and the logs' Bloom filter.
    pub receipts_root: Verdict,
    /// Gas of the header and of the receipts.
    pub gas_used: Verdict,
    /// The transactions' senders and who signed them.
    pub sender: Verdict,
    /// The receipts' effective gas prices and what the transactions pay.
    pub effective_gas_price: Verdict,
    /// The receipts' contract addresses and what the transactions create.
    pub contract_address: Verdict,
}

/// A block that passed every check that can be made. Fields that a transaction's type does not sign are gone from it,
/// and every number has room in its column.
#[derive(Clone, Debug)]
pub struct VerifiedBlock {
    block: FetchedBlock,
    verdicts: Verdicts,
    /// `None` until they are asked for.
    traces: Option<BlockTraces>,
}

impl VerifiedBlock {
    /// The block.
    pub fn block(&self) -> &FetchedBlock {
        &self.block
    }

    /// What was found.
    pub fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    /// The block with its traces.
    ///
    /// # Panics
    /// If they are those of another block: a fault of this program.
    #[must_use]
    pub fn with_traces(self, traces: BlockTraces) -> Self {
        assert_eq!(traces.block(), self.block.reference, "traces belong to their block");
        Self { traces: Some(traces), ..self }
    }

    /// Its traces; `None` if they were not asked for, which is not the same as none.
    pub fn traces(&self) -> Option<&[Trace]> {
        self.traces.as_ref().map(BlockTraces::traces)
    }

    /// Length of all answers that held the block.
    pub fn size_bytes(&self) -> usize {
        self.block.size_bytes + self.traces.as_ref().map_or(0, BlockTraces::size_bytes)
    }
}

/// Checks a run of blocks: each by itself, and that each is the parent of the next.
///
/// # Errors
/// The first block that is bad.
pub fn verify(run: Vec<FetchedBlock>) -> Result<Vec<VerifiedBlock>, BadBlock> {
    verify_as_far_as(run, &Checks::ALL)
}

/// The same, but of what can be recomputed only as much as `checks` say.
///
/// # Errors
/// The first block that is bad.
pub fn verify_as_far_as(run: Vec<FetchedBlock>, checks: &Checks) -> Result<Vec<VerifiedBlock>, BadBlock> {
    for pair in run.windows(2) {
        let (parent, block) = (pair[0].reference, &pair[1]);
        if block.reference.number != parent.number.next() {
            let expected = parent.number.next();
            return Err(BadBlock::Number { block: block.reference, expected });
        }
        if checks.parent_hash.is_made_at(block.reference.number) && block.header.parent_hash != parent.hash {
            return Err(BadBlock::ParentHash {
                block: block.reference,
                found: block.header.parent_hash,
                expected: parent.hash,
            });
        }
    }
    run.into_iter().map(|block| verify_block(block, checks)).collect()
}

fn verify_block(mut block: FetchedBlock, checks: &Checks) -> Result<VerifiedBlock, BadBlock> {
    let (number, unknown) = (block.reference.number, checks.unknown_formats);
    let header_hash = checks.header_hash.make("header hash", number, || header::check(&block, unknown))?;
    let commitments = || check_commitments(&block, checks);
    // Most of the time goes into the senders, most of the rest into the roots.
    let ((transactions_root, receipts_root, gas_used), sender) = match checks.sender.why_not("sender", number) {
        Some(why_not) => (commitments()?, why_not),
        None => sender::check_beside(&block, commitments)?,
    };
    let verdicts = Verdicts {
        header_hash,
        transactions_root,
        receipts_root,
        gas_used,
        sender,
        effective_gas_price: checks
            .effective_gas_price
            .make("effective gas price", number, || check_effective_gas_prices(&block))?,
        contract_address: checks
            .contract_address
            .make("contract address", number, || check_contract_addresses(&block))?,
    };
    transactions::check_parities(&block)?;
    transactions::keep_signed_fields(&mut block);
    size::check_sizes(&block)?;
    Ok(VerifiedBlock { block, verdicts, traces: None })
}

/// Transactions, receipts and gas are those of the header.
fn check_commitments(block: &FetchedBlock, checks: &Checks) -> Result<(Verdict, Verdict, Verdict), BadBlock> {
    let (number, unknown) = (block.reference.number, checks.unknown_formats);
    let transactions_root =
        checks.transactions_root.make("transactions root", number, || transactions::check(block, unknown))?;
    let receipts_root = receipts::check(block, checks)?;
    let gas_used = checks.gas_used.make("gas", number, || check_gas_used(block))?;
    Ok((transactions_root, receipts_root, gas_used))
}

/// What is not known here cannot be checked, if that is accepted; what a known type must have and has not is untrue.
fn unencodable(
    block: BlockRef,
    index: usize,
    reason: &NotEncodable,
    unknown_formats: UnknownFormats,
) -> Result<Verdict, BadBlock> {
    match *reason {
        NotEncodable::UnknownType(_) => unknown_formats.judge(block, reason.to_string()),
        NotEncodable::MissingField { transaction_type, field } => {
            Err(BadBlock::MissingField { block, index, transaction_type, field })
        }
    }
}
