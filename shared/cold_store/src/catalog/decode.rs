//! From rows of the catalogue to values; a row that no value stands for is a decoding error that names its column.

use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset, TaskId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row};

use super::pending::PendingFile;
use super::{DataPartition, DatasetHead};
use crate::digest::Sha256Digest;
use crate::layout::{LayoutError, Object, Partition};
use crate::manifest::DataFile;

impl FromRow<'_, PgRow> for DatasetHead {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            first_block: BlockNumber(unsigned(row, "first_block")?),
            first_parent_hash: match row.try_get::<Option<&[u8]>, _>("first_parent_hash")? {
                None => None,
                Some(_) => Some(B256::new(bytes_32(row, "first_parent_hash")?)),
            },
            watermark: BlockNumber(unsigned(row, "watermark")?),
            manifest_version: unsigned(row, "manifest_version")?,
            manifest_key: row.try_get("manifest_key")?,
            manifest_sha256: Sha256Digest(bytes_32(row, "manifest_sha256")?),
        })
    }
}

impl FromRow<'_, PgRow> for DataPartition {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            blocks: blocks(row)?,
            object_key: row.try_get("object_key")?,
            row_count: unsigned(row, "row_count")?,
            size_bytes: unsigned(row, "size_bytes")?,
            sha256: Sha256Digest(bytes_32(row, "sha256")?),
            first_block_hash: B256::new(bytes_32(row, "first_block_hash")?),
            last_block_hash: B256::new(bytes_32(row, "last_block_hash")?),
            schema_version: row
                .try_get::<i32, _>("schema_version")?
                .try_into()
                .map_err(|source| undecodable("schema_version", source))?,
            manifest_version: unsigned(row, "manifest_version")?,
        })
    }
}

impl FromRow<'_, PgRow> for PendingFile {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let Json(file) = row.try_get::<Json<DataFile>, _>("file")?;
        let chain_id = ChainId(unsigned(row, "chain_id")?);
        // The file's key says the rest; it has to agree with the row's own key.
        let found = Object::parse(&file.key).map_err(|source| undecodable("file", source))?;
        let partition = match found {
            Object::Data { chain, dataset, blocks } => Partition { chain_id, chain, dataset, blocks },
            Object::Manifest { .. } => return Err(undecodable("file", LayoutError::Key { key: file.key })),
        };
        let is_of_row = (partition.dataset, partition.blocks) == (parsed::<Dataset>(row, "dataset")?, blocks(row)?);
        if !is_of_row || file.blocks != partition.blocks {
            return Err(undecodable("file", LayoutError::Key { key: file.key }));
        }
        Ok(Self {
            partition,
            parent_hash: B256::new(bytes_32(row, "parent_hash")?),
            file,
            task_id: row.try_get::<Option<i64>, _>("task_id")?.map(TaskId),
            stored_at: row.try_get("stored_at")?,
        })
    }
}

/// The half-open range of the columns `start_block` and `end_block`.
pub(super) fn blocks(row: &PgRow) -> sqlx::Result<BlockRange> {
    let start = BlockNumber(unsigned(row, "start_block")?);
    let end = BlockNumber(unsigned(row, "end_block")?);
    BlockRange::new(start, end).map_err(|source| undecodable("end_block", source))
}

pub(super) fn unsigned(row: &PgRow, column: &'static str) -> sqlx::Result<u64> {
    row.try_get::<i64, _>(column)?.try_into().map_err(|source| undecodable(column, source))
}

pub(super) fn bytes_32(row: &PgRow, column: &'static str) -> sqlx::Result<[u8; 32]> {
    row.try_get::<&[u8], _>(column)?.try_into().map_err(|source| undecodable(column, source))
}

pub(super) fn parsed<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &PgRow,
    column: &'static str,
) -> sqlx::Result<T> {
    row.try_get::<&str, _>(column)?.parse().map_err(|source| undecodable(column, source))
}

fn undecodable(column: &str, source: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) }
}
