//! The one way in which rows become the bytes of a data file.
//!
//! Rows come sorted, in batches of any size; they are checked one by one (columns, chain, order, range, the hash of
//! their block, how many each block has), cut into chunks and row groups at places that depend on the rows alone,
//! and written to a temporary file while its SHA-256 is taken. Same rows, same bytes: nothing of the clock, the
//! machine or the batches gets in. Memory holds one row group, whose raw size is bounded.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use isotherm_types::schema::SCHEMA_VERSION;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::RowGroupMetaData;
use tempfile::TempPath;

use crate::blocks::PartitionBlocks;
use crate::commit::StagedFile;
use crate::digest::RunningDigest;
use crate::layout::Partition;
use crate::manifest::{DataFile, RootVerdicts};

mod chunks;
mod error;
mod properties;
mod row_check;

pub use error::ParquetFileError;
pub use properties::CREATED_BY;

use chunks::{Chunk, Chunker};
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

/// Writes one partition's file. Dropped before [`PartitionWriter::finish`], it leaves nothing behind.
pub struct PartitionWriter {
    partition: Partition,
    parent_hash: isotherm_types::B256,
    hashes: (isotherm_types::B256, isotherm_types::B256),
    check: RowCheck,
    chunker: Chunker,
    parquet: ArrowWriter<HashingFile>,
    path: TempPath,
}

impl PartitionWriter {
    /// Begins the file of `partition` as a temporary file in the folder `scratch`.
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
        let refused = |source| ParquetFileError::Scratch { path: scratch.to_path_buf(), source };
        let named = tempfile::Builder::new().prefix("isotherm-").suffix(".parquet").tempfile_in(scratch);
        let (file, path) = named.map_err(refused)?.into_parts();

        let options = ArrowWriterOptions::new()
            .with_properties(properties::of(&partition))
            .with_schema_root("isotherm".to_owned())
            .with_skip_arrow_metadata(true);
        let parquet = ArrowWriter::try_new_with_options(HashingFile::new(file), partition.dataset.schema(), options)?;
        Ok(Self {
            parent_hash: blocks.parent_hash(),
            hashes: (blocks.first_hash(), blocks.last_hash()),
            check: RowCheck::new(&partition, blocks, rows_per_block),
            chunker: Chunker::default(),
            parquet,
            path,
            partition,
        })
    }

    /// Takes the next rows, which have the columns of the dataset's schema in its order.
    ///
    /// # Errors
    /// The first row that does not belong here, or what encoding and writing report. The writer is of no use after.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<WriteProgress, ParquetFileError> {
        let batch = self.check.check(batch)?;
        for chunk in self.chunker.push(&batch) {
            self.write_chunk(&chunk)?;
        }
        Ok(self.progress())
    }

    /// How far it is.
    pub fn progress(&self) -> WriteProgress {
        WriteProgress { row_count: self.check.row_count(), row_group_count: self.parquet.flushed_row_groups().len() }
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// [`ParquetFileError::RowCount`] if a block has not as many rows as it must; else what encoding and writing
    /// report.
    pub fn finish(mut self, roots: RootVerdicts) -> Result<StagedFile, ParquetFileError> {
        if let Some(chunk) = self.chunker.finish() {
            self.write_chunk(&chunk)?;
        }
        let row_count = self.check.finish()?;
        self.parquet.flush()?;
        let encoded: i64 = self.parquet.flushed_row_groups().iter().map(RowGroupMetaData::num_rows).sum();
        assert_eq!(
            u64::try_from(encoded),
            Ok(row_count),
            "every checked row is in a chunk, and every chunk is encoded"
        );
        let digest = self
            .parquet
            .into_inner()?
            .finish()
            .map_err(|source| ParquetFileError::Scratch { path: self.path.to_path_buf(), source })?;
        let file = DataFile {
            key: self.partition.object_key(),
            blocks: self.partition.blocks,
            row_count,
            size_bytes: digest.size_bytes,
            sha256: digest.sha256,
            first_block_hash: self.hashes.0,
            last_block_hash: self.hashes.1,
            schema_version: SCHEMA_VERSION,
            writer_version: WRITER_VERSION.to_owned(),
            roots,
        };
        Ok(StagedFile { partition: self.partition, parent_hash: self.parent_hash, file, path: self.path })
    }

    fn write_chunk(&mut self, chunk: &Chunk) -> Result<(), ParquetFileError> {
        let rows = concat_batches(&self.partition.dataset.schema(), &chunk.batches)?;
        self.parquet.write(&rows)?;
        if chunk.ends_row_group {
            self.parquet.flush()?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for PartitionWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path: PathBuf = self.path.to_path_buf();
        f.debug_struct("PartitionWriter").field("partition", &self.partition).field("path", &path).finish()
    }
}

/// A file that is hashed as it is written.
struct HashingFile {
    file: BufWriter<File>,
    digest: RunningDigest,
}

impl HashingFile {
    fn new(file: File) -> Self {
        Self { file: BufWriter::new(file), digest: RunningDigest::default() }
    }

    fn finish(self) -> io::Result<crate::digest::ObjectDigest> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(self.digest.finish())
    }
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
