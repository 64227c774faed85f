//! The merged file: read file by file in order, written by the one writer.
//!
//! Each file is copied to local disk and compared with the manifest before a row of it is read, and goes before the
//! next one comes: the disk holds one of them and the merged file. Memory is bounded as the writer's is, and by a
//! batch of rows. No row is lost or added: the manifest refuses a merged file with another number of rows than its
//! parts.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;

use super::MergePlan;
use crate::blocks::{LINK_COLUMNS, PartitionBlocks, PartitionBlocksBuilder};
use crate::commit::{CurrentManifest, StagedFile};
use crate::decoder_bounds;
use crate::digest::ObjectDigest;
use crate::error::ColdStoreError;
use crate::manifest::{DataFile, RootVerdict, RootVerdicts};
use crate::objects::{ObjectError, ObjectStore};
use crate::parquet_file::{ParquetFileError, PartitionWriter};
use crate::scratch_file::ScratchFile;

/// Rows of a batch at most.
const BATCH_ROWS: usize = 1_024;
/// Bytes of a batch, by the average of the row group with the largest rows.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// A file that is to be merged, on local disk, with the bytes that its manifest lists.
#[derive(Debug)]
pub struct SourceCopy {
    key: String,
    copy: ScratchFile,
}

/// Writes the merged file: for each of its sources [`Merger::fetch_next`], then [`Merger::append`]; then
/// [`Merger::finish`]. Dropped before, it leaves nothing behind.
#[derive(Debug)]
pub struct Merger {
    writer: PartitionWriter,
    roots: RootVerdicts,
    /// Those that were not fetched yet.
    sources: std::vec::IntoIter<DataFile>,
    scratch: PathBuf,
}

impl MergePlan {
    /// Begins the merged file as a file without a name on the disk of the folder `scratch`.
    ///
    /// `current` is the manifest that the plan's head names.
    ///
    /// # Errors
    /// What S3 reports; [`ObjectError::Missing`] or [`ObjectError::Altered`] if a file with headers is not as listed;
    /// [`ColdStoreError::UnreadableFile`], [`crate::blocks::LinkError`] if it is not one chain over the partition.
    pub async fn begin(
        &self,
        objects: &ObjectStore,
        current: &CurrentManifest,
        scratch: &Path,
    ) -> Result<Merger, ColdStoreError> {
        let blocks = self.partition.blocks;
        let mut linked = PartitionBlocks::builder(blocks);
        for file in &self.header_files {
            let expected = ObjectDigest { size_bytes: file.size_bytes, sha256: file.sha256 };
            let headers = SourceCopy::fetch(objects, &file.object_key, expected, scratch).await?;
            headers.read_links(&mut linked)?;
        }
        let linked = linked.finish().map_err(ParquetFileError::from)?;
        let listed = current.manifest().map(|manifest| manifest.files.as_slice()).unwrap_or_default();
        let is_source = |file: &&DataFile| file.blocks.intersection(blocks).is_some();
        let sources: Vec<DataFile> = listed.iter().filter(is_source).cloned().collect();
        Ok(Merger {
            // Nobody says how many rows each block has but the files, whose bytes are compared.
            writer: PartitionWriter::create(self.partition.clone(), linked, None, scratch)?,
            roots: joined(&sources),
            sources: sources.into_iter(),
            scratch: scratch.to_path_buf(),
        })
    }
}

impl Merger {
    /// Copies the next file to local disk; `None` if there is none.
    ///
    /// # Errors
    /// What S3 reports; [`ObjectError::Missing`] or [`ObjectError::Altered`] if it is not as listed;
    /// [`ParquetFileError::Scratch`] if it cannot be written.
    pub async fn fetch_next(&mut self, objects: &ObjectStore) -> Result<Option<SourceCopy>, ColdStoreError> {
        let Some(file) = self.sources.next() else { return Ok(None) };
        SourceCopy::fetch(objects, &file.key, file.digest(), &self.scratch).await.map(Some)
    }

    /// Appends the rows of a file. Takes long, and waits for nothing but the disk.
    ///
    /// # Errors
    /// [`ColdStoreError::UnreadableFile`] if it is no Parquet file; else as [`PartitionWriter::write`].
    pub fn append(mut self, source: &SourceCopy) -> Result<Self, ColdStoreError> {
        let builder = source.open()?;
        let batch_rows = batch_rows(builder.metadata());
        let reader = builder.with_batch_size(batch_rows).build().map_err(|error| source.unreadable(error.into()))?;
        for batch in reader {
            self.writer.write(&batch.map_err(|error| source.unreadable(error))?)?;
        }
        Ok(self)
    }

