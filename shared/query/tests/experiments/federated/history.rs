//! What has happened so far, and when: which tip an answer may be of, and what there is to ask for.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use isotherm_types::{B256, BlockRef};

use super::chain::Block;

/// Tips in their order, and counts of everything that changed.
#[derive(Debug, Default)]
pub(crate) struct History {
    told: Mutex<Told>,
    pub(crate) reorgs: AtomicU64,
    pub(crate) appends: AtomicU64,
    /// Files that were committed, merged ones apart.
    pub(crate) compactions: AtomicU64,
    pub(crate) merges: AtomicU64,
    /// Leaves of hot storage that were dropped.
    pub(crate) cleanups: AtomicU64,
}

#[derive(Debug, Default)]
struct Told {
    tips: HashMap<B256, usize>,
    committed: usize,
    landmarks: Landmarks,
}

/// What there is to ask for. Of orphaned blocks too: their hashes must find nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Landmarks {
    pub(crate) tip: u64,
    pub(crate) finalized: Option<BlockRef>,
    pub(crate) block_hashes: Vec<B256>,
    pub(crate) transaction_hashes: Vec<B256>,
}

/// An instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Tips that were surely replaced or committed by then.
    committed: usize,
    /// Tips that may have been.
    announced: usize,
    pub(crate) changes: u64,
}

impl History {
    /// Blocks that end in a new tip are about to be committed.
    pub(crate) fn announce(&self, blocks: &[Block]) {
        let mut told = self.told.lock().unwrap();
        let place = told.tips.len() + 1;
        told.tips.insert(blocks.last().unwrap().hash, place);
        for block in blocks {
            told.landmarks.block_hashes.push(block.hash);
            told.landmarks.transaction_hashes.extend(&block.transaction_hashes);
        }
    }

    /// They are.
    pub(crate) fn commit(&self, tip: &Block) {
        let mut told = self.told.lock().unwrap();
        told.committed = told.tips.len();
        told.landmarks.tip = tip.number;
    }

    pub(crate) fn finalize(&self, block: BlockRef) {
        self.told.lock().unwrap().landmarks.finalized = Some(block);
    }

    pub(crate) fn landmarks(&self) -> Landmarks {
        self.told.lock().unwrap().landmarks.clone()
    }

    pub(crate) fn now(&self) -> Moment {
        let told = self.told.lock().unwrap();
        let counts = [&self.reorgs, &self.appends, &self.compactions, &self.merges, &self.cleanups];
        let changes = counts.into_iter().map(|count| count.load(Ordering::SeqCst)).sum();
        Moment { committed: told.committed, announced: told.tips.len(), changes }
    }

    /// Whether `tip` was the newest one at some instant between two others.
    pub(crate) fn was_tip(&self, tip: B256, since: Moment, until: Moment) -> bool {
        let place = self.told.lock().unwrap().tips.get(&tip).copied();
        place.is_some_and(|place| since.committed <= place && place <= until.announced)
    }
}
