//! EventBridge schedules: those of the stack file and, one each, those of users' cron triggers.
//!
//! The emulator takes any expression and then never fires it, so expressions are checked here first.

use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::operation::create_schedule_group::CreateScheduleGroupError;
use aws_sdk_scheduler::operation::delete_schedule::DeleteScheduleError;
use aws_sdk_scheduler::operation::get_schedule::GetScheduleError;
use aws_sdk_scheduler::types::{FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, Target};
use isotherm_control::triggers::CronConfig;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::aws::{LocalAws, if_there};
use crate::error::LocalStackError;
use crate::names;
use crate::provision::Change;

mod plan;

pub use plan::{CronStep, FoundSchedule, plan_cron};

/// The zone of a schedule that names none. Source: EventBridge Scheduler API reference, `ScheduleExpressionTimezone`.
const UTC: &str = "UTC";

/// What a cron trigger's schedule invokes, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronTarget {
    /// Group of the schedules.
    pub group: String,
    /// The function.
    pub function_arn: String,
    /// Role that the scheduler takes.
    pub role_arn: String,
    /// Tries after a failed invocation.
    pub retry_attempts: i32,
    /// Age at which a tick is given up.
    pub max_event_age_seconds: i32,
}

/// The schedule of one cron trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronSchedule {
    /// Row of `control.triggers`.
    pub trigger_id: i64,
    /// `rate(…)`, `cron(…)` or `at(…)`.
    pub expression: String,
    /// Time zone in which it is read, a name of the IANA database. The emulator keeps it and ticks in UTC.
    pub timezone: String,
}

impl CronSchedule {
    /// The schedule that a trigger's settings imply.
    pub fn new(trigger_id: i64, cron: &CronConfig) -> Self {
        Self { trigger_id, expression: cron.schedule.clone(), timezone: cron.timezone.clone() }
    }
}

/// Makes the schedules of cron triggers what `wanted` says: creates, updates, and deletes those of other triggers. What
/// could not be done for one schedule does not keep the others from being done.
///
/// # Errors
/// [`LocalStackError::Schedule`] for the first unusable expression, before anything is changed; else what the
/// emulator reports, the first of it.
pub async fn sync_cron(aws: &LocalAws, target: &CronTarget, wanted: &[CronSchedule]) -> Result<(), LocalStackError> {
    let steps = plan_cron(&find_cron(aws, target).await?, wanted);
    let failures = carry_out_cron(aws, target, &steps).await?;
    failures.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}

/// The schedules that there are for cron triggers.
///
/// # Errors
/// What the emulator reports.
pub async fn find_cron(aws: &LocalAws, target: &CronTarget) -> Result<Vec<FoundSchedule>, LocalStackError> {
    find_cron_by(&aws.scheduler(), target).await
}

/// As [`find_cron`], by the client of any account.
///
/// # Errors
/// What AWS reports.
pub async fn find_cron_by(client: &Client, target: &CronTarget) -> Result<Vec<FoundSchedule>, LocalStackError> {
    let mut found = Vec::new();
    for name in list(client, &target.group).await? {
        let got = client.get_schedule().group_name(&target.group).name(&name).send().await;
        let is_none = GetScheduleError::is_resource_not_found_exception;
        // Whoever removed it since wanted it gone.
        let Some(got) = if_there(got, is_none, format!("look up schedule {name}"))? else { continue };
        let trigger_id = names::trigger_of_schedule(&name);
        let target_is_right = match trigger_id {
            Some(trigger_id) => got.target() == Some(&target.wanted(trigger_id, "", "").target()?),
            None => false,
        };
        found.push(FoundSchedule {
            expression: got.schedule_expression().unwrap_or_default().to_owned(),
            timezone: got.schedule_expression_timezone().unwrap_or(UTC).to_owned(),
            name,
            trigger_id,
            target_is_right,
        });
    }
    Ok(found)
}

