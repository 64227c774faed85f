//! Headers of a segment, and the rows that each of them commits to.
//!
//! Goes from header to header; the rows of `transactions` and `logs` are taken along, one block of them in memory. It
//! stops where a file turns out to be broken, and says how far it came. What [`crate::roots`] says of a block is put
//! into the words of a finding here.

use std::ops::ControlFlow;

use arrow::array::{Array, AsArray, RecordBatch};
use isotherm_types::{B256, BlockNumber, BlockRange, Commitments, Dataset};

use super::chain::Open;
use super::fault::Fault;
use super::headers::{Headers, Link};
use super::report::{Place, Problem, Report};
use super::root_faults;
use super::rows::{FileRows, RowsOf, block_numbers, column};
use crate::manifest::DataFile;
use crate::roots::{self, BlockRows};

/// Hashes of a segment's blocks, as far as their headers were read.
pub(super) struct Joined {
    blocks: BlockRange,
    hashes: Vec<Option<B256>>,
    /// First block whose rows were not read; the segment's end if all were.
    read_to: BlockNumber,
}

impl Joined {
    fn new(blocks: BlockRange) -> Self {
        Self { blocks, hashes: Vec::new(), read_to: blocks.start() }
    }

    /// The segment.
    pub(super) fn blocks(&self) -> BlockRange {
        self.blocks
    }

    /// Hash of `block`; `None` if it is not of the segment, or has no header there.
    pub(super) fn hash(&self, block: BlockNumber) -> Option<B256> {
        let place = usize::try_from(block.0.checked_sub(self.blocks.start().0)?).ok()?;
        self.hashes.get(place).copied().flatten()
    }

    /// Blocks that were not reached; `None` if all were.
    pub(super) fn unread(&self) -> Option<BlockRange> {
        BlockRange::new(self.read_to, self.blocks.end()).ok()
    }

    /// Takes in the next header of the segment. Headers come in ascending order.
    fn take(&mut self, link: Link) {
        while self.blocks.start().0 + (self.hashes.len() as u64) < link.number.0 {
            self.hashes.push(None);
        }
        self.hashes.push(Some(link.hash));
        self.read_to = link.number.next();
    }

    /// Everything was read: blocks without a header have none.
    fn finish(&mut self, file: &DataFile, report: &mut Report) {
        self.read_to = self.blocks.end();
        for block in (self.blocks.start().0..self.blocks.end().0).map(BlockNumber) {
            if self.hash(block).is_none() {
                let problem = Problem::new(Fault::CountDiffers, format!("block {block} has no row"));
                report.find(place(Dataset::Blocks, file, BlockRange::single(block)), problem);
            }
        }
    }
}

/// Checks headers by themselves: hash, and parent.
pub(super) fn headers_only(
    blocks: BlockRange,
    open: &mut [Option<Open>; 4],
    headers: &mut Headers,
    commitments: &Commitments,
    report: &mut Report,
) -> Joined {
    let [header_file, ..] = open;
    let Some((file, rows)) = readable(header_file) else { return Joined::new(blocks) };
    each_header(rows, (blocks, file), report, |batch, row, link, report| {
        take_header(link, file, headers, commitments, report);
        tell_exceptions(link.number, &[Dataset::Blocks], commitments, report);
        let place = place(Dataset::Blocks, file, BlockRange::single(link.number));
        match roots::header_hash(batch, row) {
            Ok(_) if !commitments.header_hash.holds_at(link.number) => {}
            Ok(computed) if computed == link.hash => {}
            Ok(computed) => {
                let (number, hash) = (link.number, link.hash);
                let message = format!("the header of block {number} hashes to {computed}, but its hash is {hash}");
                report.find(place, Problem::new(Fault::HeaderHash, message));
            }
            Err(fault) => root_faults::take(&fault, place, report),
        }
        ControlFlow::Continue(())
    })
}

/// Checks headers, and that transactions, receipts and logs are those that they commit to.
pub(super) fn with_roots(
    blocks: BlockRange,
    open: &mut [Option<Open>; 4],
    headers: &mut Headers,
    commitments: &Commitments,
    report: &mut Report,
) -> Joined {
    let [header_file, transactions, logs, _] = open;
    let (Some((file, rows)), Some(transactions), Some(logs)) =
        (readable(header_file), readable(transactions), readable(logs))
    else {
        return Joined::new(blocks);
    };
    let mut transactions = Side::new(Dataset::Transactions, transactions, blocks);
    let mut logs = Side::new(Dataset::Logs, logs, blocks);
    let mut joined = each_header(rows, (blocks, file), report, |batch, row, link, report| {
        let sides = (transactions.of_block(link.number), logs.of_block(link.number));
        let (Ok(transaction_rows), Ok(log_rows)) = sides else { return ControlFlow::Break(()) };
        take_header(link, file, headers, commitments, report);
        tell_exceptions(link.number, &Dataset::ALL, commitments, report);
        let single = BlockRange::single(link.number);
        for (side, rows) in [(&transactions, &transaction_rows), (&logs, &log_rows)] {
            if let Some(named) = other_hash(rows, link.hash) {
                report.find(place(side.dataset, side.file, single), of_other_block(link.number, link.hash, named));
            }
        }
        let block = BlockRows { header: (batch, row), transactions: &transaction_rows, logs: &log_rows };
        if let Err(fault) = roots::check_block_by(&block, commitments) {
            let dataset = root_faults::dataset_of(&fault);
            let file = match dataset {
                Dataset::Transactions => transactions.file,
                Dataset::Logs => logs.file,
                Dataset::Blocks | Dataset::Traces => file,
            };
            root_faults::take(&fault, place(dataset, file, single), report);
        }
        ControlFlow::Continue(())
    });
    for side in [&mut transactions, &mut logs] {
        if joined.unread().is_none() && !side.pass_rest() {
            // The broken file's last rows belong to no block that is known.
            joined.read_to = blocks.last();
        }
        side.tell_strays(blocks, report);
    }
    joined
}

