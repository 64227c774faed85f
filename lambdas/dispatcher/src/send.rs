//! Carries wake-ups to SQS and launches to ECS, and notes what did not get there.

use isotherm_control::dispatch::{self, Outgoing, TaskLaunch, Wake};
use isotherm_control::tasks;
use isotherm_platform::Fault;
use isotherm_platform::ecs;
use isotherm_platform::task_wakes::send_task_wakes;
use isotherm_types::{CrashPoint, Disposition};
use sqlx::PgConnection;

use crate::Dispatcher;

impl Dispatcher {
    /// Sends everything; a failure of one message or launch does not keep the others back.
    pub(crate) async fn send(&self, conn: &mut PgConnection, outgoing: &Outgoing) -> Result<(), Fault> {
        if !(outgoing.wakes.is_empty() && outgoing.launches.is_empty()) {
            CrashPoint::DispatchNoted.pass();
        }
        let mut sent = self.send_wakes(conn, &outgoing.wakes).await;
        for launch in &outgoing.launches {
            let launched = self.launch(conn, launch).await;
            if let Err(fault) = &launched {
                report(fault, "what became of a launch could not be noted");
            }
            sent = sent.and(launched);
        }
        sent
    }

    async fn send_wakes(&self, conn: &mut PgConnection, wakes: &[Wake]) -> Result<(), Fault> {
        let mut noted = Ok(());
        for unsent in send_task_wakes(self.clients.sqs(), &self.task_queues, wakes).await {
            let forgotten = dispatch::forget_wake(conn, unsent).await.map_err(Fault::from);
            if let Err(fault) = &forgotten {
                report(fault, "a wake-up that was not sent could not be noted");
            }
            noted = noted.and(forgotten);
        }
        noted
    }

    async fn launch(&self, conn: &mut PgConnection, launch: &TaskLaunch) -> Result<(), Fault> {
        match ecs::launch(self.clients.ecs(), &self.fargate, launch).await {
            Ok(ecs_task_arn) => {
                tracing::info!(task.id = launch.task_id.0, ecs.task_arn = ecs_task_arn, "a worker was launched");
                tasks::note_launch(conn, launch.task_id, launch.fence, &ecs_task_arn).await?;
            }
            Err(error) => {
                let fault = Fault::from(error);
                report(&fault, "a worker was not launched; a later sweep tries again");
                // What ECS refuses it would refuse again at once: such a launch stays noted, and waits as one that came
                // to nothing.
                if fault.disposition() != Disposition::GiveUp {
                    dispatch::forget_launch(conn, launch).await?;
                }
            }
        }
        Ok(())
    }
}

/// Logs a failure that is made good later.
pub(crate) fn report(fault: &Fault, what: &'static str) {
    tracing::error!(error.code = fault.code(), error.message = fault.message(), "{what}");
}
