//! Secrets Manager secrets.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;

use super::{Change, OnStep, report};
use crate::aws::{LocalAws, if_there};
use crate::error::LocalStackError;
use crate::names;
use crate::stack_file::Stack;

/// Creates or updates every secret that is not per name, and creates those per name that the stack file lists; returns the ARNs of
/// the former.
pub(super) async fn ensure_all(
    stack: &Stack,
    aws: &LocalAws,
    texts: &BTreeMap<String, String>,
    on_step: &mut OnStep<'_>,
) -> Result<BTreeMap<String, String>, LocalStackError> {
    let mut arns = BTreeMap::new();
    for key in stack.secrets.iter().filter(|(_, secret)| !secret.per_name).map(|(key, _)| key) {
        let unresolved = || LocalStackError::Unresolved { kind: "secret", name: key.clone() };
        let text = texts.get(key).ok_or_else(unresolved)?;
        let (arn, change) = ensure(aws, key, text).await?;
        report(on_step, "secret", names::secret(key), change);
        arns.insert(key.clone(), arn);
    }
    for name in stack.named_secrets() {
        let change = ensure_shell(aws, &name).await?;
        report(on_step, "secret", names::secret(&name), change);
    }
    Ok(arns)
}

/// Creates the secret `isotherm/<name>`, empty, unless it is there. Whoever uses it puts something there.
async fn ensure_shell(aws: &LocalAws, name: &str) -> Result<Change, LocalStackError> {
    let (client, id) = (aws.secrets(), names::secret(name));
    let found = client.describe_secret().secret_id(&id).send().await;
    let is_none = DescribeSecretError::is_resource_not_found_exception;
    if if_there(found, is_none, format!("look up secret {id}"))?.is_some() {
        return Ok(Change::Unchanged);
    }
    let created = client.create_secret().name(&id).send().await;
    created.map_err(LocalStackError::aws(format!("create secret {id}")))?;
    Ok(Change::Created)
}

/// Creates or updates the secret `isotherm/<name>`; `name` is a key of the stack file, or `<key>/<name>`.
/// Returns its ARN.
///
/// # Errors
/// What the emulator reports; never the text.
pub async fn ensure(aws: &LocalAws, name: &str, text: &str) -> Result<(String, Change), LocalStackError> {
    let client = aws.secrets();
    let id = names::secret(name);
    let found = client.get_secret_value().secret_id(&id).send().await;
    let is_none = GetSecretValueError::is_resource_not_found_exception;
    let found = if_there(found, is_none, format!("look up secret {id}"))?;
    let (arn, change) = match found {
        None => {
            let action = format!("create secret {id}");
            let created = client.create_secret().name(&id).secret_string(text).send().await;
            (created.map_err(LocalStackError::aws(action))?.arn, Change::Created)
        }
        Some(found) if found.secret_string() == Some(text) => (found.arn, Change::Unchanged),
        Some(found) => {
            let action = format!("update secret {id}");
            client
                .put_secret_value()
                .secret_id(&id)
                .secret_string(text)
                .send()
                .await
                .map_err(LocalStackError::aws(action))?;
            (found.arn, Change::Updated)
        }
    };
    Ok((arn.ok_or_else(LocalStackError::answer(format!("describe secret {id}"), "ARN"))?, change))
}
