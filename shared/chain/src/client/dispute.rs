//! Asks around whether the chain has a block that one endpoint has shown.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use isotherm_types::BlockRef;
use tokio::task::JoinSet;

use super::ChainClient;
use crate::pool::{Outcome, are_in_dispute, passed_over};

impl ChainClient {
    /// Whether somebody contradicts `block`, which an endpoint has shown last: of the endpoints that are not
    /// quarantined, at least one has another block at its number, or none there though it has a later one.
    ///
    /// To be asked before something is done on the word of one endpoint that cannot be taken back. All are asked, the
    /// one that has shown the block too: it may have thought better of it. Who does not answer, or is not as far as
    /// the block, contradicts nobody; so where one endpoint is all there is, its word holds as long as it keeps to it.
    ///
    /// Endpoints that show a block which another one contradicts are passed over for a while, at most some seconds, so
    /// that the next questions go to the others.
    pub async fn is_disputed(&self, block: BlockRef) -> bool {
        let mut asked = JoinSet::new();
        for place in self.pool.trusted() {
            let pool = Arc::clone(&self.pool);
            asked.spawn(async move { (place, pool.opinion(place, block).await) });
        }
        let mut opinions = Vec::with_capacity(asked.len());
        while let Some(joined) = asked.join_next().await {
            opinions.extend(joined);
        }
        for place in passed_over(&opinions, self.last_shown_by.load(Ordering::Relaxed)) {
            self.pool.note(place, Outcome::Withheld);
            tracing::warn!(
                rpc.endpoint = self.pool.members()[place].name(),
                block.number = block.number.0,
                block.hash = %block.hash,
                "an endpoint shows a block that another one contradicts"
            );
        }
        are_in_dispute(&opinions)
    }
}
