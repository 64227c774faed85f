//! Saying that this worker is there, so that the dispatcher need not launch another for what this one can do.
//!
//! A hint for others: no failure here keeps the worker from its work.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use isotherm_control::ControlError;
use isotherm_control::worker_leases::{self, RENEW_AFTER, WorkerLease};
use isotherm_types::{Fence, TaskId};
use tokio::time::timeout;

use super::{Worker, report};
use crate::database::borrow;
use crate::fault::Fault;

/// Longest wait for the database's answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// When the worker last said that it is there.
#[derive(Debug, Default)]
pub(super) struct Presence(Mutex<Option<Instant>>);

impl Presence {
    /// Whether it is to be said again at `now`; then that counts as said, whatever comes of it.
    fn is_due(&self, now: Instant) -> bool {
        let mut said_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = said_at.is_none_or(|said_at| now >= said_at + RENEW_AFTER);
        if is_due {
            *said_at = Some(now);
        }
        is_due
    }
}

impl Worker {
    /// Says that this worker is there and what it works on, unless it has said so within the last 15 s. Waits for `patience`
    /// at most.
    pub(super) async fn say_that_we_are_here(&self, working_on: Option<(TaskId, Fence)>, patience: Duration) {
        if !self.presence.is_due(Instant::now()) {
            return;
        }
        match timeout(patience.min(PATIENCE), self.renew(working_on)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => report(&Fault::from(error), "the worker could not say that it is there"),
            Err(_elapsed) => tracing::warn!(
                worker.name = self.settings.name,
                error.code = "worker.presence_slow",
                "the database did not answer in time that it knows the worker"
            ),
        }
    }

    async fn renew(&self, working_on: Option<(TaskId, Fence)>) -> Result<(), ControlError> {
        let lease = WorkerLease {
            worker: &self.settings.name,
            operator: &self.settings.operator,
            ecs_task_arn: self.settings.ecs_task_arn.as_deref(),
            working_on,
        };
        let mut conn = borrow(&self.pool).await?;
        if !worker_leases::renew(&mut conn, &lease).await? {
            worker_leases::announce(&mut conn, &lease).await?;
        }
        conn.give_back();
        Ok(())
    }

    /// Takes the word back at the end. If that fails, it runs out by itself.
    pub(super) async fn say_that_we_leave(&self) {
        let leave = async {
            let mut conn = borrow(&self.pool).await?;
            worker_leases::leave(&mut conn, &self.settings.name).await
        };
        if let Ok(Err(error)) = timeout(PATIENCE, leave).await {
            report(&Fault::from(error), "the worker could not say that it leaves");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_most_every_fifteen_seconds() {
        let presence = Presence::default();
        let start = Instant::now();
        let due: Vec<u64> = (0..60).filter(|second| presence.is_due(start + Duration::from_secs(*second))).collect();
        assert_eq!(due, [0, 15, 30, 45]);
    }
}
