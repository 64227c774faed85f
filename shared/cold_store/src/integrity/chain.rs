//! Rows against headers: the four datasets side by side, segment by segment, from files alone.
//!
//! A segment is checked as far as its files go: with `blocks` alone the headers and how they are linked, with
//! `transactions` and `logs` the roots too, with `traces` that they are of these blocks. What a broken or absent file
//! leaves unchecked is told, and the next segment goes on. Decoding and hashing run on a thread that may block.

use arrow::array::AsArray;
use isotherm_types::{B256, BlockNumber, BlockRange, Commitments, Dataset};

use super::anchors::{Sampling, sample};
use super::fault::{Fault, Level};
use super::files::{Shelf, fetch};
use super::headers::{Headers, Sampled};
use super::join::{self, Joined};
use super::report::{Place, Problem, Report};
use super::rows::{FileRows, block_numbers, column};
use super::segments::segments;
use super::{Meter, Plan, needed};
use crate::error::ColdStoreError;
use crate::layout;
use crate::manifest::DataFile;

/// A file that is being read.
pub(super) struct Open {
    place: usize,
    pub(super) file: DataFile,
    /// `None` once it was found to be broken.
    pub(super) rows: Option<FileRows>,
}

/// What goes from segment to segment.
struct Pass {
    report: Report,
    headers: Headers,
    commitments: Commitments,
    /// Whether transactions and logs were asked for, or only what hangs on headers.
    with_roots: bool,
    /// By dataset, in the order of [`Dataset::ALL`].
    open: [Option<Open>; 4],
}

