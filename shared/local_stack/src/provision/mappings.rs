//! Event source mappings: which queue feeds which function.

use std::collections::BTreeMap;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::{EventSourceMappingConfiguration, FunctionResponseType, ScalingConfig};

use super::{Change, OnStep, report};
use crate::error::LocalStackError;
use crate::names;
use crate::stack_file::{EventSourceMapping, Stack};

/// Creates, updates and removes mappings.
pub(super) async fn ensure(
    stack: &Stack,
    client: &Client,
    queue_arns: &BTreeMap<String, String>,
    on_step: &mut OnStep<'_>,
) -> Result<(), LocalStackError> {
    let mut known = all(client).await?;
    for (key, mapping) in &stack.event_source_mappings {
        let unresolved = || LocalStackError::Unresolved { kind: "queue", name: mapping.queue.clone() };
        let queue_arn = queue_arns.get(&mapping.queue).ok_or_else(unresolved)?;
        let function = names::function(&mapping.function);
        let same_pair = |found: &EventSourceMappingConfiguration| {
            found.event_source_arn() == Some(queue_arn) && function_name(found) == Some(function.as_str())
        };
        let found = known.iter().position(same_pair).map(|i| known.remove(i));
        let change = match found {
            None => {
                create(client, key, mapping, queue_arn).await?;
                Change::Created
            }
            Some(found) if is_same(&found, mapping) => Change::Unchanged,
            Some(found) => {
                update(client, key, mapping, &found).await?;
                Change::Updated
            }
        };
        report(on_step, "mapping", key, change);
    }
    let prefix = names::function("");
    for stale in known {
        let (Some(id), Some(function)) = (stale.uuid(), function_name(&stale)) else { continue };
        if function.starts_with(&prefix) {
            let action = format!("delete the mapping {id} of function {function}");
            client.delete_event_source_mapping().uuid(id).send().await.map_err(LocalStackError::aws(action))?;
            report(on_step, "mapping", id, Change::Removed);
        }
    }
    Ok(())
}

async fn all(client: &Client) -> Result<Vec<EventSourceMappingConfiguration>, LocalStackError> {
    let mut pages = client.list_event_source_mappings().into_paginator().items().send();
    let mut all = Vec::new();
    while let Some(mapping) = pages.next().await {
        all.push(mapping.map_err(LocalStackError::aws("list event source mappings"))?);
    }
    Ok(all)
}

/// Last part of the function's ARN.
fn function_name(mapping: &EventSourceMappingConfiguration) -> Option<&str> {
    mapping.function_arn()?.rsplit(':').next()
}

fn response_types(mapping: &EventSourceMapping) -> Vec<FunctionResponseType> {
    if mapping.report_batch_item_failures { vec![FunctionResponseType::ReportBatchItemFailures] } else { Vec::new() }
}

fn scaling(mapping: &EventSourceMapping) -> Option<ScalingConfig> {
    let most = mapping.maximum_concurrency?;
    Some(ScalingConfig::builder().maximum_concurrency(most).build())
}

fn is_same(found: &EventSourceMappingConfiguration, mapping: &EventSourceMapping) -> bool {
    found.batch_size() == Some(mapping.batch_size)
        && found.function_response_types() == response_types(mapping)
        && found.scaling_config().and_then(ScalingConfig::maximum_concurrency) == mapping.maximum_concurrency
        && found.state() != Some("Disabled")
}

async fn create(
    client: &Client,
    key: &str,
    mapping: &EventSourceMapping,
    queue_arn: &str,
) -> Result<(), LocalStackError> {
    client
        .create_event_source_mapping()
        .event_source_arn(queue_arn)
        .function_name(names::function(&mapping.function))
        .batch_size(mapping.batch_size)
        .set_function_response_types(Some(response_types(mapping)))
        .set_scaling_config(scaling(mapping))
        .enabled(true)
        .send()
        .await
        .map_err(LocalStackError::aws(format!("create mapping {key}")))?;
    Ok(())
}

async fn update(
    client: &Client,
    key: &str,
    mapping: &EventSourceMapping,
    found: &EventSourceMappingConfiguration,
) -> Result<(), LocalStackError> {
    client
        .update_event_source_mapping()
        .set_uuid(found.uuid.clone())
        .batch_size(mapping.batch_size)
        .set_function_response_types(Some(response_types(mapping)))
        .set_scaling_config(scaling(mapping))
        .enabled(true)
        .send()
        .await
        .map_err(LocalStackError::aws(format!("update mapping {key}")))?;
    Ok(())
}