    /// Finishes the merged file.
    ///
    /// # Errors
    /// As [`PartitionWriter::finish`].
    ///
    /// # Panics
    /// If some of the files were not fetched.
    pub fn finish(self) -> Result<StagedFile, ColdStoreError> {
        assert!(self.sources.as_slice().is_empty(), "every file is merged before the end");
        Ok(self.writer.finish(self.roots)?)
    }
}

impl SourceCopy {
    async fn fetch(
        objects: &ObjectStore,
        key: &str,
        expected: ObjectDigest,
        scratch: &Path,
    ) -> Result<Self, ColdStoreError> {
        let key = key.to_owned();
        match objects.copy_to(&key, scratch).await? {
            None => Err(ObjectError::Missing { key }.into()),
            Some((copy, found)) if found == expected => Ok(Self { key, copy }),
            Some((_, found)) => Err(ObjectError::Altered { key, expected, found }.into()),
        }
    }

    fn open(&self) -> Result<ParquetRecordBatchReaderBuilder<File>, ColdStoreError> {
        let path = self.copy.path();
        let refused = |source| ParquetFileError::Scratch { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(refused)?;
        decoder_bounds::open(file, ArrowReaderOptions::new()).map_err(|error| self.unreadable(error.into()))
    }

    /// Takes in the headers of a file of `blocks`.
    fn read_links(&self, linked: &mut PartitionBlocksBuilder) -> Result<(), ColdStoreError> {
        let builder = self.open()?;
        let columns = ProjectionMask::columns(builder.parquet_schema(), LINK_COLUMNS.iter().copied());
        let reader = builder.with_projection(columns).build().map_err(|error| self.unreadable(error.into()))?;
        for batch in reader {
            let batch = batch.map_err(|error| self.unreadable(error))?;
            linked.push(&batch).map_err(ParquetFileError::from)?;
        }
        Ok(())
    }

    fn unreadable(&self, source: ArrowError) -> ColdStoreError {
        ColdStoreError::UnreadableFile { key: self.key.clone(), source }
    }
}

/// Rows of a batch, so that large rows do not fill the memory.
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let row_bytes = metadata.row_groups().iter().map(|group| group.total_byte_size() / group.num_rows().max(1));
    let most = row_bytes.max().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    (BATCH_BYTES / most.max(1)).clamp(1, BATCH_ROWS)
}

/// What was recomputed from the rows of all of them.
fn joined(files: &[DataFile]) -> RootVerdicts {
    let roots = || files.iter().map(|file| &file.roots);
    RootVerdicts {
        header_hash: join(roots().map(|roots| &roots.header_hash)),
        transactions_root: join(roots().map(|roots| &roots.transactions_root)),
        receipts_root: join(roots().map(|roots| &roots.receipts_root)),
    }
}

/// Bad if one is, else the first that is not verifiable, else fine.
fn join<'a>(verdicts: impl Iterator<Item = &'a RootVerdict>) -> RootVerdict {
    let mut joined = RootVerdict::Ok;
    for verdict in verdicts {
        match verdict {
            RootVerdict::Bad => return RootVerdict::Bad,
            RootVerdict::NotVerifiable { .. } if joined == RootVerdict::Ok => joined = verdict.clone(),
            RootVerdict::NotVerifiable { .. } | RootVerdict::Ok => {}
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_verdict_is_the_worst_of_its_parts() {
        let unproven = |reason: &str| RootVerdict::NotVerifiable { reason: reason.to_owned() };
        let table = [
            (vec![], RootVerdict::Ok),
            (vec![RootVerdict::Ok, RootVerdict::Ok], RootVerdict::Ok),
            (vec![RootVerdict::Ok, unproven("a"), unproven("b")], unproven("a")),
            (vec![unproven("a"), RootVerdict::Bad, RootVerdict::Ok], RootVerdict::Bad),
        ];
        for (verdicts, expected) in table {
            assert_eq!(join(verdicts.iter()), expected, "{verdicts:?}");
        }
    }
}
