//! A task definition for each errand. Made apart from the rest: only who administers the database can say where it is.

use std::collections::BTreeMap;

use super::operators::{Size, ensure_one};
use super::{OnStep, Provisioned, report};
use crate::aws::LocalAws;
use crate::environment::{self, Addresses, DatabaseAdministration};
use crate::error::LocalStackError;
use crate::names;
use crate::stack_file::Stack;

/// Creates the task definitions on an emulator that has everything else; returns the ARN of each newest revision.
///
/// # Errors
/// [`LocalStackError::Unresolved`] for what was not created; else what the emulator reports.
pub async fn ensure(
    stack: &Stack,
    aws: &LocalAws,
    provisioned: &Provisioned,
    administration: &DatabaseAdministration,
    on_step: &mut OnStep<'_>,
) -> Result<BTreeMap<String, String>, LocalStackError> {
    let addresses = Addresses {
        buckets: provisioned.buckets.clone(),
        secret_arns: provisioned.secret_arns.clone(),
        ..Addresses::default()
    };
    // Fifth part of every ARN. Source: AWS general reference, "Amazon Resource Names".
    let account = provisioned.cron_target.function_arn.split(':').nth(4).unwrap_or_default();
    let mut arns = BTreeMap::new();
    for (key, errand) in &stack.errands {
        let variables = environment::of_errand(stack, key, errand, &addresses, administration)?;
        let (arn, change) = ensure_one(&aws.ecs(), key, &Size::from(errand), &variables, account).await?;
        report(on_step, "task definition", names::task_definition(key), change);
        arns.insert(key.clone(), arn);
    }
    Ok(arns)
}
