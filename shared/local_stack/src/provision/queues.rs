//! SQS queues, each with its dead-letter queue.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::operation::get_queue_url::GetQueueUrlError;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use serde_json::{Value, json};

use super::{Change, OnStep, report};
use crate::aws::if_there;
use crate::error::LocalStackError;
use crate::names;
use crate::stack_file::Stack;

/// The queues, by key.
pub(super) struct Queues {
    pub(super) urls: BTreeMap<String, String>,
    pub(super) arns: BTreeMap<String, String>,
    pub(super) dead_letter_urls: BTreeMap<String, String>,
    /// Number of the account that owns them.
    pub(super) account: String,
}

type Attributes = HashMap<Attribute, String>;

/// Creates or updates all queues.
pub(super) async fn ensure(
    stack: &Stack,
    client: &Client,
    on_step: &mut OnStep<'_>,
) -> Result<Queues, LocalStackError> {
    let mut queues = Queues {
        urls: BTreeMap::new(),
        arns: BTreeMap::new(),
        dead_letter_urls: BTreeMap::new(),
        account: String::new(),
    };
    for (key, queue) in &stack.queues {
        let mut wanted = Attributes::from([
            (Attribute::VisibilityTimeout, queue.visibility_seconds.to_string()),
            (Attribute::MessageRetentionPeriod, queue.retention_seconds.to_string()),
        ]);
        if let Some(settings) = &queue.dead_letter {
            let name = names::dead_letter_queue(key, queue.fifo);
            let attributes =
                Attributes::from([(Attribute::MessageRetentionPeriod, settings.retention_seconds.to_string())]);
            let dead_letter = ensure_one(client, &name, queue.fifo, attributes).await?;
            report(on_step, "queue", &name, dead_letter.change);
            let redrive = json!({ "deadLetterTargetArn": dead_letter.arn, "maxReceiveCount": settings.max_receives });
            wanted.insert(Attribute::RedrivePolicy, redrive.to_string());
            queues.dead_letter_urls.insert(key.clone(), dead_letter.url);
        }
        let optional = [
            (Attribute::DeduplicationScope, &queue.deduplication_scope),
            (Attribute::FifoThroughputLimit, &queue.fifo_throughput_limit),
        ];
        wanted.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        let name = names::queue(key, queue.fifo);
        let found = ensure_one(client, &name, queue.fifo, wanted).await?;
        report(on_step, "queue", &name, found.change);

        // arn:aws:sqs:<region>:<account>:<name>
        if let Some(account) = found.arn.split(':').nth(4) {
            account.clone_into(&mut queues.account);
        }
        queues.urls.insert(key.clone(), found.url);
        queues.arns.insert(key.clone(), found.arn);
    }
    Ok(queues)
}

struct Found {
    url: String,
    arn: String,
    change: Change,
}

async fn ensure_one(client: &Client, name: &str, fifo: bool, wanted: Attributes) -> Result<Found, LocalStackError> {
    let existing = client.get_queue_url().queue_name(name).send().await;
    let is_none = GetQueueUrlError::is_queue_does_not_exist;
    let existing = if_there(existing, is_none, format!("look up queue {name}"))?.and_then(|found| found.queue_url);
    let Some(url) = existing else {
        let action = format!("create queue {name}");
        let mut attributes = wanted;
        if fifo {
            attributes.insert(Attribute::FifoQueue, "true".to_owned());
        }
        let answer = client
            .create_queue()
            .queue_name(name)
            .set_attributes(Some(attributes))
            .send()
            .await
            .map_err(LocalStackError::aws(&action))?;
        let url = answer.queue_url().ok_or_else(LocalStackError::answer(&action, "QueueUrl"))?.to_owned();
        let arn = arn(&attributes_of(client, name, &url).await?, name)?;
        return Ok(Found { url, arn, change: Change::Created });
    };
    let found = attributes_of(client, name, &url).await?;
    let arn = arn(&found, name)?;
    let differs = wanted.iter().any(|(attribute, value)| !found.get(attribute).is_some_and(|old| is_same(old, value)));
    if !differs {
        return Ok(Found { url, arn, change: Change::Unchanged });
    }
    client
        .set_queue_attributes()
        .queue_url(&url)
        .set_attributes(Some(wanted))
        .send()
        .await
        .map_err(LocalStackError::aws(format!("update queue {name}")))?;
    Ok(Found { url, arn, change: Change::Updated })
}

async fn attributes_of(client: &Client, name: &str, url: &str) -> Result<Attributes, LocalStackError> {
    let answer = client
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(Attribute::All)
        .send()
        .await
        .map_err(LocalStackError::aws(format!("describe queue {name}")))?;
    Ok(answer.attributes().cloned().unwrap_or_else(Attributes::new))
}

fn arn(attributes: &Attributes, name: &str) -> Result<String, LocalStackError> {
    let missing = LocalStackError::answer(format!("describe queue {name}"), "QueueArn");
    attributes.get(&Attribute::QueueArn).cloned().ok_or_else(missing)
}

/// Whether two attribute values mean the same; the redrive policy is JSON.
fn is_same(old: &str, new: &str) -> bool {
    let json = |text| serde_json::from_str::<Value>(text).ok();
    old == new || (json(old).is_some() && json(old) == json(new))
}
