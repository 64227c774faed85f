//! What is done: tasks, their attempts and inputs, and the jobs that define them.

use super::PlatformType::{Boolean, Double, Integer, Json, Text, Time};
use super::{PlatformTable, optional, required};

pub(super) const TASKS: PlatformTable = PlatformTable {
    name: "tasks",
    doc: "a piece of work of a job",
    columns: &[
        required("id", Integer, "its number"),
        required("job_id", Integer, "its job"),
        required("job_name", Text, "what that job is called"),
        required("idempotency_key", Text, "why there is one such task and not two"),
        required("always_on", Boolean, "whether it is to run for ever, as a follower"),
        required("input", Json, "what it was given"),
        required("state", Text, "`queued`, `running`, `completed`, `failed` or `cancelled`"),
        required("fence", Integer, "claims so far"),
        required("attempts_left", Integer, "attempts that it still has"),
        required("priority", Integer, "among due tasks the higher goes first"),
        required("not_before", Time, "it is not claimed before"),
        optional("started_at", Time, "when it was last claimed"),
        optional("finished_at", Time, "when it ended"),
        optional("progress_done", Integer, "units done, as its operator last said"),
        optional("progress_total", Integer, "units to do"),
        optional("progress_message", Text, "the same in words"),
        optional("output", Json, "what came of it"),
        optional("error_code", Text, "stable name of the last error"),
        optional("error_message", Text, "the last error in words"),
        required("created_at", Time, "when it was made"),
    ],
    key: Some("id"),
    select: include_str!("../../queries/platform/tasks.sql"),
};

pub(super) const TASK_ATTEMPTS: PlatformTable = PlatformTable {
    name: "task_attempts",
    doc: "one claim of a task, and how it ended",
    columns: &[
        required("task_id", Integer, "the task"),
        required("fence", Integer, "which claim of it, from 1"),
        required("started_at", Time, "when it was claimed"),
        optional("finished_at", Time, "when the attempt ended"),
        optional("outcome", Text, "`completed`, `failed`, `released`, `lost` or `cancelled`"),
        optional("error_code", Text, "stable name of its error"),
        optional("error_message", Text, "its error in words"),
        optional("exit_code", Integer, "exit code of the operator"),
        optional("exit_signal", Integer, "signal that ended the operator"),
    ],
    key: Some("task_id"),
    select: include_str!("../../queries/platform/task_attempts.sql"),
};

pub(super) const TASK_INPUTS: PlatformTable = PlatformTable {
    name: "task_inputs",
    doc: "an event that a task answers, once for each dataset that it names",
    columns: &[
        required("task_id", Integer, "the task"),
        required("event_id", Integer, "the event; one about a chain is not in `isotherm.events`"),
        optional("chain_id", Integer, "the chain"),
        optional("dataset", Text, "the dataset"),
        optional("first_block", Integer, "first block to work on"),
        optional("last_block", Integer, "last block to work on"),
        required("added_at", Time, "when the task was given it"),
    ],
    key: Some("task_id"),
    select: include_str!("../../queries/platform/task_inputs.sql"),
};

pub(super) const JOBS: PlatformTable = PlatformTable {
    name: "jobs",
    doc: "a definition of work",
    columns: &[
        required("id", Integer, "its number"),
        required("name", Text, "what it is called"),
        required("operator", Text, "the program that does the work"),
        required("runtime", Text, "`lambda` or `fargate`"),
        required("strategy", Text, "`per_update`, `per_partition` or `bulk`"),
        required("always_on", Boolean, "whether one task of it is always to run"),
        required("config", Json, "settings of the operator"),
        required("input_datasets", Json, "datasets that it reads, a list"),
        required("output_datasets", Json, "datasets that it writes, a list"),
        required("max_attempts", Integer, "attempts that a task has"),
        required("max_concurrency", Integer, "tasks of it that may run at one time"),
        required("heartbeat_timeout_seconds", Double, "silence after which a worker counts as lost"),
        optional("run_timeout_seconds", Double, "time that an attempt may take"),
        optional("stall_timeout_seconds", Double, "time for which progress may stand still"),
        required("priority", Integer, "among due tasks the higher goes first"),
        optional("partition_blocks", Integer, "blocks at whose multiples its events are split"),
        required("active", Boolean, "whether it is still in the file that was last applied"),
        required("paused", Boolean, "whether its tasks are made and wait"),
        required("created_at", Time, "when it was first applied"),
        required("updated_at", Time, "when it was last changed"),
    ],
    key: Some("id"),
    select: include_str!("../../queries/platform/jobs.sql"),
};
