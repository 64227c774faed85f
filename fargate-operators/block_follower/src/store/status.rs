//! What the follower says of itself, and what is asked of it, in one short transaction.

use std::time::Duration;

use isotherm_hot_store::evidence::{self, Evidence};
use isotherm_hot_store::follower_status::{self, Said};
use isotherm_hot_store::gaps;
use isotherm_platform::Fault;

use super::{Store, commit};

/// Nobody waits for a status longer than for the next one.
const PATIENCE: Duration = Duration::from_secs(2);

impl Store {
    /// Writes down what the follower says, and what it has caught endpoints at. Returns whether a person has asked for a look at the gaps since the last
    /// time.
    pub(crate) async fn say(&self, said: &Said, evidence: &[Evidence]) -> Result<bool, Fault> {
        let saying = async {
            let mut conn = self.connection().await?;
            let mut db_tx = self.begin(&mut conn).await?;
            follower_status::write(&mut db_tx, self.chain_id, said).await?;
            evidence::keep(&mut db_tx, self.chain_id, evidence).await?;
            let is_asked = gaps::take_request(&mut db_tx, self.chain_id).await?;
            commit(db_tx).await?;
            conn.give_back();
            Ok(is_asked)
        };
        let hurried = Self { patience: self.patience.min(PATIENCE), ..self.clone() };
        hurried.answered("write the follower's status", saying).await
    }
}
