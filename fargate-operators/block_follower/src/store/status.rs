//! What the follower says of itself, and what is asked of it, in short transactions.

use std::time::Duration;

use isotherm_hot_store::evidence::{self, Evidence};
use isotherm_hot_store::follower_status::{self, Said};
use isotherm_hot_store::gaps;
use isotherm_platform::Fault;

use super::{Store, commit};

/// Nobody waits for a status longer than for the next one.
const PATIENCE: Duration = Duration::from_secs(2);

impl Store {
    /// Writes down what the follower says. Returns whether a person has asked for a look at the gaps since the last
    /// time.
    pub(crate) async fn say(&self, said: &Said) -> Result<bool, Fault> {
        let saying = async {
            let mut conn = self.connection().await?;
            let mut db_tx = self.begin(&mut conn).await?;
            follower_status::write(&mut db_tx, self.chain_id, said).await?;
            let is_asked = gaps::take_request(&mut db_tx, self.chain_id).await?;
            commit(db_tx).await?;
            conn.give_back();
            Ok(is_asked)
        };
        self.hurried().answered("write the follower's status", saying).await
    }

    /// Writes down what the follower has caught endpoints at. It may be megabytes: what is asked of the follower does
    /// not wait for it.
    pub(crate) async fn keep_evidence(&self, evidence: &[Evidence]) -> Result<(), Fault> {
        let keeping = async {
            let mut conn = self.connection().await?;
            let mut db_tx = self.begin(&mut conn).await?;
            evidence::keep(&mut db_tx, self.chain_id, evidence).await?;
            commit(db_tx).await?;
            conn.give_back();
            Ok(())
        };
        self.hurried().answered("keep evidence of untrue answers", keeping).await
    }

    fn hurried(&self) -> Self {
        Self { patience: self.patience.min(PATIENCE), ..self.clone() }
    }
}
