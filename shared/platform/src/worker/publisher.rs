//! Publishes the outbox for a worker: after an attempt, and while an operator runs.

use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::{Notify, watch};

use super::report;
use crate::config::settings::EventQueues;
use crate::fault::Fault;
use crate::outbox_publisher::publish_pending;

/// What publishing needs, of its own, so that it can go on in the background.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    pub(super) pool: PgPool,
    pub(super) sqs: aws_sdk_sqs::Client,
    pub(super) queues: EventQueues,
}

impl Publisher {
    /// Publishes the outbox; what fails is tried again later, here or by the dispatcher's sweep.
    pub(super) async fn publish(&self) {
        match publish_pending(&self.pool, &self.sqs, &self.queues).await {
            Ok(0) => {}
            Ok(published) => tracing::debug!(event.count = published, "events published"),
            Err(error) => report(&Fault::from(error), "the outbox could not be published"),
        }
    }

    /// Publishes each time the operator or a heartbeat hints at it, until the operator is over. Hints during a
    /// publication become one.
    ///
    /// It must be spawned, and neither dropped nor waited for. A publication that is dropped leaves messages sent whose rows
    /// are still there, to be sent again. One that is waited for may last longer than the lease, which nobody keeps once the
    /// operator is over.
    pub(super) async fn publish_when_kicked(self, kick: Arc<Notify>, mut is_over: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = kick.notified() => {}
                _ = is_over.wait_for(|over| *over) => return,
            }
            self.publish().await;
        }
    }
}