/// Checks all files of `shelves`, and the rows in them.
pub(super) async fn check(
    plan: &Plan<'_>,
    commitments: &Commitments,
    shelves: &[Shelf],
    report: Report,
    meter: &mut Meter<'_>,
) -> Result<Report, ColdStoreError> {
    let by_dataset = Dataset::ALL.map(|dataset| shelves.iter().find(|shelf| shelf.dataset == dataset));
    let ranges: [Vec<BlockRange>; 4] = by_dataset.map(|shelf| files_of(shelf).iter().map(|file| file.blocks).collect());
    let header_files = files_of(by_dataset[Dataset::Blocks as usize]);
    let checked = checked_range(header_files, plan.blocks);

    let headers = Headers::new(plan.anchor, sampled(plan, checked));
    let with_roots = needed(&plan.datasets, plan.level).contains(&Dataset::Transactions);
    let commitments = *commitments;
    let mut pass = Pass { report, headers, commitments, with_roots, open: [const { None }; 4] };
    for segment in segments(&ranges, plan.blocks) {
        for (slot, (shelf, place)) in by_dataset.into_iter().zip(segment.files).enumerate() {
            if pass.open[slot].as_ref().map(|open| open.place) == place {
                continue;
            }
            pass.open[slot] = None;
            if let (Some(shelf), Some(place)) = (shelf, place) {
                let file = shelf.files[place].clone();
                let rows = fetch(plan, shelf, &file, &mut pass.report).await?;
                pass.open[slot] = Some(Open { place, file, rows });
                meter.show(&pass.report);
            }
        }
        let checking = tokio::task::spawn_blocking(move || {
            pass.check(segment.blocks);
            pass
        });
        pass = match checking.await {
            Ok(pass) => pass,
            // Nobody cancels it.
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        meter.show(&pass.report);
    }
    let Pass { mut report, headers, .. } = pass;
    match (checked, plan.anchor) {
        (Some(checked), _) => headers.finish(checked, header_files, &mut report),
        (None, Some(anchor)) => {
            let message = format!("nothing of blocks is there, so that no block has the trusted hash {anchor}");
            let first = layout::manifest_key(plan.chain, Dataset::Blocks, 1);
            report.find_manifest(Dataset::Blocks, first, Problem::new(Fault::AnchorDiffers, message));
        }
        (None, None) => {}
    }
    Ok(report)
}

fn files_of(shelf: Option<&Shelf>) -> &[DataFile] {
    match shelf {
        Some(shelf) => &shelf.files,
        None => &[],
    }
}

/// Blocks whose headers are checked; `None` if there are none.
fn checked_range(files: &[DataFile], within: Option<BlockRange>) -> Option<BlockRange> {
    let (first, last) = (files.first()?, files.last()?);
    let all = BlockRange::new(first.blocks.start(), last.blocks.end()).ok()?;
    within.map_or(Some(all), |within| all.intersection(within))
}

/// Which headers are noted for endpoints.
fn sampled(plan: &Plan<'_>, checked: Option<BlockRange>) -> Sampled {
    let none = Sampled::These([].into());
    match (plan.sampling, checked) {
        _ if plan.level < Level::Anchor => none,
        (Sampling::None, _) | (_, None) => none,
        (Sampling::Every, Some(_)) => Sampled::Every,
        (Sampling::Some { count, seed }, Some(checked)) => Sampled::These(sample(checked, count, seed).into()),
    }
}

impl Pass {
    /// Checks the rows of `blocks` in the files that are open.
    fn check(&mut self, blocks: BlockRange) {
        let Self { report, headers, commitments, with_roots, open } = self;
        let why_not = |dataset: Dataset| why_not(dataset, open[dataset as usize].as_ref());
        if let Some(reason) = why_not(Dataset::Blocks) {
            headers.pass_over(blocks.end(), header_file(open));
            cannot_read(report, open, blocks, &reason);
            return;
        }
        let lacking = [Dataset::Transactions, Dataset::Logs].into_iter().find_map(why_not);
        let untraced = why_not(Dataset::Traces).filter(|_| open[Dataset::Traces as usize].is_some());
        if let Some(reason) = untraced {
            report.cannot_read(Dataset::Traces, blocks, &reason);
        }
        let joined = match lacking {
            None => join::with_roots(blocks, open, headers, commitments, report),
            Some(reason) => {
                for dataset in [Dataset::Transactions, Dataset::Logs].into_iter().filter(|_| *with_roots) {
                    report.cannot_read(dataset, blocks, &reason);
                }
                join::headers_only(blocks, open, headers, commitments, report)
            }
        };
        self.check_ends(&joined);
        self.check_traces(&joined);
        self.close_broken(&joined);
    }

    /// The hashes that manifests list for the first and last block of a file are those of the headers.
    fn check_ends(&mut self, joined: &Joined) {
        for (dataset, open) in Dataset::ALL.into_iter().zip(&self.open) {
            let Some(Open { file, .. }) = open else { continue };
            let (first, last) = (file.blocks.start(), file.blocks.last());
            for (block, listed) in [(first, file.first_block_hash), (last, file.last_block_hash)] {
                let Some(found) = joined.hash(block).filter(|found| *found != listed) else { continue };
                let message = format!("the manifest lists hash {listed} for block {block}, whose hash is {found}");
                let place = Place { dataset, object: &file.key, blocks: BlockRange::single(block) };
                self.report.find(place, Problem::new(Fault::EndHash, message));
            }
        }
    }

    /// Every trace is of a block whose header is there.
    fn check_traces(&mut self, joined: &Joined) {
        let Self { report, open, .. } = self;
        let dataset = Dataset::Traces;
        let Some(Open { file, rows: Some(rows), .. }) = &mut open[dataset as usize] else { return };
        for batch in rows.of(joined.blocks()).map_while(Result::ok) {
            let hashes = column(&batch, "block_hash").as_fixed_size_binary();
            for (row, number) in block_numbers(&batch).iter().enumerate() {
                let block = BlockNumber(u64::from(*number));
                let named = B256::from_slice(hashes.value(row));
                if let Some(hash) = joined.hash(block).filter(|hash| *hash != named) {
                    let place = Place { dataset, object: &file.key, blocks: BlockRange::single(block) };
                    report.find(place, join::of_other_block(block, hash, named));
                }
            }
        }
    }

    /// Takes in which files turned out to be broken as they were read, and what is left unchecked for that.
    fn close_broken(&mut self, joined: &Joined) {
        let Self { report, headers, open, .. } = self;
        let mut broken = None;
        for (dataset, open) in Dataset::ALL.into_iter().zip(open.iter_mut()) {
            let Some(open) = open else { continue };
            let Some(problem) = open.rows.as_ref().and_then(FileRows::problem).cloned() else { continue };
            report.find(Place { dataset, object: &open.file.key, blocks: open.file.blocks }, problem);
            open.rows = None;
            let reason = unusable(&open.file);
            if dataset == Dataset::Traces {
                report.cannot_read(dataset, joined.blocks(), &reason);
            } else {
                broken = broken.or(Some(reason));
            }
        }
        if let (Some(reason), Some(unread)) = (broken, joined.unread()) {
            cannot_read(report, open, unread, &reason);
            headers.pass_over(unread.end(), header_file(open));
        }
    }
}

/// Nothing that is open can be held against headers.
fn cannot_read(report: &mut Report, open: &[Option<Open>; 4], blocks: BlockRange, reason: &str) {
    for (dataset, _) in Dataset::ALL.into_iter().zip(open).filter(|(_, open)| open.is_some()) {
        report.cannot_read(dataset, blocks, reason);
    }
}

fn header_file(open: &[Option<Open>; 4]) -> Option<&DataFile> {
    open[Dataset::Blocks as usize].as_ref().map(|open| &open.file)
}

/// Why the rows of a dataset cannot be read; `None` if they can.
fn why_not(dataset: Dataset, open: Option<&Open>) -> Option<String> {
    match open {
        None => Some(format!("no file of {dataset} holds these blocks")),
        Some(Open { rows: None, file, .. }) => Some(unusable(file)),
        Some(Open { rows: Some(_), .. }) => None,
    }
}

fn unusable(file: &DataFile) -> String {
    format!("{} cannot be used", file.key)
}
