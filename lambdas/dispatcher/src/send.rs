//! Carries wake-ups to SQS and launches to ECS, and notes what did not get there.

use isotherm_control::dispatch::{self, Outgoing, TaskLaunch, Wake};
use isotherm_control::tasks;
use isotherm_platform::ecs::{self, Launch};
use isotherm_platform::task_wakes::{TaskWakeUp, send_task_wakes};
use isotherm_platform::Fault;
use sqlx::PgConnection;

use crate::Dispatcher;

/// Who asked, in the ECS task's `startedBy`.
const STARTED_BY: &str = "isotherm-dispatcher";

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
        let messages: Vec<TaskWakeUp> = wakes
            .iter()
            .map(|wake| TaskWakeUp { operator: wake.operator.clone(), wake: wake.message(), wakes_sent: wake.number })
            .collect();
        let accepted = match send_task_wakes(self.clients.sqs(), &self.task_queues, &messages).await {
            Ok(accepted) => accepted,
            Err(error) => {
                report(&Fault::from(error), "wake-ups were not sent; the next sweep sends them");
                Vec::new()
            }
        };
        for (wake, message) in wakes.iter().zip(&messages) {
            if !accepted.contains(&message) {
                dispatch::forget_wake(conn, wake).await?;
            }
        }
        Ok(())
    }

    async fn launch(&self, conn: &mut PgConnection, launch: &TaskLaunch) -> Result<(), Fault> {
        let request = Launch {
            operator: launch.operator.clone(),
            client_token: launch.client_token(),
            started_by: STARTED_BY.to_owned(),
            environment: Vec::new(),
        };
        match ecs::launch(self.clients.ecs(), &self.fargate, &request).await {
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
