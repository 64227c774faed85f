//! SQS: messages and requests of each queue of the stack file. Pure.

use std::collections::BTreeMap;

use anyhow::bail;

use super::Inputs;
use super::bill::{Line, Term};
use super::load::SECONDS;
use super::operators::Work;

const SERVICE: &str = "SQS";

/// One line a queue. Its dead-letter queue gets nothing in an ordinary month.
///
/// # Errors
/// A queue that this does not know.
pub(super) fn lines(inputs: &Inputs<'_>, work: &BTreeMap<&str, Work>) -> anyhow::Result<Vec<Line>> {
    inputs.stack.queues.keys().map(|key| line(inputs, key, work)).collect()
}

fn line(inputs: &Inputs<'_>, key: &str, work: &BTreeMap<&str, Work>) -> anyhow::Result<Line> {
    let requests = requests(inputs, key, work)?;
    let is_fifo = inputs.stack.queues.get(key).is_some_and(|queue| queue.fifo);
    let price = if is_fifo { &inputs.prices.sqs_fifo_requests } else { &inputs.prices.sqs_standard_requests };
    let terms = vec![Term::of(price, requests.fixed, requests.grows)];
    Ok(Line { member: Some(format!("queue/{key}")), ..Line::of(SERVICE, key, terms, requests.from) })
}

struct Requests {
    fixed: f64,
    grows: f64,
    from: &'static str,
}

fn requests(inputs: &Inputs<'_>, key: &str, work: &BTreeMap<&str, Work>) -> anyhow::Result<Requests> {
    let (month, counts) = (inputs.month, inputs.counts);
    // Sent, received and deleted; the latter two for all that one invocation reads.
    let per_message = |messages_per_run: f64| 1.0 + 2.0 / messages_per_run;
    let mapping = inputs.stack.event_source_mappings.values().find(|mapping| mapping.queue == key);
    let batch_size = mapping.map_or(1, |mapping| mapping.batch_size);
    let waiting = if mapping.is_some() { counts.queue_pollers * SECONDS / counts.queue_wait_seconds } else { 0.0 };
    let read = |messages: f64, seconds: f64, from| {
        let per_run = month.blocks_per_run(seconds, batch_size);
        Requests { fixed: waiting, grows: messages * per_message(per_run), from }
    };
    // The worker of each task sees to its message, and waits for a next one before it ends.
    if let Some((operator, _)) = inputs.stack.operators.iter().find(|(_, operator)| operator.queue == key) {
        let Some(work) = work.get(operator.as_str()) else { bail!("operator {operator:?} has no work in the model") };
        let each = per_message(1.0) + counts.task_idle_seconds / counts.queue_wait_seconds;
        let (fixed, grows) = (work.fixed_tasks * each, work.grows_tasks * each);
        return Ok(Requests { fixed, grows, from: "a message a task; its worker waits for a next one" });
    }
    let each = per_message(1.0);
    Ok(match key {
        "events" => Requests {
            fixed: waiting,
            grows: month.event_messages * each,
            from: "a firing a partition, a commit a dataset of it, batch queries, checks; Lambda's waiting",
        },
        "thresholds" => read(month.blocks, counts.short_seconds, "a message a block; Lambda's waiting"),
        "alerts" => read(month.blocks, counts.evaluate_seconds, "a message a block; Lambda's waiting"),
        "deliveries" => {
            Requests { fixed: waiting, grows: month.alerts * each, from: "a message an alert; Lambda's waiting" }
        }
        "dead_letters" => Requests { fixed: 0.0, grows: 0.0, from: "none in an ordinary month" },
        _ => bail!(
            "queue {key:?} of terraform/stack.yaml is not in the model; say in cli/src/cost/queues.rs how many \
             messages it gets"
        ),
    })
}
