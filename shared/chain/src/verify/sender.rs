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
    let (reference, transactions) = (block.reference, &block.transactions);
    let share = share(transactions.len(), *THREADS);
    if share >= transactions.len() {
        return check_share(reference, 0, transactions);
    }
    let verdicts: Vec<Result<Verdict, BadBlock>> = thread::scope(|scope| {
        let shares = transactions.chunks(share).enumerate();
        let workers: Vec<_> =
            shares.map(|(place, part)| scope.spawn(move || check_share(reference, place * share, part))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
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
    use super::*;

    #[test]
    fn work_is_shared_where_there_is_enough_of_it() {
        let shares = [(0, 8), (64, 8), (65, 8), (3_000, 1), (3_000, 2), (3_001, 8)];
        assert_eq!(shares.map(|(count, threads)| share(count, threads)), [64, 64, 64, 3_000, 1_500, 376]);
    }
}
