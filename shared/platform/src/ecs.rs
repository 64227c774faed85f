//! Fargate capacity: one `RunTask` for a worker that is to come, one `StopTask` for a worker that is to go.
//!
//! The client token makes a launch happen once however often it is asked for. Source: Amazon ECS API Reference,
//! `RunTask`, "Ensuring idempotency".

use std::time::Duration;

use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, ContainerOverride, KeyValuePair, LaunchType, NetworkConfiguration,
    TaskOverride,
};
use isotherm_control::dispatch::TaskLaunch;
use isotherm_types::{Classified, Disposition};

use crate::config::settings::Fargate;

/// Name of the one container of every task definition.
pub const CONTAINER: &str = "worker";

/// Variable of the worker that names the task it was launched for, so that it need not wait for the wake-up.
pub const TASK_VARIABLE: &str = "ISOTHERM_TASK_ID";
/// Who asks, for `startedBy`.
const STARTED_BY: &str = "isotherm-dispatcher";

/// What ECS did not do, and whether asking again can help.
#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    /// Too many calls, or no capacity now: ask later. It says nothing of an earlier try of the same call, which may have been
    /// carried out without an answer.
    #[error("{action} was throttled or found no capacity ({reason})")]
    Later {
        /// What was asked for.
        action: String,
        /// ECS's word for it.
        reason: String,
    },
    /// ECS has answered, and no task was started under this token, now or before.
    #[error("{action} started no task ({reason})")]
    NotStarted {
        /// What was asked for.
        action: String,
        /// ECS's word for it.
        reason: String,
    },
    /// The task definition, the cluster or the request is wrong.
    #[error("{action} was refused ({reason})")]
    Refused {
        /// What was asked for.
        action: String,
        /// ECS's word for it.
        reason: String,
    },
    /// ECS did not answer.
    #[error("{action} got no answer")]
    Unanswered {
        /// What was asked for.
        action: String,
        /// What the SDK reports.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How long a throttled launch waits; `RunTask`'s bucket refills at 20 a second.
const THROTTLED_WAIT: Duration = Duration::from_secs(5);

impl Classified for EcsError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Later { .. } | Self::NotStarted { .. } => Disposition::RetryAfter(THROTTLED_WAIT),
            Self::Refused { .. } => Disposition::GiveUp,
            Self::Unanswered { .. } => Disposition::Retry,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Later { .. } => "ecs.throttled",
            Self::NotStarted { .. } => "ecs.not_started",
            Self::Refused { .. } => "ecs.refused",
            Self::Unanswered { .. } => "ecs.unanswered",
        }
    }
}

/// Starts one worker; returns the ARN of its ECS task.
///
/// # Errors
/// [`EcsError`]; after [`EcsError::Unanswered`] and [`EcsError::Later`] the launch may have been made, and must be asked for again
/// under the same token.
pub async fn launch(ecs: &aws_sdk_ecs::Client, fargate: &Fargate, launch: &TaskLaunch) -> Result<String, EcsError> {
    let family = fargate.task_definition(&launch.operator);
    let action = format!("launch of {family}");
    let task = KeyValuePair::builder().name(TASK_VARIABLE).value(launch.task_id.0.to_string()).build();
    let container = ContainerOverride::builder().name(CONTAINER).environment(task).build();
    let answer = ecs
        .run_task()
        .cluster(&fargate.cluster)
        .task_definition(&family)
        .launch_type(LaunchType::Fargate)
        .count(1)
        .client_token(launch.client_token())
        .started_by(STARTED_BY)
        .set_network_configuration(network(fargate, &action)?)
        .overrides(TaskOverride::builder().container_overrides(container).build())
        .send()
        .await
        .map_err(|source| classify(action.clone(), source))?;
    if let Some(failure) = answer.failures().first() {
        let reason = failure.reason().unwrap_or("no reason given").to_owned();
        return Err(match by_reason(action, reason) {
            EcsError::Later { action, reason } => EcsError::NotStarted { action, reason },
            other => other,
        });
    }
    match answer.tasks().first().and_then(|task| task.task_arn()) {
        Some(arn) => Ok(arn.to_owned()),
        None => Err(EcsError::NotStarted { action, reason: "no reason given".to_owned() }),
    }
}