/// Reads headers one by one until `check` breaks off or the file turns out to be broken.
fn each_header(
    rows: &mut FileRows,
    (blocks, file): (BlockRange, &DataFile),
    report: &mut Report,
    mut check: impl FnMut(&RecordBatch, usize, Link, &mut Report) -> ControlFlow<()>,
) -> Joined {
    let mut joined = Joined::new(blocks);
    for batch in rows.of(blocks) {
        let Ok(batch) = batch else { return joined };
        for row in 0..batch.num_rows() {
            let link = link(&batch, row);
            if check(&batch, row, link, report).is_break() {
                return joined;
            }
            joined.take(link);
        }
    }
    joined.finish(file, report);
    joined
}

fn link(batch: &RecordBatch, row: usize) -> Link {
    let hash = |name| B256::from_slice(column(batch, name).as_fixed_size_binary().value(row));
    Link {
        number: BlockNumber(u64::from(block_numbers(batch)[row])),
        hash: hash("block_hash"),
        parent_hash: hash("parent_hash"),
    }
}

fn take_header(link: Link, file: &DataFile, headers: &mut Headers, commitments: &Commitments, report: &mut Report) {
    report.blocks += 1;
    match headers.take(link, &file.key, report) {
        Err(problem) if commitments.parent_hash.holds_at(link.number) => {
            report.find(place(Dataset::Blocks, file, BlockRange::single(link.number)), problem);
        }
        Err(_) | Ok(()) => {}
    }
}

/// Says what rows of `datasets` are not held against in the block at `number`.
fn tell_exceptions(number: BlockNumber, datasets: &[Dataset], commitments: &Commitments, report: &mut Report) {
    for (dataset, reason) in commitments.exceptions(number).filter(|(dataset, _)| datasets.contains(dataset)) {
        report.cannot_judge(dataset, BlockRange::single(number), &reason);
    }
}

/// The rows of a dataset beside the headers.
struct Side<'a> {
    dataset: Dataset,
    file: &'a DataFile,
    rows: RowsOf<'a>,
    /// Rows that are not taken yet: from this one of the batch on.
    left: Option<(RecordBatch, usize)>,
    /// Rows of blocks that have no header.
    strays: u64,
}

/// The file is broken.
struct Broken;

impl<'a> Side<'a> {
    fn new(dataset: Dataset, (file, rows): (&'a DataFile, &'a mut FileRows), blocks: BlockRange) -> Self {
        Self { dataset, file, rows: rows.of(blocks), left: None, strays: 0 }
    }

    /// The rows of `block`. Those before it are of blocks without a header.
    fn of_block(&mut self, block: BlockNumber) -> Result<Vec<RecordBatch>, Broken> {
        let mut found = Vec::new();
        while let Some((batch, at)) = self.next_rows()? {
            let numbers = &block_numbers(&batch)[at..];
            let before = numbers.partition_point(|number| u64::from(*number) < block.0);
            let upto = numbers.partition_point(|number| u64::from(*number) <= block.0);
            let is_whole = upto < numbers.len();
            self.strays += before as u64;
            if before < upto {
                found.push(batch.slice(at + before, upto - before));
            }
            if is_whole {
                self.left = Some((batch, at + upto));
                break;
            }
        }
        Ok(found)
    }

    /// Counts what is left after the last header; `false` if the file is broken.
    fn pass_rest(&mut self) -> bool {
        loop {
            match self.next_rows() {
                Ok(Some((batch, at))) => self.strays += (batch.num_rows() - at) as u64,
                Ok(None) => return true,
                Err(Broken) => return false,
            }
        }
    }

    fn next_rows(&mut self) -> Result<Option<(RecordBatch, usize)>, Broken> {
        if let Some(left) = self.left.take() {
            return Ok(Some(left));
        }
        match self.rows.next() {
            Some(Ok(batch)) => Ok(Some((batch, 0))),
            Some(Err(_)) => Err(Broken),
            None => Ok(None),
        }
    }

    fn tell_strays(&self, blocks: BlockRange, report: &mut Report) {
        if self.strays > 0 {
            let message = format!("{} rows are of blocks that have no header", self.strays);
            report.find(place(self.dataset, self.file, blocks), Problem::new(Fault::CountDiffers, message));
        }
    }
}

fn readable(open: &mut Option<Open>) -> Option<(&DataFile, &mut FileRows)> {
    let Open { file, rows, .. } = open.as_mut()?;
    Some((&*file, rows.as_mut()?))
}

fn place(dataset: Dataset, file: &DataFile, blocks: BlockRange) -> Place<'_> {
    Place { dataset, object: &file.key, blocks }
}

/// The hash of another block that one of the rows names.
fn other_hash(rows: &[RecordBatch], hash: B256) -> Option<B256> {
    let hashes = rows.iter().map(|batch| column(batch, "block_hash").as_fixed_size_binary());
    let mut named = hashes.flat_map(|hashes| (0..hashes.len()).map(move |row| hashes.value(row)));
    named.find(|named| *named != hash.as_slice()).map(B256::from_slice)
}

/// A row of `block`, whose hash is `hash`, names the hash `named`.
pub(super) fn of_other_block(block: BlockNumber, hash: B256, named: B256) -> Problem {
    Problem::new(Fault::RowBlock, format!("a row of block {block} names the hash {named}, but the block's is {hash}"))
}
