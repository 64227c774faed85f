//! The worker's variables, read once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use isotherm_types::TaskId;

use crate::config::settings::EventQueues;
use crate::config::{ConfigError, Environment};
use crate::ecs::TASK_VARIABLE;

use super::operator_environment::is_passed_on;

/// What a worker is told by its environment.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// `ISOTHERM_OPERATOR`: whose tasks it takes.
    pub operator: String,
    /// `ISOTHERM_OPERATOR_BIN`: the operator's program; `/app/operator`, as on the images, if not set.
    pub operator_binary: PathBuf,
    /// `ISOTHERM_QUEUE_TASKS_<OPERATOR>_URL`: where its wake-ups come from.
    pub task_queue_url: String,
    /// Where events of the outbox go.
    pub event_queues: EventQueues,
    /// `ISOTHERM_SECRET_DATABASE_ARN`.
    pub database_secret_arn: String,
    /// `ISOTHERM_IDLE_SECONDS`: how long it waits for work before it ends; 30 if not set.
    pub idle: Duration,
    /// `ISOTHERM_WORKER_NAME`, unique among all workers that run; made up if not set.
    pub name: String,
    /// `ISOTHERM_ECS_TASK_ARN`, where the launcher says it.
    pub ecs_task_arn: Option<String>,
    /// `ECS_CONTAINER_METADATA_URI_V4`, set by ECS: where the task's ARN can be asked for if nobody said it.
    pub ecs_metadata_url: Option<String>,
    /// `ISOTHERM_TASK_ID`: the task that it was launched for and tries first; it takes wake-ups only if not set.
    pub first_task: Option<TaskId>,
    /// What the operator inherits.
    pub passed_on: BTreeMap<String, String>,
}

impl WorkerSettings {
    /// Reads the variables.
    ///
    /// # Errors
    /// [`ConfigError`], which names every bad one.
    pub fn read(mut environment: Environment) -> Result<Self, ConfigError> {
        let passed_on = environment.select(is_passed_on);
        let operator = environment.text("ISOTHERM_OPERATOR");
        let binary = environment.optional_text("ISOTHERM_OPERATOR_BIN");
        let event_queues = environment.event_queues();
        let database_secret_arn = environment.database_secret_arn();
        let idle = environment.parsed_or("ISOTHERM_IDLE_SECONDS", "a whole number of seconds", 30_u32);
        let name = environment.optional_text("ISOTHERM_WORKER_NAME");
        let ecs_task_arn = environment.optional_text("ISOTHERM_ECS_TASK_ARN");
        let ecs_metadata_url = environment.optional_text("ECS_CONTAINER_METADATA_URI_V4");
        let first_task = environment.optional_parsed(TASK_VARIABLE, "the number of a task");
        let queue = format!("tasks_{}", operator.peek().map_or("<OPERATOR>", String::as_str));
        let task_queue_url = environment.queue_url(&queue);
        let checked = environment.check()?;
        let operator = operator.open(&checked);
        Ok(Self {
            operator_binary: binary.open(&checked).unwrap_or_else(|| "/app/operator".to_owned()).into(),
            task_queue_url: task_queue_url.open(&checked),
            event_queues: event_queues.open(&checked),
            database_secret_arn: database_secret_arn.open(&checked),
            idle: Duration::from_secs(u64::from(idle.open(&checked))),
            name: name.open(&checked).unwrap_or_else(|| format!("{operator}-{}", uuid::Uuid::now_v7().simple())),
            ecs_task_arn: ecs_task_arn.open(&checked),
            ecs_metadata_url: ecs_metadata_url.open(&checked),
            first_task: first_task.open(&checked).map(TaskId),
            operator,
            passed_on,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_variable_is_named_at_once() {
        let error = WorkerSettings::read(Environment::from_pairs([
            ("ISOTHERM_OPERATOR", "noop"),
            ("ISOTHERM_IDLE_SECONDS", "x"),
        ]))
        .unwrap_err()
        .to_string();
        for name in ["EVENTS_URL", "THRESHOLDS_URL", "SECRET_DATABASE_ARN", "IDLE_SECONDS", "QUEUE_TASKS_NOOP_URL"] {
            assert!(error.contains(name), "{name} is missing in {error}");
        }
    }
}
