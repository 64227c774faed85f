//! The queues that hold dead letters, as `terraform/stack.yaml` lists them.

use anyhow::Context;
use futures::future::try_join_all;
use isotherm_lab::tools;
use isotherm_local_stack::{LocalAws, Stack, names};
use isotherm_platform::dead_letters;
use isotherm_types::Queue;

use crate::connected::unknown;

/// A queue of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadQueue {
    /// As people name it: `dead_letters`, or `<key>-dlq`.
    pub(crate) name: String,
    /// Its name on AWS.
    aws_name: String,
    /// Name on AWS of the queue whose reader failed on its messages; absent of `dead_letters`, which holds tasks that failed.
    source: Option<String>,
}

impl DeadQueue {
    /// Whether its messages stand for tasks that failed for good.
    pub(crate) fn holds_tasks(&self) -> bool {
        self.source.is_none()
    }

    pub(crate) async fn url(&self, aws: &LocalAws) -> anyhow::Result<String> {
        url(aws, &self.aws_name).await
    }

    /// Address of the queue that its messages came from.
    pub(crate) async fn source_url(&self, aws: &LocalAws) -> anyhow::Result<Option<String>> {
        match &self.source {
            Some(source) => url(aws, source).await.map(Some),
            None => Ok(None),
        }
    }
}

async fn url(aws: &LocalAws, name: &str) -> anyhow::Result<String> {
    let asked = aws.sqs().get_queue_url().queue_name(name).send().await;
    let found = asked.with_context(|| format!("could not find queue {name}"))?;
    found.queue_url.with_context(|| format!("queue {name} has no address"))
}

/// All queues of dead letters, `dead_letters` first.
pub(crate) fn all() -> anyhow::Result<Vec<DeadQueue>> {
    let root = tools::repository_root().context("could not find the repository")?;
    let stack = Stack::read(&root.join("terraform/stack.yaml")).context("could not read the stack file")?;
    Ok(of(&stack))
}

/// The one called `name`, with or without its `-dlq`.
pub(crate) fn named(name: &str) -> anyhow::Result<DeadQueue> {
    let all = all()?;
    let found = all.iter().find(|queue| queue.name == name || queue.name == format!("{name}-dlq"));
    found.cloned().ok_or_else(|| {
        let names: Vec<String> = all.iter().map(|queue| queue.name.clone()).collect();
        unknown("queue of dead letters", name, &names)
    })
}

fn of(stack: &Stack) -> Vec<DeadQueue> {
    let failed = Queue::DeadLetters.as_str();
    let tasks = stack.queues.get(failed).map(|queue| DeadQueue {
        name: failed.to_owned(),
        aws_name: names::queue(failed, queue.fifo),
        source: None,
    });
    let messages = stack.queues.iter().filter(|(_, queue)| queue.dead_letter.is_some()).map(|(key, queue)| DeadQueue {
        name: format!("{key}-dlq"),
        aws_name: names::dead_letter_queue(key, queue.fifo),
        source: Some(names::queue(key, queue.fifo)),
    });
    tasks.into_iter().chain(messages).collect()
}

/// How many messages each queue of dead letters holds, as SQS reckons.
pub(crate) async fn depths(aws: &LocalAws) -> anyhow::Result<Vec<(String, u64)>> {
    let sqs = aws.sqs();
    let depth = async |queue: DeadQueue| -> anyhow::Result<(String, u64)> {
        let depth = dead_letters::depth(&sqs, &queue.url(aws).await?).await?;
        Ok((queue.name, depth))
    };
    try_join_all(all()?.into_iter().map(depth)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queues_are_those_of_the_stack_file() {
        let queues = all().unwrap();
        let names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(names[..2], ["dead_letters", "alerts-dlq"]);
        assert!(queues[0].holds_tasks() && queues[1..].iter().all(|queue| !queue.holds_tasks()));
        let events = queues.iter().find(|queue| queue.name == "events-dlq").unwrap();
        assert_eq!(events.aws_name, "isotherm-events-dlq.fifo");
        assert_eq!(events.source.as_deref(), Some("isotherm-events.fifo"));
        assert_eq!(&named("events").unwrap(), events);
        assert_eq!(named("dead_letters").unwrap(), queues[0]);
        let error = named("nope").unwrap_err().to_string();
        assert!(error.contains("there are: dead_letters, alerts-dlq"), "{error}");
    }
}
