//! Whether cold storage still is what was put there, found out from its objects alone.
//!
//! [`check`] walks the manifests of each dataset back to the first, reads every file that the newest one lists, and, at
//! [`Level::Chain`], lets the rows prove themselves: header hashes, parent links, roots. Whoever asks brings what it
//! trusts: the newest manifest's digest, the hash of a block, or what endpoints say ([`compare_anchors`]). Whatever is
//! wrong with the data is a [`Finding`] that names object and blocks, and the check goes on; an error says only that
//! the check could not be made. It changes nothing, and asks neither Postgres nor the chain.

use std::collections::HashMap;
use std::path::Path;

use isotherm_types::{B256, BlockRange, Commitments, Dataset};

use crate::catalog::DatasetHead;
use crate::digest::Sha256Digest;
use crate::error::ColdStoreError;
use crate::layout::ChainName;
use crate::objects::ObjectStore;

mod anchors;
mod chain;
mod fault;
mod files;
mod headers;
mod join;
mod manifests;
mod report;
mod root_faults;
mod rows;
mod segments;

pub use anchors::{Anchors, EndpointAnswers, Sampling, compare_anchors, sample};
pub use fault::{Fault, Level, UnknownLevel};
pub use report::{Finding, Report, SampledHeader, Unverifiable};

use files::Shelf;

/// The newest manifest of a dataset, as somebody knows it who is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestHead {
    /// Its version.
    pub version: u64,
    /// Digest of its bytes.
    pub sha256: Sha256Digest,
}

impl From<&DatasetHead> for ManifestHead {
    fn from(head: &DatasetHead) -> Self {
        Self { version: head.manifest_version, sha256: head.manifest_sha256 }
    }
}

/// What is to be checked, and against what.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Cold storage.
    pub objects: &'a ObjectStore,
    /// The chain.
    pub chain: &'a ChainName,
    /// Its datasets. Those that a level needs besides are checked too.
    pub datasets: Vec<Dataset>,
    /// The newest manifest of each; where there is none, the newest that is stored is believed.
    pub heads: HashMap<Dataset, ManifestHead>,
    /// Only files with some of these blocks, and only these rows; `None` for all.
    pub blocks: Option<BlockRange>,
    /// How deep to look.
    pub level: Level,
    /// A hash that some block must have; by their links, all blocks below it are trusted then. Looked for from
    /// [`Level::Chain`] on.
    pub anchor: Option<B256>,
    /// Which headers [`Report::headers`] gets at [`Level::Anchor`].
    pub sampling: Sampling,
    /// Folder for copies of files; they have no names, and one of each dataset is there at a time.
    pub scratch: &'a Path,
    /// Memory for decoded rows, about.
    pub at_most_bytes: usize,
}

/// How far a check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files that were read.
    pub files: u64,
    /// Of how many.
    pub of_files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Of how many.
    pub of_bytes: u64,
    /// Headers that were hashed.
    pub blocks: u64,
}

/// Checks cold storage. Run it within a runtime of tokio.
///
/// # Errors
/// What S3 reports but for absent objects, and a scratch folder that cannot be written: the check can be repeated.
pub async fn check(plan: &Plan<'_>, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, ColdStoreError> {
    check_by(plan, &Commitments::ALL, progress).await
}

/// The same, but rows are held only against those of `commitments` that count in their block; which do not is said.
///
/// # Errors
/// As [`check`].
pub async fn check_by(
    plan: &Plan<'_>,
    commitments: &Commitments,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, ColdStoreError> {
    let mut report = Report::new(plan.level);
    let mut shelves = Vec::new();
    for dataset in needed(&plan.datasets, plan.level) {
        if let Some(manifest) = manifests::walk(plan, dataset, &mut report).await? {
            shelves.push(Shelf::new(manifest, plan.blocks));
        }
    }
    let mut meter = Meter::new(&shelves, progress);
    let mut report = match plan.level {
        Level::File => {
            files::check(plan, &shelves, &mut report, &mut meter).await?;
            report
        }
        Level::Chain | Level::Anchor => chain::check(plan, commitments, &shelves, report, &mut meter).await?,
    };
    report.sort();
    Ok(report)
}

/// The datasets that must be read to check `asked` as deep as `level`.
fn needed(asked: &[Dataset], level: Level) -> Vec<Dataset> {
    let is_needed = |dataset: &Dataset| match dataset {
        // Everything is held against headers.
        Dataset::Blocks if level > Level::File => !asked.is_empty(),
        // Receipts are made of both, and headers say what they must come to.
        Dataset::Transactions | Dataset::Logs if level > Level::File => {
            asked.iter().any(|asked| *asked != Dataset::Traces)
        }
        Dataset::Blocks | Dataset::Transactions | Dataset::Logs | Dataset::Traces => asked.contains(dataset),
    };
    Dataset::ALL.into_iter().filter(is_needed).collect()
}

/// Says how far a check is.
struct Meter<'a> {
    of_files: u64,
    of_bytes: u64,
    progress: &'a mut (dyn FnMut(Progress) + Send),
}

impl<'a> Meter<'a> {
    fn new(shelves: &[Shelf], progress: &'a mut (dyn FnMut(Progress) + Send)) -> Self {
        let of_files = shelves.iter().map(|shelf| shelf.files.len() as u64).sum();
        let of_bytes = shelves.iter().map(Shelf::size_bytes).sum();
        Self { of_files, of_bytes, progress }
    }

    fn show(&mut self, report: &Report) {
        let Report { files, bytes, blocks, .. } = *report;
        let Self { of_files, of_bytes, .. } = *self;
        (self.progress)(Progress { files, of_files, bytes, of_bytes, blocks });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_reads_what_it_needs_and_no_more() {
        use Dataset::{Blocks, Logs, Traces, Transactions};
        assert_eq!(needed(&[Logs, Traces], Level::File), [Logs, Traces]);
        assert_eq!(needed(&[Traces], Level::Chain), [Blocks, Traces]);
        assert_eq!(needed(&[Blocks], Level::Chain), [Blocks, Transactions, Logs]);
        assert_eq!(needed(&[Traces, Logs], Level::Anchor), Dataset::ALL);
        assert_eq!(needed(&[], Level::Chain), []);
    }
}
