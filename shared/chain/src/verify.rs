//! Checks that a block is what its hash says: pure, and done before anything is stored.
//!
//! A check has three outcomes. It holds; or it cannot be made, with a reason (`not_verifiable`); or the block is bad,
//! which is an error that names the block and both values. Never lets a bad block through, and never calls a block bad
//! for a rule of a fork that is not known here.
//!
//! Not covered by any commitment of a block, hence not checked: the sender (it would need a signature recovery for
//! each transaction), `effectiveGasPrice` and `contractAddress`.

use alloy::consensus::proofs::ordered_trie_root_encoded;
use alloy::primitives::{B256, Bloom, keccak256};
use isotherm_types::BlockRef;

use crate::block::{FetchedBlock, Receipt};
use crate::encoding::{NotEncodable, encode_receipt, encode_transaction};
use crate::traces::{BlockTraces, Trace};

mod bad_block;
mod checks;

pub use bad_block::BadBlock;
pub use checks::{Check, Checks};

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
}

/// A block that passed every check that can be made.
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

fn verify_block(block: FetchedBlock, checks: &Checks) -> Result<VerifiedBlock, BadBlock> {
    let number = block.reference.number;
    let verdicts = Verdicts {
        header_hash: checks.header_hash.make("header hash", number, || check_header_hash(&block))?,
        transactions_root: checks.transactions_root.make("transactions root", number, || check_transactions(&block))?,
        receipts_root: check_receipts_as_far_as(&block, checks)?,
        gas_used: checks.gas_used.make("gas", number, || check_gas_used(&block))?,
    };
    Ok(VerifiedBlock { block, verdicts, traces: None })
}

/// The header's hash is what its fields say.
///
/// # Errors
/// [`BadBlock::HeaderHash`] if it is not and every field of the header is known.
pub fn check_header_hash(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    let computed = block.header.hash_slow();
    if computed == block.reference.hash {
        return Ok(Verdict::Ok);
    }
    if !block.unknown_fields.is_empty() {
        let fields = block.unknown_fields.join(", ");
        return Ok(Verdict::NotVerifiable(format!("the header has fields that are not known: {fields}")));
    }
    Err(BadBlock::HeaderHash { block: block.reference, computed })
}

/// The transactions are those that the header commits to, and each has the hash that it is served under.
///
/// # Errors
/// [`BadBlock::TransactionsRoot`], [`BadBlock::TransactionHash`], [`BadBlock::TransactionBlock`], [`BadBlock::MissingField`].
pub fn check_transactions(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    let reference = block.reference;
    let mut encoded = Vec::with_capacity(block.transactions.len());
    for (index, transaction) in block.transactions.iter().enumerate() {
        if let Some(found) = transaction.block_hash.filter(|hash| *hash != reference.hash) {
            return Err(BadBlock::TransactionBlock { block: reference, index, found });
        }
        match encode_transaction(transaction) {
            Ok(bytes) => encoded.push(bytes),
            Err(reason) => return unencodable(reference, index, &reason),
        }
    }
    let computed = ordered_trie_root_encoded(&encoded);
    if computed != block.header.transactions_root {
        let header = block.header.transactions_root;
        return Err(BadBlock::TransactionsRoot { block: reference, header, computed });
    }
    for (index, (transaction, bytes)) in block.transactions.iter().zip(&encoded).enumerate() {
        let computed = keccak256(bytes);
        if computed != transaction.hash {
            return Err(BadBlock::TransactionHash { block: reference, index, claimed: transaction.hash, computed });
        }
    }
    Ok(Verdict::Ok)
}

/// There is one receipt for each transaction, in order, their logs are numbered without a gap, and they and their
/// Bloom filter are those that the header commits to.
///
/// # Errors
/// [`BadBlock::ReceiptCount`], [`BadBlock::ReceiptPlace`], [`BadBlock::LogIndex`], [`BadBlock::LogsBloom`],
/// [`BadBlock::ReceiptsRoot`], [`BadBlock::MissingField`].
pub fn check_receipts(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    check_receipts_as_far_as(block, &Checks::ALL)
}

