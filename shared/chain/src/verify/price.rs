//! What a transaction pays for its gas follows from what it signed and from the header.

use alloy::consensus::TxType;
use alloy::primitives::U256;

use super::{BadBlock, UnknownFormats, Verdict, unencodable};
use crate::block::{FetchedBlock, Transaction};
use crate::encoding::NotEncodable;

/// The effective gas price is the one that was signed, or the block's base fee and as much of the priority fee as the
/// cap on both leaves room for. A receipt without it, as before London, is taken to say what the transaction says.
///
/// Source: EIP-1559. Not verifiable where a transaction has such a cap and the header no base fee, or where its type is
/// unknown; the others of the block are checked all the same.
///
/// # Errors
/// [`BadBlock::EffectiveGasPrice`], [`BadBlock::MissingField`].
pub fn check_effective_gas_prices(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    let base_fee = block.header.base_fee_per_gas;
    let mut verdict = Verdict::Ok;
    for (index, (transaction, receipt)) in block.transactions.iter().zip(&block.receipts).enumerate() {
        let found = match price(transaction, base_fee) {
            Ok(Some(computed)) => match receipt.paid(transaction) {
                Some(paid) if paid == computed => Verdict::Ok,
                Some(paid) => {
                    let (found, computed) = (U256::from(paid), U256::from(computed));
                    return Err(BadBlock::EffectiveGasPrice { block: block.reference, index, found, computed });
                }
                None => {
                    let (transaction_type, field) = (transaction.type_number(), "effectiveGasPrice");
                    return Err(BadBlock::MissingField { block: block.reference, index, transaction_type, field });
                }
            },
            Ok(None) => Verdict::NotVerifiable("the header has no base fee".to_owned()),
            Err(reason) => unencodable(block.reference, index, &reason, UnknownFormats::Accept)?,
        };
        verdict = verdict.and(found);
    }
    Ok(verdict)
}

/// Wei per gas that `transaction` pays; `None` if that depends on a base fee that there is none of.
fn price(transaction: &Transaction, base_fee: Option<u64>) -> Result<Option<u128>, NotEncodable> {
    let transaction_type = transaction.type_number();
    let missing = |field| NotEncodable::MissingField { transaction_type, field };
    let known = TxType::try_from(transaction_type).map_err(|_| NotEncodable::UnknownType(transaction_type))?;
    match known {
        TxType::Legacy | TxType::Eip2930 => Ok(Some(transaction.gas_price.ok_or_else(|| missing("gasPrice"))?)),
        TxType::Eip1559 | TxType::Eip4844 | TxType::Eip7702 => {
            let most = transaction.max_fee_per_gas.ok_or_else(|| missing("maxFeePerGas"))?;
            let tip = transaction.max_priority_fee_per_gas.ok_or_else(|| missing("maxPriorityFeePerGas"))?;
            Ok(base_fee.map(|base_fee| most.min(tip.saturating_add(u128::from(base_fee)))))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn transaction(transaction_type: u8, most: u128, tip: u128) -> Transaction {
        let zero = "0x0000000000000000000000000000000000000000";
        let mut transaction: Transaction = serde_json::from_value(json!({
            "hash": format!("0x{}", "0".repeat(64)), "type": format!("{transaction_type:#x}"), "nonce": "0x0",
            "from": zero, "to": zero, "value": "0x0", "input": "0x", "gas": "0x0", "gasPrice": "0x7",
            "r": "0x1", "s": "0x1",
        }))
        .unwrap();
        (transaction.max_fee_per_gas, transaction.max_priority_fee_per_gas) = (Some(most), Some(tip));
        transaction
    }

    #[test]
    fn the_price_is_as_eip_1559_has_it_and_never_overflows() {
        let paid = |transaction_type, most, tip, base_fee| price(&transaction(transaction_type, most, tip), base_fee);
        for transaction_type in [0, 1] {
            assert_eq!(paid(transaction_type, 100, 1, Some(50)), Ok(Some(7)));
            assert_eq!(paid(transaction_type, 100, 1, None), Ok(Some(7)));
        }
        for transaction_type in [2, 3, 4] {
            assert_eq!(paid(transaction_type, 100, 2, Some(50)), Ok(Some(52)));
            assert_eq!(paid(transaction_type, 51, 2, Some(50)), Ok(Some(51)));
            // No valid block has it.
            assert_eq!(paid(transaction_type, 10, 2, Some(50)), Ok(Some(10)));
            assert_eq!(paid(transaction_type, u128::MAX, u128::MAX, Some(u64::MAX)), Ok(Some(u128::MAX)));
            assert_eq!(paid(transaction_type, 100, 2, None), Ok(None));
        }
        assert_eq!(paid(0x7e, 100, 2, Some(50)), Err(NotEncodable::UnknownType(0x7e)));
    }
}
