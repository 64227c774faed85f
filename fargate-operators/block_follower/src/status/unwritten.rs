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

    /// Takes all. They come back unless they are [`Taken::forget`]ten, also from a writer that is stopped midway.
    pub(super) fn take(&self) -> Taken<'_> {
        let pieces = std::mem::take(&mut *self.pieces());
        Taken { from: self, pieces }
    }

    /// Takes pieces back that could not be written down; they are older than what has come since.
    fn put_back(&self, older: Vec<Evidence>) {
        let mut pieces = self.pieces();
        pieces.splice(0..0, older);
        bound(&mut pieces);
    }

    fn pieces(&self) -> MutexGuard<'_, Vec<Evidence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pieces that are being written down.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    from: &'a Unwritten,
    pieces: Vec<Evidence>,
}

impl Taken<'_> {
    /// The pieces, in the order of their time.
    pub(super) fn pieces(&self) -> &[Evidence] {
        &self.pieces
    }

    /// They are written down.
    pub(super) fn forget(mut self) {
        self.pieces.clear();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.from.put_back(std::mem::take(&mut self.pieces));
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

    /// What is there, which is written down by that.
    fn numbers(unwritten: &Unwritten) -> Vec<u64> {
        let taken = unwritten.take();
        let numbers = taken.pieces().iter().map(|piece| piece.answer_bytes).collect();
        taken.forget();
        numbers
    }

    #[test]
    fn what_could_not_be_written_comes_before_what_came_since() {
        let unwritten = Unwritten::default();
        unwritten.add(pieces(0..2));
        let failed = unwritten.take();
        unwritten.add(pieces(2..4));
        drop(failed);
        assert_eq!(numbers(&unwritten), [0, 1, 2, 3]);
        assert!(numbers(&unwritten).is_empty(), "it is taken once");
    }

    #[test]
    fn the_newest_are_kept_of_too_many() {
        let unwritten = Unwritten::default();
        unwritten.add(pieces(0..150));
        assert_eq!(numbers(&unwritten), (50..150).collect::<Vec<_>>());
        unwritten.add(pieces(100..190));
        unwritten.put_back(pieces(0..100));
        assert_eq!(numbers(&unwritten), (90..190).collect::<Vec<_>>());
    }
}
