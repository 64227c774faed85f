//! Answering a wake-up: the claim, and whether the wake-up is still of use.

use std::time::{Duration, Instant};

use isotherm_control::ControlError;
use isotherm_control::tasks::{Claim, Claimant, ClaimedTask, claim};
use isotherm_types::{CrashPoint, TaskId};

use super::lease::Lease;
use super::wake_ups::{WakeUp, WakeUpQueue};
use super::{OwnRetry, Worker, report};
use crate::database::{PATIENCE, answered_within, borrow};
use crate::fault::Fault;

impl Worker {
    /// Claims the task of a wake-up, and deletes the wake-up unless it may still be of use.
    pub(super) async fn answer(
        &self,
        queue: &WakeUpQueue<'_>,
        wake_up: &WakeUp,
        own_retry: &mut Option<OwnRetry>,
    ) -> Result<Option<(Box<ClaimedTask>, Lease)>, Fault> {
        let task_id = wake_up.task_id;
        let (claim, lease) = self.claim(task_id).await?;
        if own_retry.is_none() {
            *own_retry = OwnRetry::after(task_id, &claim);
        }
        let claimed = match claim {
            Claim::Claimed(task) => Some((task, lease)),
            // The message comes back and is looked at again.
            Claim::Contended => return Ok(None),
            Claim::NotDue { .. } => None,
            Claim::HeldBack => {
                // Whoever ends a task of the job asks for the next one; besides, the dispatcher's sweep wakes again.
                tracing::debug!(task.id = task_id.0, "a task waits for a place of its job");
                None
            }
            Claim::NotQueued { state, fence } => {
                tracing::debug!(
                    task.id = task_id.0,
                    task.state = %state,
                    task.fence = fence.0,
                    "a stale wake-up is dropped"
                );
                None
            }
            Claim::OtherOperator { operator } => {
                tracing::error!(
                    task.id = task_id.0,
                    operator.name = operator,
                    error.code = "worker.other_operator",
                    "a wake-up came to the wrong queue"
                );
                None
            }
            Claim::Unknown => {
                tracing::warn!(task.id = task_id.0, error.code = "worker.unknown_task", "a wake-up names no task");
                None
            }
        };
        // A wake-up that cannot be deleted comes back and is stale then.
        tokio::select! {
            deleted = queue.delete(wake_up) => if let Err(error) = deleted {
                report(&Fault::from(error), "a wake-up could not be deleted");
            },
            () = self.stop.requested() => {}
        }
        Ok(claimed)
    }

    pub(super) async fn claim(&self, task_id: TaskId) -> Result<(Claim, Lease), Fault> {
        let claimant = Claimant {
            worker: &self.settings.name,
            operator: &self.settings.operator,
            ecs_task_arn: self.settings.ecs_task_arn.as_deref(),
        };
        let asked_at = Instant::now();
        let claiming = async {
            let mut conn = borrow(&self.pool).await?;
            let claim = claim(&mut conn, task_id, &claimant).await?;
            conn.give_back();
            Ok::<_, ControlError>(claim)
        };
        // One that is given up may have been granted: then the reaper takes the task back.
        let claim = answered_within(PATIENCE, claiming).await?;
        let length = if let Claim::Claimed(task) = &claim {
            CrashPoint::WorkerClaimed.pass();
            task.lease
        } else {
            Duration::ZERO
        };
        Ok((claim, Lease::new(length, asked_at)))
    }
}
