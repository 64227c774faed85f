//! Headers as they pass, one after the other: each is the child of the one before, and some are looked for. Pure.

use std::collections::VecDeque;

use isotherm_types::{B256, BlockNumber, BlockRange, Dataset};

use super::fault::Fault;
use super::report::{Place, Problem, Report, SampledHeader};
use crate::manifest::DataFile;

/// What a row of `blocks` says of its place on the chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) number: BlockNumber,
    pub(super) hash: B256,
    pub(super) parent_hash: B256,
}

/// What is kept from header to header.
pub(super) struct Headers {
    /// The last block whose hash is known.
    last: Option<(BlockNumber, B256)>,
    anchor: Option<B256>,
    anchored: Option<BlockNumber>,
    sampled: Sampled,
}

/// Which headers are noted.
pub(super) enum Sampled {
    Every,
    /// These, in order.
    These(VecDeque<BlockNumber>),
}

impl Headers {
    pub(super) fn new(anchor: Option<B256>, sampled: Sampled) -> Self {
        Self { last: None, anchor, anchored: None, sampled }
    }

    /// Takes in the next header of the file at `object`.
    pub(super) fn take(&mut self, link: Link, object: &str, report: &mut Report) -> Result<(), Problem> {
        let Link { number, hash, parent_hash } = link;
        let before = self.last.replace((number, hash));
        if self.anchor == Some(hash) {
            self.anchored = Some(number);
        }
        if self.is_sampled(number) {
            report.headers.push(SampledHeader { number, hash, object: object.to_owned() });
        }
        match before {
            Some((before, last_hash)) if before.next() == number && last_hash != parent_hash => {
                let message =
                    format!("the parent of block {number} is {parent_hash}, but block {before} has hash {last_hash}");
                Err(Problem::new(Fault::ParentLink, message))
            }
            _ => Ok(()),
        }
    }

    /// Goes on after headers that cannot be read, which end where `file` does: of it at least the last hash is known.
    pub(super) fn pass_over(&mut self, end: BlockNumber, file: Option<&DataFile>) {
        let ends_here = file.filter(|file| file.blocks.end() == end);
        self.last = ends_here.map(|file| (file.blocks.last(), file.last_block_hash));
    }

    /// Says whether the trusted hash was found. `files` are those of `blocks` that were checked; `checked` is the range
    /// that they were checked for.
    pub(super) fn finish(self, checked: BlockRange, files: &[DataFile], report: &mut Report) {
        let Some(anchor) = self.anchor else { return };
        match (self.anchored, files.last()) {
            (None, Some(file)) => {
                let last = self.last.map_or_else(|| "unknown".to_owned(), |(_, hash)| hash.to_string());
                let message =
                    format!("no block of {checked} has the trusted hash {anchor}; the last one's hash is {last}");
                let place = Place { dataset: Dataset::Blocks, object: &file.key, blocks: checked };
                report.find(place, Problem::new(Fault::AnchorDiffers, message));
            }
            (Some(anchored), _) => {
                if let Ok(above) = BlockRange::new(anchored.next(), checked.end()) {
                    let reason =
                        format!("the trusted hash is that of block {anchored}, which says nothing of later blocks");
                    report.cannot_judge(Dataset::Blocks, above, &reason);
                }
            }
            (None, None) => {}
        }
    }

    fn is_sampled(&mut self, number: BlockNumber) -> bool {
        let Sampled::These(numbers) = &mut self.sampled else { return true };
        while numbers.front().is_some_and(|front| *front < number) {
            numbers.pop_front();
        }
        numbers.front() == Some(&number)
    }
}
