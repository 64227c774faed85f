//! From verified blocks to the files of all asked datasets, side by side.

use std::path::Path;

use isotherm_chain::{ChainError, Verdict, VerifiedBlock, columns};
use isotherm_cold_store::parquet_file::ParquetFileError;
use isotherm_cold_store::{Partition, PartitionWriter, RootVerdict, RootVerdicts, StagedFile};
use isotherm_types::{ChainId, Dataset};

use crate::error::IngestError;

/// One file a dataset, and what was found of the blocks in them.
pub(crate) struct Writers {
    chain_id: ChainId,
    files: Vec<(Dataset, PartitionWriter)>,
    roots: RootVerdicts,
}

impl Writers {
    /// Begins the files of `partitions`, all of the same blocks of one chain, on the disk of the folder `scratch`.
    pub(crate) fn create(
        chain_id: ChainId,
        partitions: impl Iterator<Item = Partition>,
        scratch: &Path,
    ) -> Result<Self, ParquetFileError> {
        let begin = |partition: Partition| {
            let dataset = partition.dataset;
            PartitionWriter::create_growing(partition, scratch).map(|file| (dataset, file))
        };
        let files = partitions.map(begin).collect::<Result<_, ParquetFileError>>()?;
        Ok(Self { chain_id, files, roots: RootVerdicts::all(&RootVerdict::Ok) })
    }

    /// Writes the next blocks.
    pub(crate) fn write(&mut self, blocks: &[VerifiedBlock]) -> Result<(), IngestError> {
        let rows = columns::encode(self.chain_id, blocks).map_err(ChainError::from)?;
        let of = |dataset: Dataset| {
            let found = rows.iter().find(|(found, _)| *found == dataset);
            &found.expect("blocks come with all that the settings ask for").1
        };
        for (dataset, file) in &mut self.files {
            file.extend(of(Dataset::Blocks), &rows_per_block(*dataset, blocks))?;
            file.write(of(*dataset))?;
        }
        for verdicts in blocks.iter().map(VerifiedBlock::verdicts) {
            worsen(&mut self.roots.header_hash, &verdicts.header_hash);
            worsen(&mut self.roots.transactions_root, &verdicts.transactions_root);
            worsen(&mut self.roots.receipts_root, &verdicts.receipts_root);
        }
        Ok(())
    }

    /// Finishes the files.
    pub(crate) fn finish(self) -> Result<Vec<StagedFile>, ParquetFileError> {
        let Self { files, roots, .. } = self;
        files.into_iter().map(|(_, file)| file.finish(roots.clone())).collect()
    }
}

/// How many rows each block has.
fn rows_per_block(dataset: Dataset, blocks: &[VerifiedBlock]) -> Vec<u64> {
    let count = |verified: &VerifiedBlock| {
        let block = verified.block();
        let rows = match dataset {
            Dataset::Blocks => 1,
            Dataset::Transactions => block.transactions.len(),
            Dataset::Logs => block.receipts.iter().map(|receipt| receipt.logs.len()).sum(),
            Dataset::Traces => verified.traces().expect("traces are fetched where they are written").len(),
        };
        rows as u64
    };
    blocks.iter().map(count).collect()
}

/// One block that could not be verified is enough for a file not to be.
fn worsen(all: &mut RootVerdict, one: &Verdict) {
    if *all == RootVerdict::Ok
        && let Verdict::NotVerifiable(reason) = one
    {
        *all = RootVerdict::NotVerifiable { reason: reason.clone() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_as_well_verified_as_its_worst_block() {
        let not = |reason: &str| Verdict::NotVerifiable(reason.to_owned());
        let mut all = RootVerdict::Ok;
        worsen(&mut all, &Verdict::Ok);
        assert_eq!(all, RootVerdict::Ok);
        for verdict in [not("first"), Verdict::Ok, not("second")] {
            worsen(&mut all, &verdict);
            assert_eq!(all, RootVerdict::NotVerifiable { reason: "first".to_owned() });
        }
    }
}
