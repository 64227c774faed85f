//! What of each dataset is in cold storage or on its way there, as Postgres says.

use isotherm_cold_store::catalog::{self, pending};
use isotherm_hot_store::cursor::Cursor;
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset};
use sqlx::PgConnection;

use crate::error::IngestError;
use crate::plan::Held;

/// What of `dataset` is there, given where the chain's follower stands, if it has one.
///
/// # Errors
/// What the catalogue reports.
pub async fn held(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    cursor: Option<&Cursor>,
) -> Result<Held, IngestError> {
    let head = catalog::head(conn, chain_id, dataset).await?;
    let waiting = pending::list(conn, chain_id, dataset).await?;
    Ok(Held {
        cold: head.and_then(|head| BlockRange::inclusive(head.first_block, head.watermark).ok()),
        waiting: waiting.iter().map(|file| file.partition.blocks).collect(),
        hot_first_block: hot_first_block(cursor, dataset),
    })
}

/// First block of a dataset in hot storage; `None` if none is there.
pub(crate) fn hot_first_block(cursor: Option<&Cursor>, dataset: Dataset) -> Option<BlockNumber> {
    cursor.and_then(|cursor| cursor.first_block_of(dataset))
}
