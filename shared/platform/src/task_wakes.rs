//! Wakes workers: a message on `tasks-<operator>.fifo` that holds the id of a queued task.
//!
//! A lost wake-up delays its task until the dispatcher's sweep; a doubled one finds the task claimed.

use isotherm_control::dispatch::Wake;

use crate::config::settings::TaskQueues;
use crate::fault::Fault;
use crate::queue::{self, BATCH_LIMIT, FifoMessage, QueueError};

/// Sends the wake-ups; returns those that were *not* sent, for `control::dispatch::forget_wake`.
///
/// Trouble with one queue is logged and does not keep the others from being told. An operator without a queue is not
/// deployed: its tasks wait.
pub async fn send_task_wakes<'a>(sqs: &aws_sdk_sqs::Client, queues: &TaskQueues, wakes: &'a [Wake]) -> Vec<&'a Wake> {
    let mut operators: Vec<&str> = wakes.iter().map(|wake| wake.operator.as_str()).collect();
    operators.sort_unstable();
    operators.dedup();
    let mut unsent = Vec::new();
    for operator in operators {
        let of_operator: Vec<&Wake> = wakes.iter().filter(|wake| wake.operator == operator).collect();
        let Some(queue_url) = queues.url(operator) else {
            tracing::error!(
                error.code = "queue.unknown_operator",
                operator.name = operator,
                task.count = of_operator.len(),
                "tasks wait for an operator that has no queue"
            );
            unsent.extend(of_operator);
            continue;
        };
        for batch in of_operator.chunks(BATCH_LIMIT) {
            match send(sqs, queue_url, batch).await {
                Ok(accepted) => unsent.extend(batch.iter().zip(accepted).filter(|(_, ok)| !ok).map(|(wake, _)| *wake)),
                Err(error) => {
                    let fault = Fault::from(error);
                    tracing::error!(
                        error.code = fault.code(),
                        error.message = fault.message(),
                        "workers were not woken"
                    );
                    unsent.extend(batch);
                }
            }
        }
    }
    unsent
}

async fn send(sqs: &aws_sdk_sqs::Client, queue_url: &str, batch: &[&Wake]) -> Result<Vec<bool>, QueueError> {
    let messages: Result<Vec<FifoMessage>, QueueError> = batch.iter().map(|wake| message(wake, queue_url)).collect();
    queue::send_batch(sqs, queue_url, &messages?).await
}

fn message(wake: &Wake, queue_url: &str) -> Result<FifoMessage, QueueError> {
    let body = serde_json::to_string(&wake.message())
        .map_err(|source| QueueError::Encode { queue_url: queue_url.to_owned(), source })?;
    let Wake { task_id, fence, number, .. } = wake;
    Ok(FifoMessage {
        body,
        group_id: format!("task-{}", task_id.0),
        deduplication_id: format!("task-{}-{}-{number}", task_id.0, fence.0),
    })
}

#[cfg(test)]
mod tests {
    use isotherm_types::{Fence, TaskId};

    use super::*;

    #[test]
    fn a_second_wake_up_of_one_fence_is_no_duplicate_of_the_first() {
        let first = Wake { operator: "noop".to_owned(), task_id: TaskId(7), fence: Fence(2), number: 1 };
        let second = Wake { number: 2, ..first.clone() };
        let (first, second) = (message(&first, "q").unwrap(), message(&second, "q").unwrap());
        assert_eq!(first.deduplication_id, "task-7-2-1");
        assert_ne!(first.deduplication_id, second.deduplication_id);
        assert_eq!(first.group_id, "task-7");
        assert_eq!(first.body, r#"{"version":1,"task_id":7,"fence":2}"#);
    }
}
