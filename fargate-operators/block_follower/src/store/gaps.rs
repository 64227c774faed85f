//! Looking for stored blocks that are missing or not whole, and writing them anew.

use std::sync::Arc;

use isotherm_chain::{Heads, VerifiedBlock};
use isotherm_hot_store::gaps::{self, COUNTED, GapKind, Page};
use isotherm_platform::Fault;
use isotherm_types::{BlockRange, Dataset};

use super::{Store, commit};

impl Store {
    /// The stored blocks that queries read from hot storage; `None` if there is none.
    pub(crate) async fn hot_blocks(&self) -> Result<Option<BlockRange>, Fault> {
        let reading = async {
            let mut conn = self.connection().await?;
            let mut watermarks = Vec::with_capacity(COUNTED.len());
            for dataset in COUNTED {
                watermarks.extend(isotherm_cold_store::catalog::watermark(&mut conn, self.chain_id, dataset).await?);
            }
            // A dataset without a watermark is hot from its first block on.
            let watermark = watermarks.iter().min().copied().filter(|_| watermarks.len() == COUNTED.len());
            let blocks = gaps::hot_blocks(&mut conn, self.chain_id, watermark).await?;
            conn.give_back();
            Ok(blocks)
        };
        self.answered("read the cursor", reading).await
    }

    /// Looks at the upper end of `within`.
    pub(crate) async fn look_for_gaps(&self, within: BlockRange) -> Result<Page, Fault> {
        let looking = async {
            let mut conn = self.connection().await?;
            let traces = isotherm_cold_store::catalog::watermark(&mut conn, self.chain_id, Dataset::Traces).await?;
            let page = gaps::look(&mut conn, self.chain_id, within, traces).await?;
            conn.give_back();
            Ok(page)
        };
        self.answered("look for gaps", looking).await
    }

    /// Writes a run of blocks in the place of what is stored under their numbers. Returns whether they belong there.
    pub(crate) async fn write_anew(
        &self,
        blocks: Arc<[VerifiedBlock]>,
        kind: GapKind,
        heads: &Heads,
    ) -> Result<bool, Fault> {
        let batch = self.batch(blocks, heads).await?;
        let writing = async {
            let mut conn = self.connection().await?;
            let mut db_tx = self.begin(&mut conn).await?;
            let is_written = gaps::write_anew(&mut db_tx, self.chain_id, &batch).await?;
            if is_written {
                let reason = format!("blocks {}: {kind}", batch.blocks);
                self.write_down(&mut db_tx, "gaps_closed", (None, None), &reason).await?;
            }
            commit(db_tx).await?;
            conn.give_back();
            Ok(is_written)
        };
        self.answered("write blocks anew", writing).await
    }
}