/// Number, place and logs' indexes are always checked: no chain has them otherwise.
fn check_receipts_as_far_as(block: &FetchedBlock, checks: &Checks) -> Result<Verdict, BadBlock> {
    let reference = block.reference;
    let (transactions, receipts) = (block.transactions.len(), block.receipts.len());
    if transactions != receipts {
        return Err(BadBlock::ReceiptCount { block: reference, transactions, receipts });
    }
    let mut next_log = 0;
    for (index, (transaction, receipt)) in block.transactions.iter().zip(&block.receipts).enumerate() {
        check_place(reference, index, transaction.hash, receipt)?;
        for log in &receipt.logs {
            if log.log_index != next_log {
                return Err(BadBlock::LogIndex { block: reference, expected: next_log, found: log.log_index });
            }
            next_log += 1;
        }
    }
    let has_bloom = checks.logs_bloom.is_made_at(reference.number);
    if !has_bloom && let Some(why_not) = checks.receipts_root.why_not("receipts root", reference.number) {
        return Ok(why_not);
    }
    let mut encoded = Vec::with_capacity(receipts);
    let mut bloom = Bloom::ZERO;
    for (index, (transaction, receipt)) in block.transactions.iter().zip(&block.receipts).enumerate() {
        match encode_receipt(transaction.type_number(), receipt) {
            Ok((bytes, receipt_bloom)) => {
                encoded.push(bytes);
                bloom.accrue_bloom(&receipt_bloom);
            }
            Err(reason) => {
                return match checks.receipts_root.why_not("receipts root", reference.number) {
                    Some(why_not) => Ok(why_not),
                    None => unencodable(reference, index, &reason),
                };
            }
        }
    }
    if has_bloom && bloom != block.header.logs_bloom {
        let header = Box::new(block.header.logs_bloom);
        return Err(BadBlock::LogsBloom { block: reference, header, computed: Box::new(bloom) });
    }
    if let Some(why_not) = checks.receipts_root.why_not("receipts root", reference.number) {
        return Ok(why_not);
    }
    let computed = ordered_trie_root_encoded(&encoded);
    if computed != block.header.receipts_root {
        return Err(BadBlock::ReceiptsRoot { block: reference, header: block.header.receipts_root, computed });
    }
    Ok(Verdict::Ok)
}

fn check_place(block: BlockRef, index: usize, transaction: B256, receipt: &Receipt) -> Result<(), BadBlock> {
    let is_in_place = receipt.transaction_hash == transaction
        && receipt.transaction_index == index as u64
        && receipt.block_hash == block.hash;
    if is_in_place {
        return Ok(());
    }
    Err(BadBlock::ReceiptPlace { block, index, transaction, found: receipt.transaction_hash })
}

/// Each receipt's gas is the step of the running total, and the last total is the header's.
///
/// # Errors
/// [`BadBlock::GasUsed`], [`BadBlock::ReceiptGas`].
pub fn check_gas_used(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    // EIP-7778: from the fork that brings block access lists on, the header counts gas before refunds.
    if block.header.block_access_list_hash.is_some() {
        return Ok(Verdict::NotVerifiable("the header counts gas before refunds (EIP-7778)".to_owned()));
    }
    let mut total = 0u64;
    for (index, receipt) in block.receipts.iter().enumerate() {
        let computed = total.checked_add(receipt.gas_used);
        if computed != Some(receipt.cumulative_gas_used) {
            let (before, gas_used, cumulative) = (total, receipt.gas_used, receipt.cumulative_gas_used);
            return Err(BadBlock::ReceiptGas { block: block.reference, index, before, gas_used, cumulative });
        }
        total = receipt.cumulative_gas_used;
    }
    if total != block.header.gas_used {
        let header = block.header.gas_used;
        return Err(BadBlock::GasUsed { block: block.reference, header, receipts: total });
    }
    Ok(Verdict::Ok)
}

/// What is not known here cannot be checked; what a known type must have and has not is untrue.
fn unencodable(block: BlockRef, index: usize, reason: &NotEncodable) -> Result<Verdict, BadBlock> {
    match *reason {
        NotEncodable::UnknownType(_) => Ok(Verdict::NotVerifiable(reason.to_string())),
        NotEncodable::MissingField { transaction_type, field } => {
            Err(BadBlock::MissingField { block, index, transaction_type, field })
        }
    }
}
