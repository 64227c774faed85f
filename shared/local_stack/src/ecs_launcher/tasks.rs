//! The emulator's books of ECS, through its API.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{DesiredStatus, KeyValuePair, Task, TaskDefinition, TaskOverride};

use crate::error::LocalStackError;
use crate::names;

/// Fargate's default. Source: Amazon ECS developer guide, container definition parameters.
const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// What a task's worker is started with.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    /// The task.
    pub(super) task_arn: String,
    /// Variables of the task definition, under those of `RunTask`'s overrides.
    pub(super) variables: BTreeMap<String, String>,
    /// Time between SIGTERM and SIGKILL.
    pub(super) stop_timeout: Duration,
}

impl Launch {
    /// Last part of the task's ARN.
    pub(super) fn task_id(&self) -> &str {
        self.task_arn.rsplit('/').next().unwrap_or(&self.task_arn)
    }
}

/// The tasks of one cluster.
pub(super) struct Tasks {
    client: Client,
    cluster: String,
    /// A revision never changes, so each is read once.
    definitions: BTreeMap<String, TaskDefinition>,
}

impl Tasks {
    pub(super) fn new(client: Client, cluster: &str) -> Self {
        Self { client, cluster: cluster.to_owned(), definitions: BTreeMap::new() }
    }

    /// ARNs of the tasks that should run.
    pub(super) async fn list_running(&self) -> Result<BTreeSet<String>, LocalStackError> {
        let call = self.client.list_tasks().cluster(&self.cluster).desired_status(DesiredStatus::Running);
        let mut pages = call.into_paginator().items().send();
        let mut arns = BTreeSet::new();
        while let Some(arn) = pages.next().await {
            arns.insert(arn.map_err(LocalStackError::aws("list running tasks"))?);
        }
        Ok(arns)
    }

    /// What to start for a task; `None` for one that has stopped already. After a restart the emulator lists tasks of
    /// its former life as wanted, but says of each that it is stopped.
    pub(super) async fn describe(&mut self, arn: &str) -> Result<Option<Launch>, LocalStackError> {
        let call = self.client.describe_tasks().cluster(&self.cluster).tasks(arn);
        let answer = call.send().await.map_err(LocalStackError::aws(format!("describe task {arn}")))?;
        let Some(task) = answer.tasks().first().filter(|task| task.last_status() == Some("RUNNING")) else {
            return Ok(None);
        };
        let definition_arn = task.task_definition_arn().unwrap_or_default();
        let definition = self.definition(definition_arn).await?;
        let container = definition.container_definitions().iter().find(|one| one.name() == Some(names::CONTAINER));
        let mut variables = container.map(|container| map(container.environment())).unwrap_or_default();
        variables.extend(overrides(task));
        let stop_timeout = container
            .and_then(|container| u64::try_from(container.stop_timeout()?).ok())
            .map_or(DEFAULT_STOP_TIMEOUT, Duration::from_secs);
        Ok(Some(Launch { task_arn: arn.to_owned(), variables, stop_timeout }))
    }

    /// Marks a task as stopped; `reason` is kept.
    pub(super) async fn stop(&self, arn: &str, reason: &str) -> Result<(), LocalStackError> {
        let call = self.client.stop_task().cluster(&self.cluster).task(arn).reason(reason);
        call.send().await.map_err(LocalStackError::aws(format!("stop task {arn}")))?;
        Ok(())
    }

    async fn definition(&mut self, arn: &str) -> Result<TaskDefinition, LocalStackError> {
        if let Some(known) = self.definitions.get(arn) {
            return Ok(known.clone());
        }
        let action = format!("describe task definition {arn}");
        let answer = self.client.describe_task_definition().task_definition(arn).send().await;
        let answer = answer.map_err(LocalStackError::aws(&action))?;
        let found = answer.task_definition.ok_or_else(LocalStackError::answer(action, "taskDefinition"))?;
        self.definitions.insert(arn.to_owned(), found.clone());
        Ok(found)
    }
}

fn overrides(task: &Task) -> BTreeMap<String, String> {
    let containers = task.overrides().map(TaskOverride::container_overrides).unwrap_or_default();
    let ours = containers.iter().find(|container| container.name() == Some(names::CONTAINER));
    ours.map(|container| map(container.environment())).unwrap_or_default()
}

fn map(pairs: &[KeyValuePair]) -> BTreeMap<String, String> {
    pairs.iter().filter_map(|pair| Some((pair.name()?.to_owned(), pair.value()?.to_owned()))).collect()
}
