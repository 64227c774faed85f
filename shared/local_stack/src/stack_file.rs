//! Reads `terraform/stack.yaml` and checks it as a whole.
//!
//! A file that passes can be carried out: every name that is used is defined, and the figures fit each other. All
//! faults come in one error, each with its line. Nothing is looked up and nothing is created here.

use std::collections::BTreeMap;
use std::path::Path;

use isotherm_control::pipeline::{self, MAX_FILE_BYTES, tree};
use serde::Deserialize;

use crate::error::LocalStackError;

mod faults;
mod limits;
mod lines;
mod references;
mod wiring;

pub use faults::{Fault, StackFaults};

/// What runs on AWS. Maps are keyed by the keys of the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// Lambda functions; `lambdas/<key>`.
    pub functions: BTreeMap<String, Function>,
    /// SQS queues; each that a program reads has a dead-letter queue.
    pub queues: BTreeMap<String, Queue>,
    /// Which function reads which queue.
    pub event_source_mappings: BTreeMap<String, EventSourceMapping>,
    /// Schedules that are always there.
    pub schedules: BTreeMap<String, Schedule>,
    /// Where the schedules of users' cron triggers go.
    pub cron_triggers: CronTriggers,
    /// Routes of the HTTP API, keyed by `METHOD /path`.
    pub routes: BTreeMap<String, Route>,
    /// Fargate operators; `fargate-operators/<key>`.
    pub operators: BTreeMap<String, Operator>,
    /// What people and pipelines start inside the network; `fargate-operators/<key>`.
    #[serde(default)]
    pub errands: BTreeMap<String, Errand>,
    /// S3 buckets.
    pub buckets: BTreeMap<String, Bucket>,
    /// Secrets Manager secrets.
    pub secrets: BTreeMap<String, Secret>,
}

/// A Lambda function.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Memory in MB; CPU comes in proportion.
    pub memory_mb: i32,
    /// Run time after which an invocation is ended.
    pub timeout_seconds: i32,
    /// Size of `/tmp`.
    #[serde(default = "default_ephemeral_storage_mb")]
    pub ephemeral_storage_mb: i32,
    /// Most invocations at a time; absent: as many as the account allows.
    #[serde(default)]
    pub reserved_concurrency: Option<i32>,
    /// Variables with fixed values.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Queues that it sends to.
    #[serde(default)]
    pub send: Vec<String>,
    /// Whether it asks for the lengths of these queues, and of their dead-letter queues.
    #[serde(default)]
    pub measure_queues: bool,
    /// Buckets that it uses.
    #[serde(default)]
    pub buckets: BTreeMap<String, Access>,
    /// The folder of a bucket that it keeps to: objects below `<folder>/`. Absent: the whole bucket.
    #[serde(default)]
    pub folders: BTreeMap<String, String>,
    /// Secrets that it reads.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Functions that it invokes and waits for.
    #[serde(default)]
    pub invoke: Vec<String>,
    /// How it reaches people through AWS.
    #[serde(default)]
    pub notify: Vec<Notifier>,
    /// Operators that it launches.
    #[serde(default)]
    pub run_operators: Vec<String>,
    /// Operators whose tasks it stops.
    #[serde(default)]
    pub stop_operators: Vec<String>,
    /// Whether it verifies the tokens of its callers, and so has to know the issuers.
    #[serde(default)]
    pub verify_tokens: bool,
    /// Whether it may use the way out of the network on AWS; one machine has none to keep it from.
    #[serde(default)]
    pub outbound: bool,
    /// Files beside `bootstrap` in its zip.
    #[serde(default)]
    pub bundle: Vec<String>,
}

/// Lambda's own default.
fn default_ephemeral_storage_mb() -> i32 {
    512
}

/// A service of AWS that tells people something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notifier {
    /// SES.
    Email,
    /// Text messages, by SNS.
    Sms,
}

/// What a function or operator may do with a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// List and get.
    Read,
    /// Put.
    Write,
    /// Both.
    ReadWrite,
}

/// An SQS queue.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Ordered by message group, deduplicated by id.
    pub fifo: bool,
    /// `messageGroup` for high throughput. Source: SQS attribute `DeduplicationScope`.
    #[serde(default)]
    pub deduplication_scope: Option<String>,
    /// `perMessageGroupId` for high throughput. Source: SQS attribute `FifoThroughputLimit`.
    #[serde(default)]
    pub fifo_throughput_limit: Option<String>,
    /// How long a received message stays hidden.
    pub visibility_seconds: i32,
    /// How long a message is kept.
    pub retention_seconds: i32,
    /// Where messages go that nobody could handle; absent for a queue that only people read.
    #[serde(default)]
    pub dead_letter: Option<DeadLetter>,
}

/// A dead-letter queue.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetter {
    /// As the queue itself; SQS refuses a mix.
    pub fifo: bool,
    /// Receives after which a message is moved.
    pub max_receives: i32,
    /// How long it is kept there.
    pub retention_seconds: i32,
}

/// A queue feeding a function.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSourceMapping {
    /// The queue.
    pub queue: String,
    /// The function.
    pub function: String,
    /// Most messages an invocation.
    pub batch_size: i32,
    /// Whether the function answers which messages failed.
    pub report_batch_item_failures: bool,
    /// Most invocations at a time.
    #[serde(default)]
    pub maximum_concurrency: Option<i32>,
}

