//! Listing files that have waited: the step between [`crate::catalog::pending`] and [`crate::catalog::commit`].
//!
//! No lock is held and no transaction open while S3 is asked: the manifest's key is written once, and the commit takes
//! only what follows. What was read of Postgres may have been overtaken; then another run's manifest is found there, to
//! be committed instead, and the caller looks anew.

use arrow::array::AsArray;
use arrow::datatypes::UInt32Type;
use arrow::error::ArrowError;
use bytes::Bytes;
use isotherm_types::{B256, BlockNumber};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;

use crate::catalog::DataPartition;
use crate::catalog::pending::Adjacent;
use crate::commit::{CurrentManifest, Listing, StoredFile};
use crate::decoder_bounds;
use crate::digest::ObjectDigest;
use crate::error::ColdStoreError;
use crate::objects::{ObjectError, ObjectStore};

impl Adjacent {
    /// Writes the manifest that lists the file, as [`StoredFile::list`] does.
    ///
    /// # Errors
    /// As [`CurrentManifest::load`], [`StoredFile::waiting`] and [`StoredFile::list`]; [`ColdStoreError::Header`] if
    /// the first cold block's header has to be read and cannot be.
    pub async fn list(self, objects: &ObjectStore) -> Result<Listing, ColdStoreError> {
        let Self { head, file, header_file } = self;
        let mut current = CurrentManifest::load(objects, head.as_ref()).await?;
        if let (Some(head), Some(header_file)) = (head, header_file) {
            let parent_hash = parent_hash_of(objects, &header_file, head.first_block).await?;
            current = current.with_first_parent_hash(parent_hash);
        }
        StoredFile::waiting(objects, file).await?.list(objects, &current).await
    }
}

/// Parent of `block`, as the data file of `blocks` says that holds it.
async fn parent_hash_of(
    objects: &ObjectStore,
    file: &DataPartition,
    block: BlockNumber,
) -> Result<B256, ColdStoreError> {
    let key = &file.object_key;
    let expected = ObjectDigest { size_bytes: file.size_bytes, sha256: file.sha256 };
    let read = objects.read(key, file.size_bytes).await?;
    let bytes = read.ok_or_else(|| ObjectError::Missing { key: key.clone() })?;
    let found = ObjectDigest::of(&bytes);
    if found != expected {
        return Err(ObjectError::Altered { key: key.clone(), expected, found }.into());
    }
    let unreadable = |source| ColdStoreError::Header { key: key.clone(), block, source };
    let parent_hash = find_parent_hash(bytes, block).map_err(|source| unreadable(Some(source)))?;
    parent_hash.ok_or_else(|| unreadable(None))
}

/// `parent_hash` of the row of `block`; `None` if there is no such row.
fn find_parent_hash(blocks: Bytes, block: BlockNumber) -> Result<Option<B256>, ArrowError> {
    let builder = decoder_bounds::open(blocks, ArrowReaderOptions::new())?;
    let columns = ProjectionMask::columns(builder.parquet_schema(), ["block_number", "parent_hash"]);
    for batch in builder.with_projection(columns).build()? {
        let batch = batch?;
        let numbers = batch.column_by_name("block_number").and_then(|column| column.as_primitive_opt::<UInt32Type>());
        let parents = batch.column_by_name("parent_hash").and_then(|column| column.as_fixed_size_binary_opt());
        let (Some(numbers), Some(parents)) = (numbers, parents) else { return Ok(None) };
        if let Some(row) = numbers.values().iter().position(|number| u64::from(*number) == block.0) {
            return Ok(B256::try_from(parents.value(row)).ok());
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, FixedSizeBinaryArray, RecordBatch, UInt32Array};
    use parquet::arrow::ArrowWriter;

    use super::*;

    #[test]
    fn the_parent_is_that_of_the_block_and_what_is_not_there_is_not_made_up() {
        let parents = (0..3_u8).map(|seed| [seed; 32]);
        let columns: [(&str, ArrayRef); 2] = [
            ("block_number", Arc::new(UInt32Array::from(vec![7, 8, 9]))),
            ("parent_hash", Arc::new(FixedSizeBinaryArray::try_from_iter(parents).unwrap())),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let bytes = Bytes::from(writer.into_inner().unwrap());

        let found = |block| find_parent_hash(bytes.clone(), BlockNumber(block)).unwrap();
        assert_eq!((found(7), found(9)), (Some(B256::repeat_byte(0)), Some(B256::repeat_byte(2))));
        assert_eq!((found(6), found(10)), (None, None));
        find_parent_hash(bytes.slice(..bytes.len() - 1), BlockNumber(7)).unwrap_err();
    }
}
