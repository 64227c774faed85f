//! Evidence that waits to be written down. Bounded: of more, the newest is kept, as in the table.

use std::sync::{Mutex, MutexGuard, PoisonError};

use isotherm_hot_store::evidence::{Evidence, MOST_KEPT};

/// Pieces in the order of their time.
#[derive(Debug, Default)]
pub(super) struct Unwritten(Mutex<Vec<Evidence>>);

impl Unwritten {
    /// Adds pieces that are newer than all before.
    pub(super) fn add(&self, newer: Vec<Evidence>) {
        let mut pieces = self.pieces();
        pieces.extend(newer);
        bound(&mut pieces);
    }

    /// Takes all.
    pub(super) fn take(&self) -> Vec<Evidence> {
        std::mem::take(&mut *self.pieces())
    }

    /// Takes pieces back that could not be written down; they are older than what has come since.
    pub(super) fn put_back(&self, older: Vec<Evidence>) {
        let mut pieces = self.pieces();
        pieces.splice(0..0, older);
        bound(&mut pieces);
    }

    fn pieces(&self) -> MutexGuard<'_, Vec<Evidence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bound(pieces: &mut Vec<Evidence>) {
    let most = usize::try_from(MOST_KEPT).unwrap_or(usize::MAX);
    pieces.drain(..pieces.len().saturating_sub(most));
}

#[cfg(test)]
mod tests {
    use isotherm_types::B256;

    use super::*;

    fn pieces(numbers: std::ops::Range<u64>) -> Vec<Evidence> {
        let piece = |number| Evidence {
            served_at: "2026-11-26T10:00:00Z".parse().unwrap(),
            endpoint: "http://a:1".to_owned(),
            code: "chain.bad_hash".to_owned(),
            message: String::new(),
            block_number: None,
            block_hash: B256::ZERO,
            answer_sha256: String::new(),
            answer_bytes: number,
            answer_start: String::new(),
        };
        numbers.map(piece).collect()
    }

    fn numbers(pieces: Vec<Evidence>) -> Vec<u64> {
        pieces.into_iter().map(|piece| piece.answer_bytes).collect()
    }

    #[test]
    fn what_could_not_be_written_comes_before_what_came_since() {
        let unwritten = Unwritten::default();
        unwritten.add(pieces(0..2));
        let failed = unwritten.take();
        unwritten.add(pieces(2..4));
        unwritten.put_back(failed);
        assert_eq!(numbers(unwritten.take()), [0, 1, 2, 3]);
        assert!(unwritten.take().is_empty(), "it is taken once");
    }

    #[test]
    fn the_newest_are_kept_of_too_many() {
        let unwritten = Unwritten::default();
        unwritten.add(pieces(0..150));
        assert_eq!(numbers(unwritten.take()), (50..150).collect::<Vec<_>>());
        unwritten.add(pieces(100..190));
        unwritten.put_back(pieces(0..100));
        assert_eq!(numbers(unwritten.take()), (90..190).collect::<Vec<_>>());
    }
}
