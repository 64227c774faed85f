//! Creates on the emulator what the stack file lists, and updates what differs.
//!
//! Every step looks first, so running it again changes nothing: an emulator that kept its state and one that starts
//! empty end up the same. It goes through the same AWS API as Terraform. It must never delete data: only schedules,
//! mappings and routes that the file no longer lists are removed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aws::LocalAws;
use crate::environment::Addresses;
use crate::error::LocalStackError;
use crate::names;
use crate::package::Sources;
use crate::schedules::CronTarget;
use crate::stack_file::Stack;

mod api;
mod buckets;
mod clock;
pub mod errands;
mod functions;
mod mappings;
mod operators;
mod queues;
pub mod secrets;
mod sender;

/// What the stack file cannot say.
#[derive(Clone, Debug)]
pub struct Options {
    /// Built programs and libraries.
    pub sources: Sources,
    /// End of each bucket's name.
    pub bucket_suffix: String,
    /// Texts of the secrets, by key of the stack file, such as `database` → `{"url": "postgres://…"}`.
    pub secrets: BTreeMap<String, String>,
    /// Issuers whose tokens the functions accept, as a JSON list (docs/access.md). Public keys and addresses only.
    pub token_issuers: String,
}

/// Whom emails come from on one machine.
pub const EMAIL_FROM: &str = "alerts@isotherm.example";

/// What happened to one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// It was there and differed.
    Updated,
    /// It was there as it should be.
    Unchanged,
    /// It was there and no longer belongs.
    Removed,
}

/// One thing done, for people who watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is, such as `queue`.
    pub kind: &'static str,
    /// Its name on AWS.
    pub name: String,
    /// What happened.
    pub change: Change,
}

/// Called after each step.
pub type OnStep<'a> = dyn FnMut(Step) + Send + 'a;

/// The running stack's addresses, by key of the stack file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioned {
    /// Address of every AWS service.
    pub endpoint_url: String,
    /// Region of everything.
    pub region: String,
    /// Address of the HTTP API; a route's path follows it.
    pub api_url: String,
    /// URL of each queue.
    pub queue_urls: BTreeMap<String, String>,
    /// URL of each queue's dead-letter queue.
    pub dead_letter_urls: BTreeMap<String, String>,
    /// Name of each bucket.
    pub buckets: BTreeMap<String, String>,
    /// ARN of each secret that is not per name.
    pub secret_arns: BTreeMap<String, String>,
    /// ARN of each function.
    pub function_arns: BTreeMap<String, String>,
    /// ARN of each operator's newest task definition.
    pub task_definition_arns: BTreeMap<String, String>,
    /// Name of the ECS cluster.
    pub cluster: String,
    /// Where schedules of cron triggers go.
    pub cron_target: CronTarget,
}

/// Makes the emulator what `stack` says.
///
/// # Errors
/// The first step that failed. Running it again goes on from there.
pub async fn provision(
    stack: &Stack,
    aws: &LocalAws,
    options: &Options,
    on_step: &mut OnStep<'_>,
) -> Result<Provisioned, LocalStackError> {
    let buckets = buckets::ensure(stack, &aws.s3(), &options.bucket_suffix, on_step).await?;
    let queues = queues::ensure(stack, &aws.sqs(), on_step).await?;
    let secret_arns = secrets::ensure_all(stack, aws, &options.secrets, on_step).await?;
    let addresses = Addresses {
        queue_urls: queues.urls.clone(),
        buckets: buckets.clone(),
        secret_arns: secret_arns.clone(),
        cluster: names::cluster().to_owned(),
        subnets: Vec::new(),
        security_groups: Vec::new(),
        token_issuers: options.token_issuers.clone(),
        email_from: EMAIL_FROM.to_owned(),
    };
    let account = queues.account;
    let task_definition_arns = operators::ensure(stack, &aws.ecs(), &addresses, &account, on_step).await?;
    let function_arns = functions::ensure(stack, aws, options, &addresses, &account, on_step).await?;
    mappings::ensure(stack, &aws.lambda(), &queues.arns, on_step).await?;
    let cron_target = clock::ensure(stack, &aws.scheduler(), &function_arns, &account, on_step).await?;
    let api_url = api::ensure(stack, aws, &function_arns, on_step).await?;
    sender::ensure(aws, on_step).await?;
    Ok(Provisioned {
        endpoint_url: aws.endpoint_url().to_owned(),
        region: aws.region().to_owned(),
        api_url,
        queue_urls: queues.urls,
        dead_letter_urls: queues.dead_letter_urls,
        buckets,
        secret_arns,
        function_arns,
        task_definition_arns,
        cluster: addresses.cluster,
        cron_target,
    })
}

/// Reports one step.
fn report(on_step: &mut OnStep<'_>, kind: &'static str, name: impl Into<String>, change: Change) {
    on_step(Step { kind, name: name.into(), change });
}
