//! The one way in which rows become the bytes of a data file.
//!
//! The blocks of the partition are known before the first row, or come run by run, each before its rows. Rows come
//! sorted, in batches of any size; they are checked one by one (columns, chain, order, range, the hash of their block,
//! how many each block has), cut into chunks and row groups at places that depend on the rows alone, and written to a
//! file without a name while its SHA-256 is taken. Same rows, same bytes: nothing of the clock, the
//! machine or the batches gets in. Memory holds one chunk of rows, and one row group as it is encoded; both are bounded
//! by their bytes, however large the rows are.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use isotherm_types::schema::SCHEMA_VERSION;

use crate::blocks::PartitionBlocks;
use crate::commit::StagedFile;
use crate::layout::Partition;
use crate::manifest::{DataFile, RootVerdicts};
use crate::scratch_file::ScratchFile;

mod bloom_filters;
mod chunks;
mod encoder;
mod error;
mod properties;
mod row_check;

pub use error::ParquetFileError;
pub use properties::CREATED_BY;

use chunks::Chunker;
use encoder::Encoder;
use row_check::RowCheck;

/// Program and version that manifests name as a file's writer.
pub const WRITER_VERSION: &str = concat!("isotherm ", env!("CARGO_PKG_VERSION"));

/// How far a writer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteProgress {
    /// Rows taken so far.
    pub row_count: u64,
    /// Row groups finished so far.
    pub row_group_count: usize,
}

/// Writes one partition's file: from blocks that are all known ([`PartitionWriter::create`]), or from blocks as they
/// come ([`PartitionWriter::create_growing`]), with the same bytes. Dropped before [`PartitionWriter::finish`], it leaves
/// nothing behind.
pub struct PartitionWriter {
    partition: Partition,
    check: RowCheck,
    chunker: Chunker,
    encoder: Encoder,
    scratch: PathBuf,
    written: ScratchFile,
}

impl PartitionWriter {
    /// Begins the file of `partition` as a file without a name on the disk of the folder `scratch`.
    ///
    /// `rows_per_block` is how many rows each block must have, in order; `None` if nobody knows.
    ///
    /// # Errors
    /// [`ParquetFileError::Blocks`] if `blocks` are not those of the partition; [`ParquetFileError::Scratch`] if the
    /// file cannot be made.
    pub fn create(
        partition: Partition,
        blocks: PartitionBlocks,
        rows_per_block: Option<Vec<u64>>,
        scratch: &Path,
    ) -> Result<Self, ParquetFileError> {
        let counts_fit = rows_per_block.as_ref().is_none_or(|rows| rows.len() == blocks.transaction_counts().len());
        if blocks.blocks() != partition.blocks || !counts_fit {
            return Err(ParquetFileError::Blocks { partition: partition.blocks, given: blocks.blocks() });
        }
        let check = RowCheck::new(&partition, blocks, rows_per_block);
        Self::begin(partition, check, scratch)
    }

    /// The same for blocks that are to come, by [`PartitionWriter::extend`].
    ///
    /// # Errors
    /// [`ParquetFileError::Scratch`] if the file cannot be made.
    pub fn create_growing(partition: Partition, scratch: &Path) -> Result<Self, ParquetFileError> {
        let check = RowCheck::growing(&partition);
        Self::begin(partition, check, scratch)
    }

    fn begin(partition: Partition, check: RowCheck, scratch: &Path) -> Result<Self, ParquetFileError> {
        let refused = |source| ParquetFileError::Scratch { path: scratch.to_path_buf(), source };
        let (written, file) = ScratchFile::create(scratch).map_err(refused)?;
        let encoder = Encoder::new(file, partition.dataset, properties::of(&partition))?;
        let scratch = scratch.to_path_buf();
        Ok(Self { partition, check, chunker: Chunker::default(), encoder, scratch, written })
    }

    /// Takes in the next blocks of the partition, before their rows: rows of `blocks` with at least
    /// [`crate::blocks::LINK_COLUMNS`], and how many rows of the dataset each of them must have.
    ///
    /// # Errors
    /// [`ParquetFileError::Links`] at the first block that is not the child of the one before, or not the next one;
    /// [`ParquetFileError::Counts`] if there is not one number for each block. The writer is of no use after.
    pub fn extend(&mut self, blocks: &RecordBatch, rows_per_block: &[u64]) -> Result<(), ParquetFileError> {
        self.check.extend(blocks, rows_per_block)
    }

    /// Takes the next rows, which have the columns of the dataset's schema in its order.
    ///
    /// # Errors
    /// The first row that does not belong here, or what encoding and writing report. The writer is of no use after.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<WriteProgress, ParquetFileError> {
        let mut rows = self.check.check(batch)?;
        while let Some(chunk) = self.chunker.next_chunk(&mut rows) {
            self.encode(&chunk)?;
        }
        Ok(self.progress())
    }

    /// How far it is.
    pub fn progress(&self) -> WriteProgress {
        WriteProgress { row_count: self.check.row_count(), row_group_count: self.encoder.row_group_count() }
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// [`ParquetFileError::Links`] if a block is missing; [`ParquetFileError::RowCount`] if one has not as many rows as
    /// it must; else what encoding and writing report.
    pub fn finish(mut self, roots: RootVerdicts) -> Result<StagedFile, ParquetFileError> {
        if let Some(chunk) = self.chunker.finish() {
            self.encode(&chunk)?;
        }
        let (blocks, row_count) = self.check.finish()?;
        let (encoded, digest) =
            self.encoder.finish().map_err(|error| ParquetFileError::of_writing(error, &self.scratch))?;
        assert_eq!(encoded, row_count, "every checked row is in a chunk, and every chunk is encoded");
        let file = DataFile {
            key: self.partition.object_key(),
            blocks: self.partition.blocks,
            row_count,
            size_bytes: digest.size_bytes,
            sha256: digest.sha256,
            first_block_hash: blocks.first_hash(),
            last_block_hash: blocks.last_hash(),
            schema_version: SCHEMA_VERSION,
            writer_version: WRITER_VERSION.to_owned(),
            roots,
        };
        Ok(StagedFile { partition: self.partition, parent_hash: blocks.parent_hash(), file, written: self.written })
    }

    fn encode(&mut self, chunk: &[RecordBatch]) -> Result<(), ParquetFileError> {
        let refused = |error| ParquetFileError::of_writing(error, &self.scratch);
        let encoded_bytes = self.encoder.write(chunk).map_err(refused)?;
        if self.chunker.ends_row_group(encoded_bytes) {
            self.encoder.end_row_group().map_err(refused)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for PartitionWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionWriter").field("partition", &self.partition).field("scratch", &self.scratch).finish()
    }
}
