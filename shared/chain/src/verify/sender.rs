//! A transaction was sent by whoever signed it.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use alloy::consensus::crypto::secp256k1::recover_signer_unchecked;
use isotherm_types::BlockRef;

use super::{BadBlock, UnknownFormats, Verdict, unencodable};
use crate::block::{FetchedBlock, Transaction};
use crate::encoding::signature_and_hash;

/// Transactions that a thread takes at once: to recover their signers takes far longer than to start a thread.
const SHARE: usize = 16;

/// The sender of each transaction is the account that signed it. The work is shared among the processors.
///
/// A signature whose `s` is in the upper half passes: such were valid before Homestead (EIP-2), and whether the chain
/// took one is told by the transactions root. Transactions of unknown types are left out, and make the verdict
/// `not_verifiable`. Source: Yellow Paper, appendix F.
///
/// # Errors
/// [`BadBlock::Sender`], [`BadBlock::Signature`], [`BadBlock::MissingField`].
pub fn check_senders(block: &FetchedBlock) -> Result<Verdict, BadBlock> {
    check_beside(block, || Ok(())).map(|((), verdict)| verdict)
}

/// The same, and what comes of `other`, which the present thread does meanwhile.
///
/// # Errors
/// That of `other`, else as of [`check_senders`].
pub(super) fn check_beside<T>(
    block: &FetchedBlock,
    other: impl FnOnce() -> Result<T, BadBlock>,
) -> Result<(T, Verdict), BadBlock> {
    static THREADS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));
    let helpers = helpers(block.transactions.len(), *THREADS);
    Work::of(block.reference, &block.transactions, SHARE).check_beside(helpers, thread::Builder::new, other)
}

/// Threads beside the present one that are of use for `count` transactions, where `threads` can run at the same time.
fn helpers(count: usize, threads: usize) -> usize {
    (count / SHARE).min(threads.saturating_sub(1))
}

/// Transactions whose senders are checked, a share at a time by whoever is free.
struct Work<'a> {
    block: BlockRef,
    transactions: &'a [Transaction],
    share: usize,
    /// The first that nobody has taken.
    next: AtomicUsize,
}

impl<'a> Work<'a> {
    fn of(block: BlockRef, transactions: &'a [Transaction], share: usize) -> Self {
        Self { block, transactions, share, next: AtomicUsize::new(0) }
    }

    /// Checks them in `helpers` threads of the kind that `prepare` makes ready, and in the present one once that has
    /// done `other`. Where no more threads can be had, the present one has more to do.
    fn check_beside<T>(
        &self,
        helpers: usize,
        prepare: impl Fn() -> thread::Builder,
        other: impl FnOnce() -> Result<T, BadBlock>,
    ) -> Result<(T, Verdict), BadBlock> {
        let (output, mut found) = thread::scope(|scope| {
            let spawned = (0..helpers).map_while(|_| prepare().spawn_scoped(scope, move || self.check_shares()).ok());
            let workers: Vec<_> = spawned.collect();
            let output = other();
            if output.is_err() {
                // What the senders are is of no interest any more.
                self.next.store(self.transactions.len(), Ordering::Relaxed);
            }
            let mut found = self.check_shares();
            for worker in workers {
                found.extend(worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            (output, found)
        });
        let output = output?;
        found.sort_unstable_by_key(|(first, _)| *first);
        let mut verdict = Verdict::Ok;
        for (_, of_share) in found {
            verdict = verdict.and(of_share?);
        }
        Ok((output, verdict))
    }

    /// Takes shares until there are none; returns what was found, each with the place of the share's first transaction.
    fn check_shares(&self) -> Vec<(usize, Result<Verdict, BadBlock>)> {
        let mut found = Vec::new();
        loop {
            let first = self.next.fetch_add(self.share, Ordering::Relaxed);
            let Some(part) = self.transactions.get(first..).and_then(|left| left.chunks(self.share).next()) else {
                return found;
            };
            found.push((first, check_share(self.block, first, part)));
        }
    }
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
    use std::time::{Duration, Instant};

    use alloy::primitives::{Address, B256};
    use isotherm_types::BlockNumber;
    use serde_json::json;

    use super::*;

    fn block() -> BlockRef {
        BlockRef { number: BlockNumber(7), hash: B256::repeat_byte(7) }
    }

    /// That nobody has signed.
    fn transaction(transaction_type: &str) -> Transaction {
        let fields = json!({"type": transaction_type, "hash": B256::ZERO, "nonce": "0x0", "from": Address::ZERO,
            "value": "0x0", "input": "0x", "gas": "0x0", "gasPrice": "0x0", "v": "0x1b", "r": "0x0", "s": "0x0"});
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn where_no_thread_can_be_had_the_work_is_done_all_the_same() {
        // More than the address space of any processor.
        let too_large = || thread::Builder::new().stack_size(1 << 60);
        assert!(too_large().spawn(|| ()).is_err(), "no thread can have such a stack");
        let check = |transactions: &[Transaction]| {
            Work::of(block(), transactions, 2).check_beside(2, too_large, || Ok(())).map(|((), verdict)| verdict)
        };
        let unknown = vec![transaction("0x7e"); 3];
        let verdict = check(&unknown).unwrap();
        assert!(matches!(verdict, Verdict::NotVerifiable(_)), "{verdict:?}");
        let unsigned = [unknown, vec![transaction("0x0")]].concat();
        let bad = check(&unsigned).expect_err("nobody signed the last one");
        assert_eq!(bad, BadBlock::Signature { block: block(), index: 3, claimed: Address::ZERO });
    }

    #[test]
    fn senders_are_checked_while_other_work_is_done() {
        let unknown = vec![transaction("0x7e"); 5];
        let work = Work::of(block(), &unknown, 2);
        let began = Instant::now();
        let other = || {
            while work.next.load(Ordering::Relaxed) < unknown.len() {
                assert!(began.elapsed() < Duration::from_secs(60), "nobody takes a share");
                thread::yield_now();
            }
            Ok("done")
        };
        let (output, verdict) = work.check_beside(1, thread::Builder::new, other).unwrap();
        assert!(output == "done" && !verdict.is_ok(), "{verdict:?}");
    }

    #[test]
    fn what_is_untrue_beside_the_senders_is_told_first() {
        let unsigned = [transaction("0x0")];
        let other = || Err::<(), _>(BadBlock::NumberTooHigh { block: block() });
        let bad = Work::of(block(), &unsigned, 2).check_beside(1, thread::Builder::new, other);
        assert_eq!(bad.unwrap_err(), BadBlock::NumberTooHigh { block: block() });
    }

    #[test]
    fn work_is_shared_where_there_is_enough_of_it() {
        let cases = [(0, 8), (15, 8), (16, 8), (16, 1), (40, 8), (3_000, 2), (3_000, 8)];
        assert_eq!(cases.map(|(count, threads)| helpers(count, threads)), [0, 0, 1, 0, 2, 1, 7]);
    }
}
