//! Blocks of cold files that are kept in memory: those that were asked for last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use isotherm_cold_store::Sha256Digest;
use lru::LruCache;

/// Length of a block; a file's last one is shorter. Of a footer, a Bloom filter or the pages of a few rows it is what a
/// request to S3 costs anyway: some milliseconds, in which S3 sends a multiple of it.
pub(super) const BLOCK_BYTES: u64 = 64 << 10;

/// What a kept block weighs beside its bytes: its entry, its digest, its `ETag`.
const ENTRY_BYTES: u64 = 256;

/// The bytes of a file: what was committed, and by what S3 knows the object that was found to be it. The `ETag` tells objects
/// apart of which S3 has no digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Digest that was committed.
    pub sha256: Sha256Digest,
    /// S3's name for the object that was looked up.
    pub e_tag: Arc<str>,
}

/// The kept blocks.
#[derive(Debug)]
pub(super) struct Blocks {
    most_bytes: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    blocks: LruCache<(FileId, u64), Bytes>,
    bytes: u64,
}

impl Blocks {
    /// Room for `most_bytes`.
    pub(super) fn of(most_bytes: u64) -> Self {
        Self { most_bytes, kept: Mutex::new(Kept { blocks: LruCache::unbounded(), bytes: 0 }) }
    }

    pub(super) fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    /// The block `number` of a file, from 0.
    pub(super) fn get(&self, file: &FileId, number: u64) -> Option<Bytes> {
        self.kept().blocks.get(&(file.clone(), number)).cloned()
    }

    /// Whether it is kept; that it was asked does not count as its use.
    pub(super) fn has(&self, file: &FileId, number: u64) -> bool {
        self.kept().blocks.contains(&(file.clone(), number))
    }

    /// Keeps a block, whose memory must be its own; those that were not used for longest make room for it.
    pub(super) fn keep(&self, file: &FileId, number: u64, block: Bytes) {
        let weight = |block: &Bytes| block.len() as u64 + ENTRY_BYTES;
        let mut kept = self.kept();
        kept.bytes += weight(&block);
        if let Some(before) = kept.blocks.put((file.clone(), number), block) {
            kept.bytes -= weight(&before);
        }
        while kept.bytes > self.most_bytes {
            let Some((_, oldest)) = kept.blocks.pop_lru() else { break };
            kept.bytes -= weight(&oldest);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing that holds it panics.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, e_tag: &str) -> FileId {
        FileId { sha256: Sha256Digest::of(name.as_bytes()), e_tag: e_tag.into() }
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let block = |filling: u8| Bytes::from(vec![filling; 1_000]);
        let blocks = Blocks::of(3 * (1_000 + ENTRY_BYTES));
        let one = file("a", "1");
        for number in 0..3 {
            blocks.keep(&one, number, block(1));
        }
        assert!(blocks.get(&one, 0).is_some());
        // Being asked for is no use of it.
        assert!(blocks.has(&one, 1));
        blocks.keep(&one, 3, block(2));
        assert_eq!([0, 1, 2, 3].map(|number| blocks.has(&one, number)), [true, false, true, true]);
        // Kept twice it weighs once.
        blocks.keep(&one, 3, block(3));
        assert_eq!(blocks.get(&one, 3), Some(block(3)));
        assert!(blocks.has(&one, 0) && blocks.has(&one, 2));
        // Longer than there is room: nothing is left, and nothing is wrong.
        blocks.keep(&one, 4, Bytes::from(vec![0; 10_000]));
        assert!(!(0..5).any(|number| blocks.has(&one, number)));
        blocks.keep(&one, 5, block(1));
        assert!(blocks.has(&one, 5));
    }

    #[test]
    fn another_object_has_other_blocks() {
        let blocks = Blocks::of(1 << 20);
        blocks.keep(&file("a", "1"), 0, Bytes::from_static(b"x"));
        assert_eq!(blocks.get(&file("a", "2"), 0), None);
        assert_eq!(blocks.get(&file("b", "1"), 0), None);
    }
}
