//! The address of a new contract follows from who makes it.

use alloy::consensus::TxType;

use super::{BadBlock, UnknownFormats, Verdict, unencodable};
use crate::block::FetchedBlock;
use crate::encoding::NotEncodable;

/// A receipt names a contract exactly if its transaction creates one, and the one that it creates.
///
/// For a creation that failed, or whose receipt does not tell (before Byzantium), nodes say either the address that the
/// contract would have had, as go-ethereum does, or none. Both pass, and the row has what the node said. Source: Yellow
/// Paper §7; `contractAddress` of the Execution API.
///
/// # Errors
/// [`BadBlock::ContractAddress`].
pub fn check_contract_addresses(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    let mut verdict = Verdict::Ok;
    for (index, (transaction, receipt)) in block.transactions.iter().zip(&block.receipts).enumerate() {
        let transaction_type = transaction.type_number();
        if TxType::try_from(transaction_type).is_err() {
            let reason = NotEncodable::UnknownType(transaction_type);
            verdict = verdict.and(unencodable(block.reference, index, &reason, UnknownFormats::Accept)?);
            continue;
        }
        let computed = transaction.to.is_none().then(|| transaction.from.create(transaction.nonce));
        let found = receipt.contract_address;
        let may_be_left_out = computed.is_some() && receipt.status != Some(1);
        if found != computed && !(may_be_left_out && found.is_none()) {
            return Err(BadBlock::ContractAddress { block: block.reference, index, found, computed });
        }
    }
    Ok(verdict)
}
