//! The keys of the file.

use super::formats::{DATASET, NAME, OPERATOR, PARAMETER, POINTER, SCHEDULE, SECRET, TIME_ZONE, VARIABLE};
use super::{Key, MAX_SECONDS, Presence, Shape, Table};

const fn key(name: &'static str, presence: Presence, shape: Shape, about: &'static str) -> Key {
    Key { name, presence, shape, about }
}

const fn whole(least: i64, most: i64) -> Shape {
    Shape::Whole { least, most }
}

use Presence::{Default, OneOf, Optional, Required};

const COUNT: Shape = whole(1, i32::MAX as i64);
const DATASETS: Shape = Shape::List(&Shape::Text(&DATASET));

/// The whole file.
pub(in super::super) static FILE: Table = Table {
    name: "pipeline",
    about: "Jobs and triggers of one organisation.",
    keys: &[
        key("version", Required, whole(1, super::super::PIPELINE_VERSION as i64), "Format of the file."),
        key(
            "jobs",
            Required,
            Shape::List(&Shape::Table(&JOB)),
            "Definitions of work. Those that leave the file become inactive.",
        ),
        key(
            "triggers",
            Default("[]"),
            Shape::List(&Shape::Table(&TRIGGER)),
            "Causes of tasks. Those that leave the file become inactive.",
        ),
    ],
};

/// A job.
pub(super) static JOB: Table = Table {
    name: "job",
    about: "A definition of work.",
    keys: &[
        key("name", Required, Shape::Text(&NAME), "Unique among the jobs."),
        key(
            "operator",
            Required,
            Shape::Text(&OPERATOR),
            "The program that does the work; also the name of its queue.",
        ),
        key(
            "runtime",
            Default("\"fargate\""),
            Shape::Word(&[
                ("lambda", "a function that reads the operator's queue"),
                ("fargate", "an ECS task that the dispatcher launches"),
            ]),
            "Where it runs.",
        ),
        key(
            "strategy",
            Default("\"per_update\""),
            Shape::Word(&[
                ("per_update", "one task an event"),
                ("per_partition", "one task a partition, however often it is announced"),
                ("bulk", "one waiting task for everything that is pending"),
            ]),
            "How events about its input datasets become tasks.",
        ),
        key(
            "always_on",
            Default("false"),
            Shape::Flag,
            "Whether exactly one task of it is alive at all times, as of a source.",
        ),
        key(
            "config",
            Default("{}"),
            Shape::Free,
            "Settings for the operator, which checks them itself; never a secret.",
        ),
        key(
            "secrets",
            Default("{}"),
            Shape::Texts { keys: &VARIABLE, values: &SECRET },
            "Environment variable of the operator → name of the secret that fills it.",
        ),
        key(
            "input_datasets",
            Default("[]"),
            DATASETS,
            "Datasets whose events make tasks: `logs` of every chain, or `143/logs` of one.",
        ),
        key("output_datasets", Default("[]"), DATASETS, "Datasets that it writes, named as its inputs are."),
        key("max_attempts", Default("3"), COUNT, "Tries before a task fails. Not counted for a source."),
        key("max_concurrency", Default("1"), COUNT, "Tasks that may run at one time."),
        key(
            "heartbeat_timeout_seconds",
            Default("30"),
            Shape::Seconds,
            "Seconds after which a worker that says nothing is lost.",
        ),
        key("run_timeout_seconds", Optional, Shape::Seconds, "Seconds that one attempt may run; unlimited if absent."),
        key(
            "stall_timeout_seconds",
            Optional,
            Shape::Seconds,
            "Seconds after which an attempt whose progress stands still is ended; progress is not watched if absent.",
        ),
        key("priority", Default("0"), whole(-1000, 1000), "Among due tasks the higher goes first."),
        key(
            "partition_blocks",
            Optional,
            whole(1, i64::MAX),
            "With `strategy: per_partition` only: events are split at multiples of so many blocks; taken as they are if absent.",
        ),
    ],
};

