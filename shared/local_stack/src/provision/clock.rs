//! Schedule groups, and the schedules of the stack file.

use std::collections::BTreeMap;

use aws_sdk_scheduler::Client;

use super::{Change, OnStep, report};
use crate::error::LocalStackError;
use crate::names;
use crate::schedules::{self, CronTarget, Wanted};
use crate::stack_file::Stack;

/// Creates, updates and removes schedules; returns where those of cron triggers go.
pub(super) async fn ensure(
    stack: &Stack,
    client: &Client,
    function_arns: &BTreeMap<String, String>,
    account: &str,
    on_step: &mut OnStep<'_>,
) -> Result<CronTarget, LocalStackError> {
    let arn_of = |function: &String| {
        let unresolved = || LocalStackError::Unresolved { kind: "function", name: function.clone() };
        function_arns.get(function).cloned().ok_or_else(unresolved)
    };
    let role_arn = names::role_arn(account, "scheduler");
    let group = names::schedule_group();
    report(on_step, "schedule group", group, schedules::ensure_group(client, group).await?);
    let mut kept = Vec::new();
    for (key, schedule) in &stack.schedules {
        let wanted = Wanted {
            group: group.to_owned(),
            name: names::schedule(key),
            expression: schedule.expression.clone(),
            timezone: "UTC".to_owned(),
            input: schedule.input.to_string(),
            function_arn: arn_of(&schedule.function)?,
            role_arn: role_arn.clone(),
            retry_attempts: schedule.retry_attempts,
            max_event_age_seconds: schedule.max_event_age_seconds,
        };
        let change = schedules::ensure(client, &wanted).await?;
        report(on_step, "schedule", &wanted.name, change);
        kept.push(wanted.name);
    }
    for name in schedules::remove_others(client, group, &kept).await? {
        report(on_step, "schedule", name, Change::Removed);
    }

    let triggers = &stack.cron_triggers;
    let target = CronTarget {
        group: names::trigger_group(&triggers.group),
        function_arn: arn_of(&triggers.function)?,
        role_arn,
        retry_attempts: triggers.retry_attempts,
        max_event_age_seconds: triggers.max_event_age_seconds,
    };
    report(on_step, "schedule group", &target.group, schedules::ensure_group(client, &target.group).await?);
    Ok(target)
}
