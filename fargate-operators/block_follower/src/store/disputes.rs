//! Halting the chain for a person to decide, and what the person has decided.

use isotherm_chain::fork::AcceptedReorg;
use isotherm_control::audit::{self, Change};
use isotherm_hot_store::cursor::{self, Halt};
use isotherm_hot_store::disputed_reorg::{self, Dispute, DisputedReorg, Parting, Permission};
use isotherm_platform::Fault;
use isotherm_types::BlockRef;
use sqlx::{Postgres, Transaction};

use super::{DATASETS, Store, commit};
use crate::error::FollowerError;

/// Who the audit trail is to name.
const ACTOR: &str = "block_follower";

impl Store {
    /// Halts the chain: nothing is written to it until a person has decided. `reorg` is what they decide about, if it
    /// is one.
    pub(crate) async fn halt(&self, halt: &Halt, reorg: Option<&DisputedReorg>) -> Result<(), Fault> {
        let halting = async {
            let mut conn = self.connection().await?;
            let mut db_tx = self.begin(&mut conn).await?;
            if cursor::halt(&mut db_tx, self.chain_id, halt).await? {
                if let Some(reorg) = reorg {
                    disputed_reorg::record(&mut db_tx, self.chain_id, reorg).await?;
                }
                let reason = format!("{}: {}", halt.code, halt.message);
                let states = (Some("following"), Some("halted"));
                self.write_down(&mut db_tx, "halted", states, &reason).await?;
            }
            commit(db_tx).await?;
            conn.give_back();
            Ok(())
        };
        self.answered("halt the chain", halting).await
    }

    /// The reorg that a person has accepted and that has not been replaced yet.
    pub(crate) async fn accepted(&self) -> Result<Option<AcceptedReorg>, Fault> {
        let reading = async {
            let mut conn = self.connection().await?;
            let dispute = disputed_reorg::read(&mut conn, self.chain_id).await?;
            conn.give_back();
            Ok(dispute)
        };
        let dispute = self.answered("read the disputed reorg", reading).await?;
        let Some(Dispute { reorg, permission: Some(_), .. }) = dispute else { return Ok(None) };
        let accepted = |parting: Parting| AcceptedReorg {
            tip: reorg.tip,
            ancestor: parting.ancestor,
            first: parting.first(),
            shown: reorg.found,
        };
        Ok(reorg.parting.map(accepted))
    }

    /// Uses the permission up, in the transaction that replaces the blocks above `ancestor` up to `tip` by a branch that begins
    /// with `first`: it must have been given for exactly this.
    pub(super) async fn use_up(
        &self,
        db_tx: &mut Transaction<'_, Postgres>,
        ancestor: BlockRef,
        first: BlockRef,
        tip: BlockRef,
    ) -> Result<(), Fault> {
        let permission = disputed_reorg::use_up(db_tx, self.chain_id, ancestor, first).await?;
        let permission = permission.ok_or(FollowerError::PermissionGone { ancestor })?;
        // The cursor is locked now: no commit of a compaction can come in between any more.
        for dataset in DATASETS {
            let watermark = isotherm_cold_store::catalog::watermark(db_tx, self.chain_id, dataset).await?;
            if let Some(watermark) = watermark.filter(|watermark| ancestor.number < *watermark) {
                return Err(FollowerError::ColdMeanwhile { ancestor, watermark }.into());
            }
        }
        let Permission { accepted_by, reason, .. } = permission;
        let reason = format!("blocks {} to {}, as accepted by {accepted_by}: {reason}", first.number, tip.number);
        self.write_down(db_tx, "accepted_reorg_replaced", (None, None), &reason).await
    }

    /// Writes a change of the chain into the audit trail.
    pub(super) async fn write_down(
        &self,
        db_tx: &mut Transaction<'_, Postgres>,
        action: &str,
        (from_state, to_state): (Option<&str>, Option<&str>),
        reason: &str,
    ) -> Result<(), Fault> {
        let change = Change {
            actor: ACTOR,
            action,
            subject: "chain",
            subject_id: self.chain_id.0.cast_signed(),
            from_state,
            to_state,
            reason: Some(reason),
            ..Change::default()
        };
        Ok(audit::record(db_tx, &change).await?)
    }
}
