//! Every number of a block has room in its column, so that no answer can stop whoever stores it.

use alloy::consensus::Header;
use alloy::primitives::U256;
use isotherm_types::schema::DECIMAL_PRECISION;

use super::BadBlock;
use crate::block::{FetchedBlock, Log, Receipt, Transaction};

/// Most that a `UINTEGER` column holds.
const UINTEGER: u128 = u32::MAX as u128;
/// Most that a `UBIGINT` column holds: Postgres has it as `bigint`.
const UBIGINT: u128 = i64::MAX.unsigned_abs() as u128;
/// Most that a `DECIMAL(38,0)` column holds.
const DECIMAL: u128 = 10u128.pow(DECIMAL_PRECISION as u32) - 1;
/// Topics that a log has a column for. Source: the EVM's `LOG0` to `LOG4`.
const TOPICS: u128 = 4;

/// A number with its name in the Execution API, and the most that its column holds.
type Bounded = (&'static str, Option<u128>, u128);

/// Every number that has a bound of its own keeps to it. `value` has none: its exact form fits always. Counts and
/// indexes need none: an answer is too short for them to exceed it. Fields that nobody signed must be gone by now.
///
/// # Errors
/// [`BadBlock::ValueTooLarge`].
pub(super) fn check_sizes(block: &FetchedBlock) -> Result<(), BadBlock> {
    let pairs = block.transactions.iter().zip(&block.receipts);
    let of_pairs = pairs.flat_map(|(transaction, receipt)| of_transaction(transaction, receipt));
    let number = ("number", Some(u128::from(block.reference.number.0)), UINTEGER);
    let mut values = std::iter::once(number).chain(of_header(&block.header)).chain(of_pairs);
    let too_large = values.find_map(|(field, value, most)| Some((field, value.filter(|value| *value > most)?)));
    match too_large.map(|(field, value)| (field, U256::from(value))) {
        Some((field, value)) => Err(BadBlock::ValueTooLarge { block: block.reference, field, value }),
        None => Ok(()),
    }
}

fn of_header(header: &Header) -> [Bounded; 7] {
    [
        ("timestamp", Some(header.timestamp.into()), UINTEGER),
        ("gasLimit", Some(header.gas_limit.into()), UBIGINT),
        ("gasUsed", Some(header.gas_used.into()), UBIGINT),
        ("baseFeePerGas", header.base_fee_per_gas.map(u128::from), UBIGINT),
        ("blobGasUsed", header.blob_gas_used.map(u128::from), UBIGINT),
        ("excessBlobGas", header.excess_blob_gas.map(u128::from), UBIGINT),
        ("slotNumber", header.slot_number.map(u128::from), UBIGINT),
    ]
}

fn of_transaction(transaction: &Transaction, receipt: &Receipt) -> [Bounded; 10] {
    let topics = |log: &Log| log.topics.len() as u128;
    [
        ("nonce", Some(transaction.nonce.into()), UBIGINT),
        ("gas", Some(transaction.gas.into()), UBIGINT),
        ("chainId", transaction.signed_chain_id().map(u128::from), UBIGINT),
        ("maxFeePerGas", transaction.max_fee_per_gas, DECIMAL),
        ("maxPriorityFeePerGas", transaction.max_priority_fee_per_gas, DECIMAL),
        ("maxFeePerBlobGas", transaction.max_fee_per_blob_gas, DECIMAL),
        ("effectiveGasPrice", receipt.paid(transaction), DECIMAL),
        ("gasUsed", Some(receipt.gas_used.into()), UBIGINT),
        ("cumulativeGasUsed", Some(receipt.cumulative_gas_used.into()), UBIGINT),
        ("number of topics", receipt.logs.iter().map(topics).max(), TOPICS),
    ]
}
