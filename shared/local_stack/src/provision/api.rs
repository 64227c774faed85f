//! The HTTP API and its routes. The emulator serves it in the default account only: its callers sign nothing.

use std::collections::BTreeMap;

use aws_sdk_apigatewayv2::Client;
use aws_sdk_apigatewayv2::types::{AuthorizationType, Integration, IntegrationType, ProtocolType};

use super::{Change, OnStep, report};
use crate::aws::LocalAws;
use crate::error::LocalStackError;
use crate::names;
use crate::stack_file::{Authorization, Stack};

/// Most that one listing returns; the API has a handful of each.
const PAGE: &str = "500";

/// API Gateway ends a call after this long. Source: HTTP API quotas.
const INTEGRATION_TIMEOUT_MS: i32 = 30_000;

/// Creates the API and makes its routes what the stack file says; returns its URL.
pub(super) async fn ensure(
    stack: &Stack,
    aws: &LocalAws,
    function_arns: &BTreeMap<String, String>,
    on_step: &mut OnStep<'_>,
) -> Result<String, LocalStackError> {
    let client = aws.api_gateway();
    let api_id = ensure_api(&client, on_step).await?;
    let mut integrations = integrations(&client, &api_id).await?;
    let known = client.get_routes().api_id(&api_id).max_results(PAGE).send().await;
    let mut known = known.map_err(LocalStackError::aws("list the routes of the API"))?.items.unwrap_or_default();

    for (key, route) in &stack.routes {
        let unresolved = || LocalStackError::Unresolved { kind: "function", name: route.function.clone() };
        let function_arn = function_arns.get(&route.function).ok_or_else(unresolved)?;
        let integration_id = match integrations.get(function_arn) {
            Some(id) => id.clone(),
            None => {
                let id = create_integration(&client, &api_id, function_arn).await?;
                integrations.insert(function_arn.clone(), id.clone());
                id
            }
        };
        let target = format!("integrations/{integration_id}");
        let authorization = authorization_type(route.authorization);
        let found =
            known.iter().position(|found| found.route_key() == Some(key)).map(|position| known.remove(position));
        let change = match found {
            None => {
                let call = client.create_route().api_id(&api_id).route_key(key).target(&target);
                let call = call.authorization_type(authorization);
                call.send().await.map_err(LocalStackError::aws(format!("create route {key}")))?;
                Change::Created
            }
            Some(found)
                if found.target() == Some(&target)
                    && found.authorization_type().unwrap_or(&AuthorizationType::None) == &authorization =>
            {
                Change::Unchanged
            }
            Some(found) => {
                let call = client.update_route().api_id(&api_id).set_route_id(found.route_id).target(&target);
                let call = call.authorization_type(authorization);
                call.send().await.map_err(LocalStackError::aws(format!("update route {key}")))?;
                Change::Updated
            }
        };
        report(on_step, "route", key, change);
    }
    for stale in known {
        let name = stale.route_key().unwrap_or("without a key").to_owned();
        let call = client.delete_route().api_id(&api_id).set_route_id(stale.route_id);
        call.send().await.map_err(LocalStackError::aws(format!("delete route {name}")))?;
        report(on_step, "route", name, Change::Removed);
    }
    // The API's host name resolves on few machines; the emulator serves it under a path too.
    Ok(format!("{}/_aws/execute-api/{api_id}/$default", aws.endpoint_url()))
}

/// The emulator checks no signature: it refuses calls without an `Authorization` header, and names the owner of the access
/// key that it finds there, or nobody.
fn authorization_type(authorization: Authorization) -> AuthorizationType {
    match authorization {
        Authorization::None => AuthorizationType::None,
        Authorization::AwsIam => AuthorizationType::AwsIam,
    }
}

async fn ensure_api(client: &Client, on_step: &mut OnStep<'_>) -> Result<String, LocalStackError> {
    let name = names::api();
    let known = client.get_apis().max_results(PAGE).send().await;
    let known = known.map_err(LocalStackError::aws("list the APIs"))?.items.unwrap_or_default();
    let found = known.into_iter().find(|api| api.name() == Some(name)).and_then(|api| api.api_id);
    if let Some(api_id) = found {
        report(on_step, "api", name, Change::Unchanged);
        return Ok(api_id);
    }
    let created = client.create_api().name(name).protocol_type(ProtocolType::Http).send().await;
    let created = created.map_err(LocalStackError::aws(format!("create API {name}")))?;
    let api_id = created.api_id.ok_or_else(LocalStackError::answer(format!("create API {name}"), "ApiId"))?;
    let call = client.create_stage().api_id(&api_id).stage_name("$default").auto_deploy(true);
    call.send().await.map_err(LocalStackError::aws(format!("create the stage of API {name}")))?;
    report(on_step, "api", name, Change::Created);
    Ok(api_id)
}

/// Integration of each function, by its ARN.
async fn integrations(client: &Client, api_id: &str) -> Result<BTreeMap<String, String>, LocalStackError> {
    let known = client.get_integrations().api_id(api_id).max_results(PAGE).send().await;
    let known = known.map_err(LocalStackError::aws("list the integrations of the API"))?.items.unwrap_or_default();
    let pair = |found: Integration| Some((found.integration_uri?, found.integration_id?));
    Ok(known.into_iter().filter_map(pair).collect())
}

async fn create_integration(client: &Client, api_id: &str, function_arn: &str) -> Result<String, LocalStackError> {
    let action = format!("integrate {function_arn} into the API");
    let created = client
        .create_integration()
        .api_id(api_id)
        .integration_type(IntegrationType::AwsProxy)
        .integration_uri(function_arn)
        .payload_format_version("2.0")
        .timeout_in_millis(INTEGRATION_TIMEOUT_MS)
        .send()
        .await
        .map_err(LocalStackError::aws(&action))?;
    created.integration_id.ok_or_else(LocalStackError::answer(action, "IntegrationId"))
}
