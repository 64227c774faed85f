//! Which datasets a step writes, and which lose rows by it: traces are collected only where the job asks for them.

use isotherm_chain::fork::Stored;
use isotherm_hot_store::{BlockBatch, rows};
use isotherm_platform::Fault;
use isotherm_types::{BlockRange, BlockRef, Dataset};
use sqlx::{Postgres, Transaction};

use super::Store;

/// The datasets that `batch` brings, be it without a row.
pub(super) fn written(batch: &BlockBatch) -> Vec<Dataset> {
    batch.rows.iter().map(|(dataset, _)| *dataset).collect()
}

impl Store {
    /// The datasets that lose rows when `batch` replaces the blocks above `ancestor`: those that it brings anew, and
    /// traces from before the job stopped to ask for them.
    pub(super) async fn losing(
        &self,
        db_tx: &mut Transaction<'_, Postgres>,
        ancestor: BlockRef,
        stored: Stored,
        batch: &BlockBatch,
    ) -> Result<Vec<Dataset>, Fault> {
        let mut datasets = written(batch);
        if !datasets.contains(&Dataset::Traces)
            && let Ok(blocks) = BlockRange::inclusive(ancestor.number.next(), stored.tip.number)
            && rows::exist(db_tx, self.chain_id, Dataset::Traces, blocks).await?
        {
            datasets.push(Dataset::Traces);
        }
        Ok(datasets)
    }
}
