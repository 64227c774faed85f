//! The ECS cluster, and a task definition for each operator.

use std::collections::BTreeMap;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::describe_task_definition::DescribeTaskDefinitionError;
use aws_sdk_ecs::types::{Compatibility, ContainerDefinition, KeyValuePair, NetworkMode, TaskDefinition};

use super::{Change, OnStep, report};
use crate::aws::if_there;
use crate::environment::{self, Addresses, Variables};
use crate::error::LocalStackError;
use crate::names;
use crate::stack_file::{Errand, Operator, Stack};

/// Creates the cluster and the task definitions; returns the ARN of each newest revision.
pub(super) async fn ensure(
    stack: &Stack,
    client: &Client,
    addresses: &Addresses,
    account: &str,
    on_step: &mut OnStep<'_>,
) -> Result<BTreeMap<String, String>, LocalStackError> {
    let cluster = names::cluster();
    let known = client.describe_clusters().clusters(cluster).send().await;
    let known = known.map_err(LocalStackError::aws(format!("look up cluster {cluster}")))?;
    let change = if known.clusters().is_empty() { Change::Created } else { Change::Unchanged };
    if change == Change::Created {
        let created = client.create_cluster().cluster_name(cluster).send().await;
        created.map_err(LocalStackError::aws(format!("create cluster {cluster}")))?;
    }
    report(on_step, "cluster", cluster, change);

    let mut arns = BTreeMap::new();
    for (key, operator) in &stack.operators {
        let variables = environment::of_operator(stack, key, operator, addresses)?;
        let (arn, change) = ensure_one(client, key, &Size::from(operator), &variables, account).await?;
        report(on_step, "task definition", names::task_definition(key), change);
        arns.insert(key.clone(), arn);
    }
    Ok(arns)
}

/// What a task has of its host.
pub(super) struct Size {
    cpu: i32,
    memory_mb: i32,
    stop_timeout_seconds: i32,
}

impl From<&Operator> for Size {
    fn from(operator: &Operator) -> Self {
        let Operator { cpu, memory_mb, stop_timeout_seconds, .. } = *operator;
        Self { cpu, memory_mb, stop_timeout_seconds }
    }
}

impl From<&Errand> for Size {
    fn from(errand: &Errand) -> Self {
        let Errand { cpu, memory_mb, stop_timeout_seconds, .. } = *errand;
        Self { cpu, memory_mb, stop_timeout_seconds }
    }
}

pub(super) async fn ensure_one(
    client: &Client,
    key: &str,
    size: &Size,
    variables: &Variables,
    account: &str,
) -> Result<(String, Change), LocalStackError> {
    let family = names::task_definition(key);
    let found = client.describe_task_definition().task_definition(&family).send().await;
    // "Unable to describe task definition": ECS has no error of its own for an unknown family.
    let is_none = DescribeTaskDefinitionError::is_client_exception;
    let found = if_there(found, is_none, format!("look up task definition {family}"))?;
    let found = found.and_then(|found| found.task_definition);
    let change = match &found {
        None => Change::Created,
        Some(found) if is_same(found, size, variables) => {
            if let Some(arn) = found.task_definition_arn() {
                return Ok((arn.to_owned(), Change::Unchanged));
            }
            Change::Updated
        }
        Some(_) => Change::Updated,
    };
    let container = ContainerDefinition::builder()
        .name(names::CONTAINER)
        .image(names::local_image(key))
        .essential(true)
        .readonly_root_filesystem(true)
        .stop_timeout(size.stop_timeout_seconds)
        .set_environment(Some(pairs(variables)))
        .build();
    let action = format!("register task definition {family}");
    let registered = client
        .register_task_definition()
        .family(&family)
        .cpu(size.cpu.to_string())
        .memory(size.memory_mb.to_string())
        .network_mode(NetworkMode::Awsvpc)
        .requires_compatibilities(Compatibility::Fargate)
        .task_role_arn(names::role_arn(account, &format!("{key}_operator")))
        .container_definitions(container)
        .send()
        .await
        .map_err(LocalStackError::aws(&action))?;
    let arn = registered.task_definition().and_then(TaskDefinition::task_definition_arn);
    let arn = arn.ok_or_else(LocalStackError::answer(action, "taskDefinitionArn"))?;
    Ok((arn.to_owned(), change))
}

fn pairs(variables: &Variables) -> Vec<KeyValuePair> {
    variables.iter().map(|(name, value)| KeyValuePair::builder().name(name).value(value).build()).collect()
}

fn is_same(found: &TaskDefinition, size: &Size, variables: &Variables) -> bool {
    let [container] = found.container_definitions() else { return false };
    found.cpu() == Some(size.cpu.to_string().as_str())
        && found.memory() == Some(size.memory_mb.to_string().as_str())
        && container.stop_timeout() == Some(size.stop_timeout_seconds)
        && container.environment() == pairs(variables)
}
