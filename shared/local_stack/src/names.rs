//! Names on AWS, made from the keys of the stack file. Terraform makes the same ones.
//!
//! Nothing else in this crate may put a name together.

/// What every name begins with.
pub const PREFIX: &str = "isotherm";

/// Name of the one container of a task definition.
pub const CONTAINER: &str = "worker";

/// `isotherm-<key>`, with `-` for `_`: functions, task definition families, schedules.
fn dashed(key: &str) -> String {
    format!("{PREFIX}-{}", key.replace('_', "-"))
}

/// Name of a function.
pub fn function(key: &str) -> String {
    dashed(key)
}

/// Name of a queue.
pub fn queue(key: &str, fifo: bool) -> String {
    format!("{}{}", dashed(key), if fifo { ".fifo" } else { "" })
}

/// Name of a queue's dead-letter queue.
pub fn dead_letter_queue(key: &str, fifo: bool) -> String {
    format!("{}-dlq{}", dashed(key), if fifo { ".fifo" } else { "" })
}

/// Name of a bucket; bucket names are shared by all accounts, so each installation adds its suffix.
pub fn bucket(key: &str, suffix: &str) -> String {
    format!("{}-{suffix}", dashed(key))
}

/// Name of a secret. `name` is a key of the stack file, or `<key>/<name>` for a secret per name.
pub fn secret(name: &str) -> String {
    format!("{PREFIX}/{name}")
}

/// Name of the ECS cluster.
pub fn cluster() -> &'static str {
    PREFIX
}

/// Family of an operator's task definitions.
pub fn task_definition(operator: &str) -> String {
    dashed(operator)
}

/// What all families begin with; the dispatcher adds the operator's name.
pub fn task_definition_prefix() -> String {
    format!("{PREFIX}-")
}

/// Image of an operator. Nothing is pulled on one machine.
pub fn local_image(operator: &str) -> String {
    format!("{}:local", dashed(operator))
}

/// Group of the schedules in the stack file.
pub fn schedule_group() -> &'static str {
    PREFIX
}

/// Name of a schedule in the stack file.
pub fn schedule(key: &str) -> String {
    dashed(key)
}

/// Group of the schedules of users' cron triggers.
pub fn trigger_group(group: &str) -> String {
    dashed(group)
}

/// Name of a cron trigger's schedule.
pub fn trigger_schedule(trigger_id: i64) -> String {
    format!("trigger-{trigger_id}")
}

/// The trigger whose schedule is called `name`; `None` if it is none of a trigger.
pub fn trigger_of_schedule(name: &str) -> Option<i64> {
    let trigger_id = name.strip_prefix("trigger-")?.parse().ok()?;
    (trigger_schedule(trigger_id) == name).then_some(trigger_id)
}

/// Name of the HTTP API.
pub fn api() -> &'static str {
    PREFIX
}

/// Name of a function's role.
pub fn function_role(key: &str) -> String {
    dashed(key)
}

/// Name of the role that an operator and its worker have.
pub fn operator_role(key: &str) -> String {
    format!("{}-operator", dashed(key))
}

/// Role of a function, an operator (`<key>-operator`) or the scheduler. The emulator wants the shape only.
pub fn role_arn(account: &str, key: &str) -> String {
    format!("arn:aws:iam::{account}:role/{}", dashed(key))
}

/// `ISOTHERM_QUEUE_<KEY>_URL`.
pub fn queue_variable(key: &str) -> String {
    format!("ISOTHERM_QUEUE_{}_URL", key.to_uppercase())
}

/// `ISOTHERM_FUNCTION_<KEY>`: the name of a function that another one invokes.
pub fn function_variable(key: &str) -> String {
    format!("ISOTHERM_FUNCTION_{}", key.to_uppercase())
}

/// `ISOTHERM_BUCKET_<KEY>`.
pub fn bucket_variable(key: &str) -> String {
    format!("ISOTHERM_BUCKET_{}", key.to_uppercase())
}

/// Lets functions send to receivers on this machine: the one variable that they have on one machine only.
pub const LOOPBACK_VARIABLE: &str = "ISOTHERM_OUTBOUND_LOOPBACK";

/// The variable that makes an ECS task an errand: its key in the stack file.
pub const ERRAND_VARIABLE: &str = "ISOTHERM_ERRAND";

/// The variable of functions that verify tokens: a JSON list of issuers.
pub const TOKEN_ISSUERS_VARIABLE: &str = "ISOTHERM_TOKEN_ISSUERS";

/// `ISOTHERM_SECRET_<KEY>_ARN`.
pub fn secret_variable(key: &str) -> String {
    format!("ISOTHERM_SECRET_{}_ARN", key.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_aws_follow_from_the_keys() {
        assert_eq!(function("trigger_cron"), "isotherm-trigger-cron");
        assert_eq!(queue("tasks_block_follower", true), "isotherm-tasks-block-follower.fifo");
        assert_eq!(dead_letter_queue("events", true), "isotherm-events-dlq.fifo");
        assert_eq!(bucket("cold", "demo"), "isotherm-cold-demo");
        assert_eq!(secret("rpc/monad"), "isotherm/rpc/monad");
        assert_eq!(task_definition("parquet_compact"), "isotherm-parquet-compact");
        assert_eq!(operator_role("parquet_compact"), "isotherm-parquet-compact-operator");
        assert!(role_arn("1", "parquet_compact_operator").ends_with(&operator_role("parquet_compact")));
        assert!(role_arn("1", "trigger_cron").ends_with(&function_role("trigger_cron")));
        assert_eq!(trigger_group("triggers"), "isotherm-triggers");
        assert_eq!(trigger_of_schedule(&trigger_schedule(17)), Some(17));
        assert_eq!(["trigger-", "trigger-+1", "trigger-01", "other-1"].map(trigger_of_schedule), [None; 4]);
        assert_eq!(queue_variable("tasks_noop"), "ISOTHERM_QUEUE_TASKS_NOOP_URL");
        assert_eq!(function_variable("query"), "ISOTHERM_FUNCTION_QUERY");
        assert_eq!(bucket_variable("cold"), "ISOTHERM_BUCKET_COLD");
        assert_eq!(secret_variable("database"), "ISOTHERM_SECRET_DATABASE_ARN");
    }
}
