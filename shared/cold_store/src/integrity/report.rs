//! What a check has found. Pure.

use isotherm_types::{B256, BlockNumber, BlockRange, Dataset};
use serde::Serialize;

use super::anchors::Anchors;
use super::fault::{Fault, Level};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Dataset of the object.
    pub dataset: Dataset,
    /// Key of the object that is wrong, or whose rows are.
    pub object: String,
    /// Blocks that it concerns; `None` if that cannot be said, as of a manifest.
    pub blocks: Option<BlockRange>,
    /// What it is.
    pub fault: Fault,
    /// The same as a sentence, with what was expected and what was found.
    pub message: String,
}

/// Something that may be right or wrong: it could not be checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unverifiable {
    /// The dataset.
    pub dataset: Dataset,
    /// Its blocks.
    pub blocks: BlockRange,
    /// Why not.
    pub reason: String,
    /// Whether the rows were read all the same, and only what they are held against is missing.
    pub was_read: bool,
}

/// A header of cold storage whose hash is to be compared with what endpoints say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SampledHeader {
    /// The block.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: B256,
    /// Key of the file of `blocks` that holds it.
    pub object: String,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How deep it looked.
    pub level: Level,
    /// Manifests that were read.
    pub manifests: u64,
    /// Data files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Headers that were hashed; 0 at level file.
    pub blocks: u64,
    /// What is wrong, by dataset and block.
    pub findings: Vec<Finding>,
    /// What could not be checked.
    pub unverifiable: Vec<Unverifiable>,
    /// Headers for endpoints to confirm, by number; none below level anchor.
    #[serde(skip)]
    pub headers: Vec<SampledHeader>,
}

/// Which rows a finding is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) dataset: Dataset,
    pub(super) object: &'a str,
    pub(super) blocks: BlockRange,
}

impl Report {
    pub(super) fn new(level: Level) -> Self {
        Self {
            level,
            manifests: 0,
            files: 0,
            bytes: 0,
            blocks: 0,
            findings: Vec::new(),
            unverifiable: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Whether nothing is wrong that was looked for. Something may be [`Unverifiable`] all the same.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Takes in what endpoints said of [`Report::headers`].
    pub fn add_anchors(&mut self, anchors: Anchors) {
        self.findings.extend(anchors.findings);
        self.unverifiable.extend(anchors.unverifiable);
        self.sort();
    }

    /// Takes in what is wrong with a manifest.
    pub(super) fn find_manifest(&mut self, dataset: Dataset, object: String, problem: Problem) {
        let Problem { fault, message } = problem;
        self.findings.push(Finding { dataset, object, blocks: None, fault, message });
    }

    /// Takes in what is wrong with rows. What is wrong with block after block in the same way is one finding, in the
    /// words of the first.
    pub(super) fn find(&mut self, place: Place<'_>, problem: Problem) {
        let Place { dataset, object, blocks } = place;
        let Problem { fault, message } = problem;
        for known in self.findings.iter_mut().rev().take(LOOK_BACK) {
            if (known.dataset, known.fault, known.object.as_str()) != (dataset, fault, object) {
                continue;
            }
            if let Some(joined) = known.blocks.and_then(|known| joined(known, blocks)) {
                known.blocks = Some(joined);
                return;
            }
        }
        self.findings.push(Finding { dataset, object: object.to_owned(), blocks: Some(blocks), fault, message });
    }

    /// Takes in rows that could not be read; neighbours for the same reason are one.
    pub(super) fn cannot_read(&mut self, dataset: Dataset, blocks: BlockRange, reason: &str) {
        self.cannot_verify(Unverifiable { dataset, blocks, reason: reason.to_owned(), was_read: false });
    }

    /// Takes in rows that were read and could not be judged; neighbours for the same reason are one.
    pub(super) fn cannot_judge(&mut self, dataset: Dataset, blocks: BlockRange, reason: &str) {
        self.cannot_verify(Unverifiable { dataset, blocks, reason: reason.to_owned(), was_read: true });
    }

    fn cannot_verify(&mut self, told: Unverifiable) {
        let Unverifiable { dataset, blocks, ref reason, was_read } = told;
        for known in self.unverifiable.iter_mut().rev().take(LOOK_BACK) {
            if (known.dataset, known.was_read, &known.reason) != (dataset, was_read, reason) {
                continue;
            }
            if let Some(joined) = joined(known.blocks, blocks) {
                known.blocks = joined;
                return;
            }
        }
        self.unverifiable.push(told);
    }

    /// Puts everything into the order of datasets and blocks; what concerns a whole dataset comes first.
    pub(super) fn sort(&mut self) {
        let start = |blocks: Option<BlockRange>| blocks.map(BlockRange::start);
        self.findings.sort_by_key(|finding| (finding.dataset, start(finding.blocks)));
        self.unverifiable.sort_by_key(|unverifiable| (unverifiable.dataset, unverifiable.blocks.start()));
    }
}

/// How many of the newest findings may go on with the next block: every fault in every dataset, at most.
const LOOK_BACK: usize = 4 * Fault::ALL.len();

/// What is wrong, without where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) fault: Fault,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into() }
    }
}

/// One run of both; `None` if `next` does not go on where `known` is.
fn joined(known: BlockRange, next: BlockRange) -> Option<BlockRange> {
    let adjoins = known.start() <= next.start() && next.start() <= known.end();
    let end = known.end().max(next.end());
    if adjoins { BlockRange::new(known.start(), end).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> BlockRange {
        BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
    }

    #[test]
    fn the_same_fault_in_neighbouring_blocks_is_one_finding() {
        let mut report = Report::new(Level::Chain);
        let mut find = |object, block: u64, fault| {
            let place = Place { dataset: Dataset::Logs, object, blocks: range(block, block + 1) };
            report.find(place, Problem::new(fault, format!("block {block}")));
        };
        for block in [3, 4, 6] {
            find("a", block, Fault::ReceiptsRoot);
            find("a", block, Fault::LogsBloom);
        }
        find("b", 7, Fault::ReceiptsRoot);
        let found: Vec<_> = report.findings.iter().map(|finding| (finding.blocks.unwrap(), finding.fault)).collect();
        let expected = [
            (range(3, 5), Fault::ReceiptsRoot),
            (range(3, 5), Fault::LogsBloom),
            (range(6, 7), Fault::ReceiptsRoot),
            (range(6, 7), Fault::LogsBloom),
            (range(7, 8), Fault::ReceiptsRoot),
        ];
        assert_eq!(found, expected);
        assert_eq!(report.findings[0].message, "block 3");
        assert!(!report.is_sound());
    }

    #[test]
    fn what_could_not_be_checked_is_told_by_runs_and_is_no_finding() {
        let mut report = Report::new(Level::Chain);
        report.cannot_read(Dataset::Logs, range(0, 5), "no headers");
        report.cannot_read(Dataset::Blocks, range(2, 3), "above the anchor");
        report.cannot_read(Dataset::Logs, range(5, 9), "no headers");
        report.sort();
        let told: Vec<_> = report.unverifiable.iter().map(|told| (told.dataset, told.blocks)).collect();
        assert_eq!(told, [(Dataset::Blocks, range(2, 3)), (Dataset::Logs, range(0, 9))]);
        assert!(report.is_sound());
    }
}