/// Stops the worker that runs as ECS task `task_arn`. One that is gone already counts as stopped.
///
/// # Errors
/// [`EcsError`].
pub async fn stop(ecs: &aws_sdk_ecs::Client, cluster: &str, task_arn: &str, reason: &str) -> Result<(), EcsError> {
    let stopped = ecs.stop_task().cluster(cluster).task(task_arn).reason(reason).send().await;
    match stopped {
        Ok(_) => Ok(()),
        Err(error) if is_gone(&error) => Ok(()),
        Err(error) => Err(classify(format!("stop of {task_arn}"), error)),
    }
}

/// The network of the task; none where no subnets are configured, as on one machine.
fn network(fargate: &Fargate, action: &str) -> Result<Option<NetworkConfiguration>, EcsError> {
    if fargate.subnets.is_empty() {
        return Ok(None);
    }
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(fargate.subnets.clone()))
        .set_security_groups(Some(fargate.security_groups.clone()))
        .assign_public_ip(AssignPublicIp::Disabled)
        .build()
        .map_err(|error| EcsError::Refused { action: action.to_owned(), reason: error.to_string() })?;
    Ok(Some(NetworkConfiguration::builder().awsvpc_configuration(vpc).build()))
}

/// Whether ECS says that it does not know the task. It answers so for one that has stopped and been forgotten; one that it
/// still remembers can be stopped again. It is answered so for one that never was too, but ARNs come from ECS itself.
///
/// Source: Amazon ECS API Reference, `DescribeTasks` (a stopped task can be seen for an hour at least) and `StopTask`, which
/// names the exception. The words are not documented: "The referenced task was not found." is what ECS says.
fn is_gone<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let about_the_task = error.as_service_error().filter(|error| error.code() == Some("InvalidParameterException"));
    about_the_task.and_then(|error| error.message()).is_some_and(|message| message.contains("task was not found"))
}

fn classify<E, R>(action: String, error: SdkError<E, R>) -> EcsError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match error.as_service_error().and_then(|error| error.code()) {
        Some(code) => by_reason(action, code.to_owned()),
        None => EcsError::Unanswered { action, source: Box::new(error) },
    }
}

/// Tells reasons that pass from those that stay. Unknown ones stay: retrying what is not understood hides it.
fn by_reason(action: String, reason: String) -> EcsError {
    const PASSING: [&str; 6] =
        ["Throttl", "LimitExceeded", "Capacity", "RESOURCE", "ServerException", "ServiceUnavailable"];
    if PASSING.iter().any(|word| reason.contains(word)) {
        EcsError::Later { action, reason }
    } else {
        EcsError::Refused { action, reason }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::error::ErrorMetadata;
    use aws_sdk_ecs::operation::stop_task::StopTaskError;

    use super::*;

    #[test]
    fn only_a_task_that_ecs_does_not_know_is_gone() {
        let table = [
            ("InvalidParameterException", "The referenced task was not found.", true),
            ("InvalidParameterException", "Task Identifier is invalid", false),
            ("ClusterNotFoundException", "Cluster not found.", false),
            ("ServerException", "The referenced task was not found.", false),
        ];
        for (code, message, expected) in table {
            let metadata = ErrorMetadata::builder().code(code).message(message).build();
            let error = SdkError::service_error(StopTaskError::generic(metadata), ());
            assert_eq!(is_gone(&error), expected, "{code}: {message}");
        }
    }

    #[test]
    fn throttling_and_missing_capacity_are_asked_again_later() {
        for reason in
            ["ThrottlingException", "Capacity is unavailable at this time", "RESOURCE:MEMORY", "LimitExceededException"]
        {
            let error = by_reason("launch".to_owned(), reason.to_owned());
            assert_eq!(error.code(), "ecs.throttled", "{reason}");
        }
        let error = by_reason("launch".to_owned(), "ClusterNotFoundException".to_owned());
        assert_eq!(error.disposition(), Disposition::GiveUp);
    }
}
