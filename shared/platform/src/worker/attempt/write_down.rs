//! Writing down how the attempt ended: in its row, in the log, and as metrics.

use std::time::{Duration, Instant};

use isotherm_control::ControlError;
use isotherm_control::tasks::{self, AfterFailure, Failure};
use isotherm_types::Disposition;
use serde_json::Value;
use sqlx::Connection;
use tokio::time::timeout;

use super::{After, Attempt, Run};
use crate::database::{PATIENCE, answered_within};
use crate::fault::Fault;
use crate::metrics;
use crate::worker::outcome::Verdict;
use crate::worker::report;

/// Pause between two tries.
const WRITE_PAUSE: Duration = Duration::from_millis(300);

impl Attempt<'_> {
    /// Writes the end down, trying until the lease is over.
    pub(super) async fn write_down(&mut self, run: &Run) -> After {
        // The last progress belongs to the row; this heartbeat also makes time to write the end down.
        let asked_at = Instant::now();
        if let Ok(Ok(true)) = timeout(self.lease.patience(), self.heartbeat(self.lease)).await {
            self.lease.extend(asked_at);
        }
        loop {
            let left = self.lease.over_at().saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::error!(
                    task.id = self.task.task_id.0,
                    error.code = "worker.lease_lost",
                    "the end of the attempt could not be written down in time"
                );
                return After::LeaseOver;
            }
            let fault = match answered_within(PATIENCE.min(left), self.try_write_down(run)).await {
                Ok(after) => return after,
                Err(error) => Fault::from(error),
            };
            if fault.disposition() == Disposition::GiveUp {
                tracing::error!(
                    task.id = self.task.task_id.0,
                    error.code = fault.code(),
                    error.message = fault.message(),
                    "the end of the attempt could not be written down"
                );
                return After::NotOurs;
            }
            report(&fault, "the end of the attempt could not be written down yet");
            tokio::time::sleep(WRITE_PAUSE).await;
        }
    }

    async fn try_write_down(&self, run: &Run) -> Result<After, ControlError> {
        let (task_id, fence, tail) = (self.task.task_id, self.task.fence, run.stderr_tail.as_deref());
        // Not one of the pool's: if this is dropped half-way, the connection is closed and its transaction gone. One of
        // the pool's would be handed on with the transaction open.
        let mut conn = self.worker.pool.acquire().await?.detach();
        let mut db_tx = conn.begin().await?;
        let after = match &run.verdict {
            Verdict::Complete { output } => {
                tasks::complete(&mut db_tx, task_id, fence, output, tail).await?;
                After::Over
            }
            Verdict::Fail { code, message, disposition } => {
                let failure = Failure { code, message, disposition: *disposition, stderr_tail: tail };
                After::Failure(tasks::fail(&mut db_tx, task_id, fence, &failure).await?)
            }
            Verdict::Release => {
                tasks::release(&mut db_tx, task_id, fence, tail).await?;
                After::Over
            }
            Verdict::ReleaseLate | Verdict::Abandon => return Ok(After::NotOurs),
        };
        if let Some(exit) = run.exit {
            tasks::note_exit(&mut db_tx, task_id, fence, exit).await?;
        }
        db_tx.commit().await?;
        if let After::Failure(AfterFailure::Queued { .. }) = after {
            metrics::emit(metrics::TASK_RETRIES_TOTAL, 1.0, &self.dimensions());
        }
        Ok(after)
    }

    /// Logs the end. Work whose end was not written down does not count as done: it is done again.
    pub(super) fn log_end(&self, verdict: &Verdict, after: After, duration: Duration) {
        let (task_id, duration_ms) = (self.task.task_id.0, u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        let success = match verdict {
            Verdict::Complete { .. } if after == After::Over => {
                tracing::info!(task.id = task_id, job.name = self.task.job, duration_ms, "the task is completed");
                1.0
            }
            Verdict::Fail { code, message, .. } => {
                tracing::error!(
                    task.id = task_id,
                    job.name = self.task.job,
                    duration_ms,
                    error.code = code,
                    error.message = message,
                    "the attempt failed"
                );
                0.0
            }
            Verdict::Release => {
                tracing::info!(task.id = task_id, job.name = self.task.job, duration_ms, "the task is given back");
                return;
            }
            Verdict::Complete { .. } | Verdict::ReleaseLate | Verdict::Abandon => {
                tracing::warn!(task.id = task_id, job.name = self.task.job, duration_ms, "the attempt is abandoned");
                return;
            }
        };
        let about = [("task.id", Value::from(task_id))];
        metrics::emit_about(metrics::TASK_SUCCESS_RATE, success, &self.dimensions(), &about);
        metrics::emit_about(metrics::TASK_DURATION_SECONDS, duration.as_secs_f64(), &self.dimensions(), &about);
    }

    fn dimensions(&self) -> [(&str, &str); 1] {
        [("operator", self.worker.settings.operator.as_str())]
    }
}