/// Carries `steps` out, creations and updates first. Returns the steps that failed, each with its reason: they can be
/// planned and carried out again.
///
/// # Errors
/// [`LocalStackError::Schedule`] for the first unusable expression, before anything is changed.
pub async fn carry_out_cron<'a>(
    aws: &LocalAws,
    target: &CronTarget,
    steps: &'a [CronStep],
) -> Result<Vec<(&'a CronStep, LocalStackError)>, LocalStackError> {
    carry_out_cron_by(&aws.scheduler(), target, steps).await
}

/// As [`carry_out_cron`], by the client of any account.
///
/// # Errors
/// As of [`carry_out_cron`].
pub async fn carry_out_cron_by<'a>(
    client: &Client,
    target: &CronTarget,
    steps: &'a [CronStep],
) -> Result<Vec<(&'a CronStep, LocalStackError)>, LocalStackError> {
    steps.iter().filter_map(|step| step.new.as_ref()).try_for_each(check_trigger)?;
    let mut failures = Vec::new();
    let (last, first): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.change == Change::Removed);
    for step in first.into_iter().chain(last) {
        let done = match (step.change, &step.new) {
            (Change::Unchanged, _) => Ok(()),
            (_, Some(schedule)) => ensure_cron_by(client, target, schedule).await.map(drop),
            (_, None) => remove(client, &target.group, &step.name).await,
        };
        if let Err(error) = done {
            failures.push((step, error));
        }
    }
    Ok(failures)
}

/// Creates or updates the schedule of one cron trigger.
///
/// # Errors
/// [`LocalStackError::Schedule`] for an unusable expression; else what the emulator reports.
pub async fn ensure_cron(
    aws: &LocalAws,
    target: &CronTarget,
    schedule: &CronSchedule,
) -> Result<Change, LocalStackError> {
    ensure_cron_by(&aws.scheduler(), target, schedule).await
}

async fn ensure_cron_by(
    client: &Client,
    target: &CronTarget,
    schedule: &CronSchedule,
) -> Result<Change, LocalStackError> {
    check_trigger(schedule)?;
    ensure(client, &target.wanted(schedule.trigger_id, &schedule.expression, &schedule.timezone)).await
}

impl CronTarget {
    fn wanted(&self, trigger_id: i64, expression: &str, timezone: &str) -> Wanted {
        // AWS replaces the placeholder by the tick's time; the emulator does not, and the function then works it out.
        let input = json!({
            "version": 1,
            "kind": "tick",
            "trigger_id": trigger_id,
            "scheduled_time": "<aws.scheduler.scheduled-time>",
        });
        Wanted {
            group: self.group.clone(),
            name: names::trigger_schedule(trigger_id),
            expression: expression.to_owned(),
            timezone: timezone.to_owned(),
            input: input.to_string(),
            function_arn: self.function_arn.clone(),
            role_arn: self.role_arn.clone(),
            retry_attempts: self.retry_attempts,
            max_event_age_seconds: self.max_event_age_seconds,
        }
    }
}

/// Deletes the schedule of one cron trigger; one that is not there is fine.
///
/// # Errors
/// What the emulator reports.
pub async fn remove_cron(aws: &LocalAws, target: &CronTarget, trigger_id: i64) -> Result<(), LocalStackError> {
    remove(&aws.scheduler(), &target.group, &names::trigger_schedule(trigger_id)).await
}

/// Whether EventBridge would take `expression`.
///
/// # Errors
/// What is wrong with it.
pub fn check_expression(expression: &str) -> Result<(), isotherm_control::cron::ScheduleError> {
    expression.parse::<isotherm_control::cron::Schedule>().map(drop)
}

fn check_trigger(schedule: &CronSchedule) -> Result<(), LocalStackError> {
    check_expression(&schedule.expression).map_err(|source| LocalStackError::Schedule {
        trigger_id: schedule.trigger_id,
        expression: schedule.expression.clone(),
        source: Box::new(source),
    })
}

/// A schedule as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) expression: String,
    /// [`CronSchedule::timezone`].
    pub(crate) timezone: String,
    pub(crate) input: String,
    pub(crate) function_arn: String,
    pub(crate) role_arn: String,
    pub(crate) retry_attempts: i32,
    pub(crate) max_event_age_seconds: i32,
}

