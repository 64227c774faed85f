//! What waits, told once a minute: events in the outbox, messages in queues, due tasks.

use std::time::Duration;

use isotherm_control::dispatch::longest_waits;
use isotherm_control::{ControlError, outbox};
use isotherm_platform::config::settings::EventQueues;
use isotherm_platform::metrics::{OUTBOX_PENDING, QUEUE_AGE_SECONDS, emit};
use isotherm_platform::{Fault, queue_lengths};
use tokio::time::timeout;

use crate::Dispatcher;
use crate::send::report;

/// How long the sweep waits for figures; its time-out is 30 s.
const PATIENCE: Duration = Duration::from_secs(5);

impl Dispatcher {
    /// Tells all of it. What cannot be had is logged, and changes nothing of the sweep.
    pub(crate) async fn measure(&self) {
        let measured = timeout(PATIENCE, async { tokio::join!(self.measure_queues(), self.measure_rows()) });
        match measured.await {
            Ok(((), Ok(()))) => {}
            Ok(((), Err(fault))) => report(&fault, "what waits in the database is not known"),
            Err(_elapsed) => tracing::warn!("the lengths of queues were not told in time"),
        }
    }

    async fn measure_queues(&self) {
        let EventQueues { events, thresholds, dead_letters, alerts, deliveries } = &self.event_queues;
        let read = [events, thresholds, alerts, deliveries].into_iter().chain(self.task_queues.0.values());
        let sqs = self.clients.sqs();
        tokio::join!(
            queue_lengths::tell(sqs, read.map(String::as_str)),
            queue_lengths::tell_dead_letters(sqs, dead_letters)
        );
    }

    async fn measure_rows(&self) -> Result<(), Fault> {
        let mut conn = self.pool.acquire().await.map_err(ControlError::from)?;
        let pending = outbox::pending(&mut conn).await?;
        emit(OUTBOX_PENDING, pending.row_count as f64, &[]);
        let waits = longest_waits(&mut conn).await?;
        for (operator, queue_url) in &self.task_queues.0 {
            let wait = waits.get(operator).map_or(0.0, Duration::as_secs_f64);
            emit(QUEUE_AGE_SECONDS, wait, &[("queue", queue_lengths::name(queue_url))]);
        }
        Ok(())
    }
}