/// An EventBridge schedule.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The function that it invokes.
    pub function: String,
    /// `rate(…)`, `cron(…)` or `at(…)`, in UTC.
    pub expression: String,
    /// The event.
    pub input: serde_json::Value,
    /// Tries after a failed invocation.
    pub retry_attempts: i32,
    /// Age at which an event is given up.
    pub max_event_age_seconds: i32,
}

/// The schedules made for users' cron triggers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CronTriggers {
    /// Their group.
    pub group: String,
    /// The function that they invoke.
    pub function: String,
    /// Tries after a failed invocation.
    pub retry_attempts: i32,
    /// Age at which a tick is given up.
    pub max_event_age_seconds: i32,
}

/// A route of the HTTP API.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The function that answers.
    pub function: String,
    /// Who may call.
    #[serde(default)]
    pub authorization: Authorization,
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authorization {
    /// Everybody; the function sees to it itself.
    #[default]
    None,
    /// AWS principals that may, by calls that they sign. The function is told who.
    AwsIam,
}

/// A Fargate operator.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// CPU units; 1024 are a core.
    pub cpu: i32,
    /// Memory in MB.
    pub memory_mb: i32,
    /// Time between SIGTERM and SIGKILL.
    pub stop_timeout_seconds: i32,
    /// Variables with fixed values.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The queue of wake-ups that its worker reads.
    pub queue: String,
    /// Queues that its worker sends to.
    #[serde(default)]
    pub send: Vec<String>,
    /// Buckets that it uses.
    #[serde(default)]
    pub buckets: BTreeMap<String, Access>,
    /// The folder of a bucket that it keeps to: objects below `<folder>/`. Absent: the whole bucket.
    #[serde(default)]
    pub folders: BTreeMap<String, String>,
    /// Secrets that its worker reads.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Files beside the operator in its image.
    #[serde(default)]
    pub bundle: Vec<String>,
}

/// A program that a person or a pipeline starts once inside the network, and waits for: an ECS task without a worker.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errand {
    /// CPU units; 1024 are a core.
    pub cpu: i32,
    /// Memory in MB.
    pub memory_mb: i32,
    /// Time between SIGTERM and SIGKILL.
    pub stop_timeout_seconds: i32,
    /// Variables with fixed values.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Buckets that it uses.
    #[serde(default)]
    pub buckets: BTreeMap<String, Access>,
    /// The folder of a bucket that it keeps to: objects below `<folder>/`. Absent: the whole bucket.
    #[serde(default)]
    pub folders: BTreeMap<String, String>,
    /// Secrets that it reads.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Whether it is Postgres's administrator, and the one that writes the secret `database`.
    #[serde(default)]
    pub administers_database: bool,
}

/// An S3 bucket.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Whether old versions are kept.
    pub versioned: bool,
    /// Days after which objects are deleted.
    #[serde(default)]
    pub expire_days: Option<i32>,
}

/// A secret.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// What it holds, and in which form.
    pub description: String,
    /// One secret a chain, webhook or the like, `isotherm/<key>/<name>`, named by jobs and triggers instead of by a variable.
    #[serde(default)]
    pub per_name: bool,
    /// Those per name that every stack has; they are made empty. Terraform makes more from its variables, one machine from
    /// commands.
    #[serde(default)]
    pub names: Vec<String>,
}

impl Stack {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// [`LocalStackError::Io`], or [`LocalStackError::Stack`] with every fault.
    pub fn read(path: &Path) -> Result<Self, LocalStackError> {
        let text = std::fs::read_to_string(path).map_err(LocalStackError::io("read", path))?;
        Ok(Self::parse(&text, &path.display().to_string())?)
    }

    /// Parses and checks `text`; `file` is its name in messages.
    ///
    /// # Errors
    /// Every fault. A file of the wrong shape has one fault: what comes after it cannot be judged.
    pub fn parse(text: &str, file: &str) -> Result<Self, StackFaults> {
        let refuse = |faults| Err(StackFaults { file: file.to_owned(), faults });
        // Typed maps take the last of two equal keys, and write aliases out, some kilobytes into gigabytes: the tree with places
        // refuses both.
        let faults = faults_of_tree(text);
        if !faults.is_empty() {
            return refuse(faults);
        }
        let stack: Self = match serde_yaml_ng::from_str(text) {
            Ok(stack) => stack,
            Err(error) => return refuse(vec![lines::shape_fault(&error)]),
        };
        let mut report = lines::Report::new(text);
        limits::check(&stack, &mut report);
        references::check(&stack, &mut report);
        wiring::check(&stack, &mut report);
        let faults = report.into_faults();
        if faults.is_empty() { Ok(stack) } else { refuse(faults) }
    }

    /// Secrets per name that every stack has, each as `<key>/<name>`.
    pub fn named_secrets(&self) -> Vec<String> {
        let names = |(key, secret): (&String, &Secret)| {
            secret.names.iter().map(|name| format!("{key}/{name}")).collect::<Vec<_>>()
        };
        self.secrets.iter().flat_map(names).collect()
    }
}

/// What is wrong with `text` whatever its keys are.
fn faults_of_tree(text: &str) -> Vec<Fault> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file has more than {MAX_FILE_BYTES} bytes, the most that is read");
        return vec![Fault { line: None, place: String::new(), message }];
    }
    let mut faults = Vec::new();
    if let Err(fault) = tree::read(text, &mut faults) {
        faults.push(fault);
    }
    let of_file =
        |fault: pipeline::Fault| Fault { line: Some(fault.line), place: String::new(), message: fault.message };
    faults.into_iter().map(of_file).collect()
}

#[cfg(test)]
mod tests;
