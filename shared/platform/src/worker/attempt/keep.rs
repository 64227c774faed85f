//! Keeping the lease while the operator runs.

use std::time::Instant;

use isotherm_control::ControlError;
use isotherm_control::tasks;
use tokio::time::{sleep_until, timeout};

use super::Attempt;
use crate::database;
use crate::fault::Fault;
use crate::worker::lease::Lease;
use crate::worker::outcome::StopReason;
use crate::worker::report;

impl Attempt<'_> {
    /// Sends heartbeats until the lease is lost, and says how.
    pub(super) async fn keep(&self, lease: &mut Lease) -> StopReason {
        let mut next = lease.heartbeat_due();
        loop {
            sleep_until(next.min(lease.over_at()).into()).await;
            let now = Instant::now();
            if now >= lease.over_at() {
                tracing::error!(
                    task.id = self.task.task_id.0,
                    error.code = "worker.lease_lost",
                    "no heartbeat got through; the operator is killed before the lease is over"
                );
                return StopReason::LeaseLost;
            }
            match timeout(lease.patience(), self.heartbeat(*lease)).await {
                Ok(Ok(true)) => {
                    lease.extend(now);
                    next = lease.heartbeat_due();
                    self.kick.notify_one();
                    let working_on = Some((self.task.task_id, self.task.fence));
                    self.worker.say_that_we_are_here(working_on, lease.patience()).await;
                }
                Ok(Ok(false)) => {
                    tracing::warn!(
                        task.id = self.task.task_id.0,
                        task.fence = self.task.fence.0,
                        error.code = "worker.fenced_off",
                        "the task is not ours any more; the operator is killed"
                    );
                    return StopReason::FencedOff;
                }
                Ok(Err(error)) => {
                    report(&Fault::from(error), "a heartbeat failed");
                    next = Instant::now() + lease.patience();
                }
                Err(_elapsed) => {
                    tracing::warn!(
                        task.id = self.task.task_id.0,
                        error.code = "worker.heartbeat_slow",
                        "a heartbeat got no answer"
                    );
                    next = Instant::now();
                }
            }
        }
    }

    pub(super) async fn heartbeat(&self, lease: Lease) -> Result<bool, ControlError> {
        let progress = self.progress.borrow().clone();
        let mut conn = database::borrow(&self.worker.pool).await?;
        let (task_id, fence) = (self.task.task_id, self.task.fence);
        let is_ours = tasks::heartbeat(&mut conn, task_id, fence, lease.length(), progress.as_ref()).await?;
        conn.give_back();
        Ok(is_ours)
    }
}