/// A trigger.
pub(in super::super) static TRIGGER: Table = Table {
    name: "trigger",
    about: "A cause of tasks: exactly one of cron, webhook and threshold.",
    keys: &[
        key("name", Required, Shape::Text(&NAME), "Unique among the triggers; a part of a webhook's path."),
        key("job", Required, Shape::Text(&NAME), "Name of the job that it fires, which is not `always_on`."),
        key("cron", OneOf, Shape::Table(&CRON), "Fires at the ticks of a schedule."),
        key("webhook", OneOf, Shape::Table(&WEBHOOK), "Fires when somebody calls its path with a valid signature."),
        key("threshold", OneOf, Shape::Table(&THRESHOLD), "Fires when a chain has got so much further."),
        key("input", Default("{}"), Shape::Free, "Given to every task; what the firing adds is laid over it."),
    ],
};

/// Settings of a cron trigger.
static CRON: Table = Table {
    name: "cron",
    about: "Fires at the ticks of an EventBridge schedule.",
    keys: &[
        key(
            "schedule",
            Required,
            Shape::Text(&SCHEDULE),
            "`rate(5 minutes)`, `cron(MINUTE HOUR DAY MONTH WEEKDAY YEAR)` or `at(YYYY-MM-DDTHH:MM:SS)`.",
        ),
        key(
            "timezone",
            Default("\"UTC\""),
            Shape::Text(&TIME_ZONE),
            "Time zone in which `cron` and `at` are read, a name of the IANA database.",
        ),
        key(
            "overlap",
            Default("\"queue\""),
            Shape::Word(&[
                ("skip", "it makes no task and is written down as skipped"),
                ("queue", "it makes a task that waits its turn"),
                ("replace", "the earlier tasks are cancelled"),
            ]),
            "What becomes of a tick while a task of an earlier one is not over.",
        ),
        key(
            "catch_up_seconds",
            Default("3600"),
            whole(0, MAX_SECONDS as i64),
            "Seconds within which a missed tick is made up for; later it is written down as missed.",
        ),
    ],
};

/// Settings of a webhook trigger.
static WEBHOOK: Table = Table {
    name: "webhook",
    about: "Fires at a signed `POST /v1/webhooks/<organisation>/<trigger>`.",
    keys: &[
        key("secret", Required, Shape::Text(&SECRET), "Name of the secret that holds the signing key."),
        key(
            "tolerance_seconds",
            Default("300"),
            whole(1, 3600),
            "Seconds that a call's timestamp may be away from the clock.",
        ),
        key("max_body_bytes", Default("262144"), whole(1, 1_048_576), "Bytes that a body may have."),
        key(
            "parameters",
            Default("{}"),
            Shape::Texts { keys: &PARAMETER, values: &POINTER },
            "Parameter of the task → JSON pointer (RFC 6901) into the body; the whole body as `payload` if empty.",
        ),
    ],
};

const MEASURES: &[(&str, &str)] = &[
    ("finalized_blocks", "stored blocks at or below the finalized one, in ranges aligned to multiples of `every`"),
    ("blocks", "blocks ever stored"),
    ("rows", "rows of `dataset` ever stored"),
    ("bytes", "bytes of `dataset` ever stored"),
    ("lag_seconds", "age of the newest stored block"),
];

/// Whether `word` is a measure of a threshold.
pub(in super::super) fn is_measure(word: &str) -> bool {
    MEASURES.iter().any(|(measure, _)| *measure == word)
}

/// Settings of a threshold trigger.
pub(in super::super) static THRESHOLD: Table = Table {
    name: "threshold",
    about: "Fires when a chain has got so much further.",
    keys: &[
        key("chain_id", Required, whole(1, i64::MAX), "The chain that is watched."),
        key("measure", Required, Shape::Word(MEASURES), "What is counted."),
        key(
            "dataset",
            Optional,
            Shape::Word(&[
                ("blocks", "headers"),
                ("transactions", "transactions with their receipts"),
                ("logs", "logs"),
                ("traces", "call frames"),
            ]),
            "With the measures `rows` and `bytes`, and only with them: what is counted.",
        ),
        key(
            "every",
            Required,
            whole(1, i64::MAX),
            "How much of it makes one firing. For a lag: the seconds above which it fires.",
        ),
    ],
};
