//! The errand `migrate`: its request goes to S3, ECS starts it inside the network, its answer comes back by S3.
//!
//! What lies in S3 is believed by neither side: with its start the errand is told what the request's bytes are, and what to seal its
//! answer with.

use std::time::Duration;

use anyhow::{Context, bail};
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, ContainerOverride, Failure, KeyValuePair, LaunchType, NetworkConfiguration,
    Task, TaskOverride,
};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use isotherm_local_stack::names;
use isotherm_platform::Secret;
use isotherm_platform::aws::Clients;
use isotherm_types::Classified as _;
use operator_migrate::request::{self, Answer, Done, Request};
use operator_migrate::{MigrateError, seal};
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

/// Pause between two looks at the task.
const LOOK: Duration = Duration::from_secs(1);
/// How long it may take, the start of its container among it. A migration of large tables may run for long.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How long ECS may not know a task that it has started. Source: Amazon ECS API reference, `RunTask`: what follows a call may not
/// see its effect at once.
const UNKNOWN_AT_FIRST: Duration = Duration::from_secs(60);

/// Terraform's output `errands`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Place {
    pub(super) cluster: String,
    pub(super) subnets: Vec<String>,
    pub(super) security_groups: Vec<String>,
}

/// One request on its way.
struct Asked {
    /// Where it lies.
    key: String,
    sha256: String,
    /// Seals the answer.
    answer_key: Secret<String>,
}

/// Starts the newest revision of `family` with `request`, and waits for what it answers.
///
/// # Errors
/// If it could not be started, ended without an answer, or answered that it failed; if the answer is not its own.
pub(super) async fn perform(
    clients: &Clients,
    place: &Place,
    family: &str,
    bucket: &str,
    request: &Request,
) -> anyhow::Result<Done> {
    let body = serde_json::to_vec(request).context("could not write the request")?;
    let asked = Asked {
        key: request::request_key(&Uuid::now_v7().to_string()),
        sha256: seal::sha256(&body),
        answer_key: seal::new_key(),
    };
    let call = clients.s3().put_object().bucket(bucket).key(&asked.key).body(ByteStream::from(body));
    call.send().await.with_context(|| format!("could not put the request to s3://{bucket}/{}", asked.key))?;
    let task = start(clients, place, family, &asked).await?;
    let ended = ended(clients, place, &task).await?;
    match answer(clients, bucket, &asked).await? {
        Some(Answer::Done(done)) => Ok(done),
        Some(Answer::Failed { code, message }) => {
            bail!("{message} ({code}); docs/errors.md says what to do, and the step can be repeated")
        }
        None => bail!(
            "{family} ended without an answer ({}); its log is /isotherm/operators/{family}",
            why_it_stopped(&ended).unwrap_or_else(|| "ECS says no reason".to_owned())
        ),
    }
}

/// Starts the task; returns its ARN.
async fn start(clients: &Clients, place: &Place, family: &str, asked: &Asked) -> anyhow::Result<String> {
    let variables = [
        (request::VARIABLE, &asked.key),
        (seal::DIGEST_VARIABLE, &asked.sha256),
        (seal::KEY_VARIABLE, asked.answer_key.expose()),
    ];
    let variables = variables.map(|(name, value)| KeyValuePair::builder().name(name).value(value).build());
    let container = ContainerOverride::builder().name(names::CONTAINER);
    let container = container.set_environment(Some(variables.to_vec())).build();
    let mut call = clients
        .ecs()
        .run_task()
        .cluster(&place.cluster)
        .task_definition(family)
        .launch_type(LaunchType::Fargate)
        .started_by("isotherm-deploy")
        .overrides(TaskOverride::builder().container_overrides(container).build());
    if !place.subnets.is_empty() {
        let network = AwsVpcConfiguration::builder()
            .set_subnets(Some(place.subnets.clone()))
            .set_security_groups(Some(place.security_groups.clone()))
            .assign_public_ip(AssignPublicIp::Disabled)
            .build()
            .context("the network's subnets are not usable")?;
        call = call.network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build());
    }
    let started = call.send().await.with_context(|| format!("ECS did not start {family}"))?;
    let refused = || started.failures().first().and_then(Failure::reason).unwrap_or("ECS says no reason");
    let arn = started.tasks().first().and_then(Task::task_arn);
    let arn = arn.with_context(|| format!("ECS did not start {family}: {}", refused()))?;
    Ok(arn.to_owned())
}

/// Waits for the task's end.
async fn ended(clients: &Clients, place: &Place, arn: &str) -> anyhow::Result<Task> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let call = clients.ecs().describe_tasks().cluster(&place.cluster).tasks(arn);
        let answer = call.send().await.with_context(|| format!("could not look at {arn}"))?;
        if let Some(task) = end_of(answer.tasks().first(), arn, began.elapsed())? {
            return Ok(task.clone());
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("{arn} has run for an hour; it goes on: look at its log, and repeat the step when it has ended")
}

/// The task, once it has ended.
///
/// # Errors
/// If ECS does not know it, and it was started too long ago for that.
fn end_of<'t>(task: Option<&'t Task>, arn: &str, since_start: Duration) -> anyhow::Result<Option<&'t Task>> {
    match task {
        Some(task) => Ok((task.last_status() == Some("STOPPED")).then_some(task)),
        None if since_start < UNKNOWN_AT_FIRST => Ok(None),
        // ECS forgets a task within the hour that it ended in; this one was just started.
        None => bail!("ECS does not know {arn}, which it has just started"),
    }
}

fn why_it_stopped(task: &Task) -> Option<String> {
    let of_container =
        task.containers().iter().find_map(|container| match (container.reason(), container.exit_code()) {
            (Some(reason), _) => Some(reason.to_owned()),
            (None, Some(code)) => Some(format!("exit code {code}")),
            (None, None) => None,
        });
    of_container.or_else(|| task.stopped_reason().map(str::to_owned))
}

async fn answer(clients: &Clients, bucket: &str, asked: &Asked) -> anyhow::Result<Option<Answer>> {
    let key = request::answer_key(&asked.key);
    let found = match clients.s3().get_object().bucket(bucket).key(&key).send().await {
        Ok(found) => found,
        Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("could not read s3://{bucket}/{key}")),
    };
    let bytes = found.body.collect().await.with_context(|| format!("could not read s3://{bucket}/{key}"))?.into_bytes();
    let told = |error: MigrateError| {
        let code = error.code();
        anyhow::Error::new(error)
            .context(format!("s3://{bucket}/{key} is not believed ({code}); docs/errors.md says what to do"))
    };
    seal::opened(&bytes, &asked.answer_key, &key).map(Some).map_err(told)
}

#[cfg(test)]
mod tests;
