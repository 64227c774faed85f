//! A transaction was sent by whoever signed it.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::thread;

use alloy::consensus::crypto::secp256k1::recover_signer_unchecked;
use isotherm_types::BlockRef;

use super::{BadBlock, UnknownFormats, Verdict, unencodable};
use crate::block::{FetchedBlock, Transaction};
use crate::encoding::signature_and_hash;

/// Fewest transactions that are given a thread: to recover their signers takes far longer than to start it.
const SHARE: usize = 64;

/// The sender of each transaction is the account that signed it. The work is shared among the processors.
///
/// A signature whose `s` is in the upper half passes: such were valid before Homestead (EIP-2), and whether the chain
/// took one is told by the transactions root. Transactions of unknown types are left out, and make the verdict
/// `not_verifiable`. Source: Yellow Paper, appendix F.
///
/// # Errors
/// [`BadBlock::Sender`], [`BadBlock::Signature`], [`BadBlock::MissingField`].
pub fn check_senders(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    static THREADS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));
    let share = share(block.transactions.len(), *THREADS);
    check_in_shares(block.reference, &block.transactions, share, thread::Builder::new)
}

/// Checks `transactions`, `share` at a time, each share in a thread of the kind that `prepare` makes ready. Where no
/// more can be had, it is checked in the present one.
fn check_in_shares(
    block: BlockRef,
    transactions: &[Transaction],
    share: usize,
    prepare: impl Fn() -> thread::Builder,
) -> Result<Verdict, BadBlock> {
    if share >= transactions.len() {
        return check_share(block, 0, transactions);
    }
    let verdicts: Vec<Result<Verdict, BadBlock>> = thread::scope(|scope| {
        let mut workers = Vec::new();
        for (place, part) in transactions.chunks(share).enumerate() {
            let check = move || check_share(block, place * share, part);
            workers.push(prepare().spawn_scoped(scope, check).map_err(|_no_thread| check()));
        }
        let finished = workers.into_iter().map(|worker| match worker {
            Ok(worker) => worker.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(found) => found,
        });
        finished.collect()
    });
    verdicts.into_iter().try_fold(Verdict::Ok, |verdict, found| Ok(verdict.and(found?)))
}

/// Transactions of one thread, where `threads` of them share `count`.
fn share(count: usize, threads: usize) -> usize {
    count.div_ceil(threads).max(SHARE)
}

/// Checks `transactions`, of which the first is the block's at `first`.
fn check_share(block: BlockRef, first: usize, transactions: &[Transaction]) -> Result<Verdict, BadBlock> {
    let mut verdict = Verdict::Ok;
    for (index, transaction) in (first..).zip(transactions) {
        let claimed = transaction.from;
        let (signature, signed_hash) = match signature_and_hash(transaction) {
            Ok(signed) => signed,
            Err(reason) => {
                verdict = verdict.and(unencodable(block, index, &reason, UnknownFormats::Accept)?);
                continue;
            }
        };
        let recovered = recover_signer_unchecked(&signature, signed_hash);
        let signer = recovered.map_err(|_| BadBlock::Signature { block, index, claimed })?;
        if signer != claimed {
            return Err(BadBlock::Sender { block, index, claimed, signer });
        }
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};
    use isotherm_types::BlockNumber;
    use serde_json::json;

    use super::*;

    #[test]
    fn where_no_thread_can_be_had_the_work_is_done_all_the_same() {
        // More than the address space of any processor.
        let too_large = || thread::Builder::new().stack_size(1 << 60);
        assert!(too_large().spawn(|| ()).is_err(), "no thread can have such a stack");
        let block = BlockRef { number: BlockNumber(7), hash: B256::repeat_byte(7) };
        let transaction = |transaction_type: &str| -> Transaction {
            let fields = json!({"type": transaction_type, "hash": B256::ZERO, "nonce": "0x0", "from": Address::ZERO,
                "value": "0x0", "input": "0x", "gas": "0x0", "gasPrice": "0x0", "v": "0x1b", "r": "0x0", "s": "0x0"});
            serde_json::from_value(fields).unwrap()
        };
        let unknown = vec![transaction("0x7e"); 3];
        let verdict = check_in_shares(block, &unknown, 2, too_large).unwrap();
        assert!(matches!(verdict, Verdict::NotVerifiable(_)), "{verdict:?}");
        let unsigned = [unknown, vec![transaction("0x0")]].concat();
        let bad = check_in_shares(block, &unsigned, 2, too_large).expect_err("nobody signed the last one");
        assert_eq!(bad, BadBlock::Signature { block, index: 3, claimed: Address::ZERO });
    }

    #[test]
    fn work_is_shared_where_there_is_enough_of_it() {
        let shares = [(0, 8), (64, 8), (65, 8), (3_000, 1), (3_000, 2), (3_001, 8)];
        assert_eq!(shares.map(|(count, threads)| share(count, threads)), [64, 64, 64, 3_000, 1_500, 376]);
    }
}
