//! Where findings are kept and who is told: rows, events, the log, a metric.
//!
//! Each finding is one short transaction under the task's fence, so that a check that is killed has told what it could;
//! the next attempt finds the rest and doubles nothing.

use chrono::{DateTime, Utc};
use isotherm_cold_store::ChainName;
use isotherm_cold_store::catalog::checks::{self, Recorded, Sighting};
use isotherm_cold_store::catalog::{self, ColdDataset};
use isotherm_cold_store::integrity::Finding;
use isotherm_control::{events, tasks};
use isotherm_platform::database::{self, Borrowed, PATIENCE};
use isotherm_platform::metrics::{INTEGRITY_FINDINGS, emit};
use isotherm_types::{ChainId, EventBody, Fence, TaskId};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, PgPool};

use crate::error::IntegrityError;
use crate::refuted::{Looked, refuted};

/// What the log calls every finding that is new; alarms look for it.
const VIOLATED: &str = "integrity.violated";

/// The findings of one chain, as one task may change them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger<'a> {
    pub(crate) pool: &'a PgPool,
    pub(crate) chain_id: ChainId,
    pub(crate) chain: &'a ChainName,
    pub(crate) task: (TaskId, Fence),
}

/// What became of the findings that were open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) resolved: u64,
    pub(crate) open: u64,
}

impl Ledger<'_> {
    /// The present instant, and after it what of the chain is cold.
    pub(crate) async fn begin(&self) -> Result<(DateTime<Utc>, Vec<ColdDataset>), IntegrityError> {
        self.ask("say what is in cold storage", async |conn| {
            let looked_from = checks::now(conn).await?;
            let mut datasets = catalog::datasets(conn).await?;
            datasets.retain(|dataset| dataset.chain_id == self.chain_id);
            Ok((looked_from, datasets))
        })
        .await
    }

    /// Records a finding, and tells people if nobody knew of it. Returns whether it is new.
    pub(crate) async fn record(&self, finding: &Finding, evidence: &Value) -> Result<bool, IntegrityError> {
        let (task_id, fence) = self.task;
        let sighting = Sighting { chain_id: self.chain_id, finding, evidence, task_id };
        let recorded = self
            .ask("record a finding", async |conn| {
                let mut db_tx = conn.begin().await.map_err(refused("begin a transaction"))?;
                tasks::assert_fence(&mut db_tx, task_id, fence).await?;
                let recorded = checks::record(&mut db_tx, &sighting).await?;
                if recorded.is_new {
                    events::record(&mut db_tx, &self.event(recorded, finding)).await?;
                }
                db_tx.commit().await.map_err(refused("commit"))?;
                Ok(recorded)
            })
            .await?;
        if recorded.is_new {
            tracing::error!(
                error.code = VIOLATED, error.message = finding.message,
                check.id = recorded.id, chain.id = self.chain_id.0, dataset.name = %finding.dataset,
                object.key = finding.object, integrity.fault = finding.fault.name(),
                "cold storage is not what was committed",
            );
        }
        Ok(recorded.is_new)
    }

    /// Resolves what the check has refuted, and says how much is open after that.
    pub(crate) async fn settle(
        &self,
        looked_from: DateTime<Utc>,
        looked: &Looked<'_>,
    ) -> Result<Settled, IntegrityError> {
        let (task_id, fence) = self.task;
        let settled = self
            .ask("resolve findings", async |conn| {
                let mut db_tx = conn.begin().await.map_err(refused("begin a transaction"))?;
                tasks::assert_fence(&mut db_tx, task_id, fence).await?;
                let open = checks::open(&mut db_tx, self.chain_id).await?;
                let resolved = checks::resolve(&mut db_tx, &refuted(&open, looked), looked_from).await?;
                db_tx.commit().await.map_err(refused("commit"))?;
                Ok(Settled { resolved, open: open.len() as u64 - resolved })
            })
            .await?;
        emit(INTEGRITY_FINDINGS, settled.open as f64, &[("chain", self.chain.as_str())]);
        Ok(settled)
    }

    fn event(&self, recorded: Recorded, finding: &Finding) -> EventBody {
        EventBody::IntegrityViolated {
            chain_id: self.chain_id,
            dataset: finding.dataset,
            check_id: recorded.id,
            object_key: finding.object.clone(),
            blocks: finding.blocks,
            fault: finding.fault.name().to_owned(),
        }
    }

    /// What `work`, which is `action`, finds over a connection of its own; that the database is away if it takes longer
    /// than [`PATIENCE`].
    async fn ask<T>(
        &self,
        action: &'static str,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, IntegrityError>,
    ) -> Result<T, IntegrityError> {
        let asking = async {
            let mut conn: Borrowed = database::borrow(self.pool).await?;
            let found = work(&mut *conn).await;
            if found.is_ok() {
                conn.give_back();
            }
            Ok::<_, sqlx::Error>(found)
        };
        database::answered_within(PATIENCE, asking).await.map_err(refused(action))?
    }
}

fn refused(action: &'static str) -> impl FnOnce(sqlx::Error) -> IntegrityError {
    move |source| IntegrityError::Postgres { action, source }
}
