//! Carries wake-ups to SQS and launches to ECS, and notes what did not get there.

use std::pin::pin;

use futures::StreamExt;
use isotherm_control::dispatch::{self, Outgoing, TaskLaunch, Wake};
use isotherm_control::tasks;
use isotherm_platform::Fault;
use isotherm_platform::ecs::{self, EcsError};
use isotherm_platform::task_wakes::send_task_wakes;
use isotherm_types::CrashPoint;
use sqlx::PgConnection;

use crate::Dispatcher;

/// Calls of `RunTask` under way at one time; the account's rate is kept by the budget in Postgres.
const CONCURRENT_LAUNCHES: usize = 8;

impl Dispatcher {
    /// Sends everything; a failure of one message or launch does not keep the others back.
    pub(crate) async fn send(&self, conn: &mut PgConnection, outgoing: &Outgoing) -> Result<(), Fault> {
        if !(outgoing.wakes.is_empty() && outgoing.launches.is_empty()) {
            CrashPoint::DispatchNoted.pass();
        }
        let mut sent = self.send_wakes(conn, &outgoing.wakes).await;
        let calls = outgoing
            .launches
            .iter()
            .map(|launch| async move { (launch, ecs::launch(self.clients.ecs(), &self.fargate, launch).await) });
        let mut answers = pin!(futures::stream::iter(calls).buffer_unordered(CONCURRENT_LAUNCHES));
        while let Some((launch, answer)) = answers.next().await {
            let noted = note(conn, launch, answer).await;
            if let Err(fault) = &noted {
                report(fault, "what became of a launch could not be noted");
            }
            sent = sent.and(noted);
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
}

/// Writes down what became of a launch.
async fn note(conn: &mut PgConnection, launch: &TaskLaunch, answer: Result<String, EcsError>) -> Result<(), Fault> {
    match answer {
        Ok(ecs_task_arn) => {
            tracing::info!(task.id = launch.task_id.0, ecs.task_arn = ecs_task_arn, "a worker was launched");
            tasks::note_launch(conn, launch.task_id, launch.fence, &ecs_task_arn).await?;
        }
        Err(error) => {
            match &error {
                // ECS would answer the same again under this token.
                EcsError::NotStarted { .. } => dispatch::forget_launch(conn, launch).await?,
                // It may have been started, by an earlier try of the call too. It is asked for again under the same token, which
                // then starts nothing.
                EcsError::Unanswered { .. } | EcsError::Later { .. } => dispatch::repeat_launch(conn, launch).await?,
                // What ECS refuses it would refuse again at once: such a launch waits as one that came to nothing.
                EcsError::Refused { .. } => {}
            }
            report(&Fault::from(error), "a worker was not launched; a later sweep tries again");
        }
    }
    Ok(())
}

/// Logs a failure that is made good later.
pub(crate) fn report(fault: &Fault, what: &'static str) {
    tracing::error!(error.code = fault.code(), error.message = fault.message(), "{what}");
}
