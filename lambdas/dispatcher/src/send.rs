//! Carries wake-ups to SQS and launches to ECS, and notes what did not get there.

use isotherm_control::dispatch::{self, Outgoing, TaskLaunch, Wake};
use isotherm_control::tasks;
use isotherm_platform::Fault;
use isotherm_platform::ecs;
use isotherm_platform::task_wakes::send_task_wakes;
use sqlx::PgConnection;

use crate::Dispatcher;

impl Dispatcher {
    /// Sends everything; a failure of one message or launch does not keep the others back.
    pub(crate) async fn send(&self, conn: &mut PgConnection, outgoing: &Outgoing) -> Result<(), Fault> {
        self.send_wakes(conn, &outgoing.wakes).await?;
        for launch in &outgoing.launches {
            self.launch(conn, launch).await?;
        }
        Ok(())
    }

    async fn send_wakes(&self, conn: &mut PgConnection, wakes: &[Wake]) -> Result<(), Fault> {
        for unsent in send_task_wakes(self.clients.sqs(), &self.task_queues, wakes).await {
            dispatch::forget_wake(conn, unsent).await?;
        }
        Ok(())
    }

    async fn launch(&self, conn: &mut PgConnection, launch: &TaskLaunch) -> Result<(), Fault> {
        match ecs::launch(self.clients.ecs(), &self.fargate, launch).await {
            Ok(ecs_task_arn) => {
                tracing::info!(task.id = launch.task_id.0, ecs.task_arn = ecs_task_arn, "a worker was launched");
                tasks::note_launch(conn, launch.task_id, launch.fence, &ecs_task_arn).await?;
            }
            Err(error) => {
                report(&Fault::from(error), "a worker was not launched; the next sweep tries again");
                dispatch::forget_launch(conn, launch).await?;
            }
        }
        Ok(())
    }
}

/// Logs a failure that is made good later.
pub(crate) fn report(fault: &Fault, what: &'static str) {
    tracing::error!(error.code = fault.code(), error.message = fault.message(), "{what}");
}