impl Wanted {
    fn target(&self) -> Result<Target, LocalStackError> {
        let retry = RetryPolicy::builder()
            .maximum_retry_attempts(self.retry_attempts)
            .maximum_event_age_in_seconds(self.max_event_age_seconds)
            .build();
        Target::builder()
            .arn(&self.function_arn)
            .role_arn(&self.role_arn)
            .input(&self.input)
            .retry_policy(retry)
            .build()
            .map_err(LocalStackError::aws(format!("take the target of schedule {}", self.name)))
    }
}

/// Creates or updates one schedule.
pub(crate) async fn ensure(client: &Client, wanted: &Wanted) -> Result<Change, LocalStackError> {
    let target = wanted.target()?;
    let window = FlexibleTimeWindow::builder()
        .mode(FlexibleTimeWindowMode::Off)
        .build()
        .map_err(LocalStackError::aws(format!("take the time window of schedule {}", wanted.name)))?;
    let found = client.get_schedule().group_name(&wanted.group).name(&wanted.name).send().await;
    let is_none = GetScheduleError::is_resource_not_found_exception;
    let found = if_there(found, is_none, format!("look up schedule {}", wanted.name))?;
    let Some(found) = found else {
        client
            .create_schedule()
            .group_name(&wanted.group)
            .name(&wanted.name)
            .schedule_expression(&wanted.expression)
            .schedule_expression_timezone(&wanted.timezone)
            .flexible_time_window(window)
            .target(target)
            .send()
            .await
            .map_err(LocalStackError::aws(format!("create schedule {}", wanted.name)))?;
        return Ok(Change::Created);
    };
    let is_same_time = found.schedule_expression() == Some(wanted.expression.as_str())
        && found.schedule_expression_timezone().unwrap_or(UTC) == wanted.timezone;
    if is_same_time && found.target() == Some(&target) {
        return Ok(Change::Unchanged);
    }
    client
        .update_schedule()
        .group_name(&wanted.group)
        .name(&wanted.name)
        .schedule_expression(&wanted.expression)
        .schedule_expression_timezone(&wanted.timezone)
        .flexible_time_window(window)
        .target(target)
        .send()
        .await
        .map_err(LocalStackError::aws(format!("update schedule {}", wanted.name)))?;
    Ok(Change::Updated)
}

/// Creates a schedule group.
pub(crate) async fn ensure_group(client: &Client, group: &str) -> Result<Change, LocalStackError> {
    let created = client.create_schedule_group().name(group).send().await;
    let is_known = CreateScheduleGroupError::is_conflict_exception;
    let created = if_there(created, is_known, format!("create schedule group {group}"))?;
    Ok(if created.is_some() { Change::Created } else { Change::Unchanged })
}

/// Deletes every schedule of `group` whose name is not in `keep`; returns the names of those deleted.
pub(crate) async fn remove_others(
    client: &Client,
    group: &str,
    keep: &[String],
) -> Result<Vec<String>, LocalStackError> {
    let mut removed = list(client, group).await?;
    removed.retain(|name| !keep.contains(name));
    for name in &removed {
        remove(client, group, name).await?;
    }
    Ok(removed)
}

/// Names of the schedules of `group`.
async fn list(client: &Client, group: &str) -> Result<Vec<String>, LocalStackError> {
    let mut pages = client.list_schedules().group_name(group).into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(summary) = pages.next().await {
        let summary = summary.map_err(LocalStackError::aws(format!("list the schedules of group {group}")))?;
        names.extend(summary.name().map(str::to_owned));
    }
    Ok(names)
}

async fn remove(client: &Client, group: &str, name: &str) -> Result<(), LocalStackError> {
    let deleted = client.delete_schedule().group_name(group).name(name).send().await;
    if_there(deleted, DeleteScheduleError::is_resource_not_found_exception, format!("delete schedule {name}"))?;
    Ok(())
}
