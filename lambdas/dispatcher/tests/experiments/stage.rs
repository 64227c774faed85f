//! A database, an AWS account of its own and a job that reads every dataset of logs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_ecs::types::ContainerDefinition;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName};
use isotherm_control::{jobs, pipeline};
use isotherm_lab::ministack::{self, Ministack};
use isotherm_lab::postgres::TestDatabase;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::{EventQueues, Fargate, TaskQueues};
use isotherm_types::event::{EventWake, WAKE_VERSION};
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset, EventBody, EventId};
use lambda_dispatcher::Dispatcher;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

/// Answers every event about logs with one task.
const JOBS: &str = "
version: 1
jobs: [{ name: read, operator: noop, input_datasets: [logs], max_concurrency: 10000 }]
";
/// An effect made twice is found, not prevented: this takes the guard out.
pub(crate) const WITHOUT_UNIQUE_TASKS: &str =
    "ALTER TABLE control.tasks DROP CONSTRAINT tasks_job_id_idempotency_key_key";

pub(crate) struct Stage {
    pub(crate) database: TestDatabase,
    pub(crate) conn: PgConnection,
    pub(crate) account: String,
    /// Of the emulator itself.
    pub(crate) endpoint: String,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) event_queues: EventQueues,
}

/// Clients of `account` at `endpoint`, which try a call so often.
pub(crate) async fn clients(endpoint: &str, account: &str, attempts: u32) -> Clients {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new(ministack::REGION))
        .credentials_provider(Credentials::new(account, "secret", None, None, "lab"))
        .retry_config(RetryConfig::standard().with_max_attempts(attempts))
        .load()
        .await;
    Clients::from_config(config)
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let mut conn = database.connect().await.unwrap();
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        pipeline::apply(&mut conn, org, &pipeline::parse(JOBS).unwrap(), "lab").await.unwrap();
        let (endpoint, account) = (Ministack::shared().await.unwrap().endpoint_url(), ministack::account());
        let sqs = clients(&endpoint, &account, 4).await.sqs().clone();
        let event_queues = EventQueues {
            events: queue(&sqs, "events.fifo", &[]).await,
            thresholds: queue(&sqs, "thresholds.fifo", &[]).await,
            dead_letters: queue(&sqs, "dead_letters.fifo", &[]).await,
            alerts: queue(&sqs, "alerts.fifo", &[]).await,
            deliveries: queue(&sqs, "deliveries.fifo", &[]).await,
        };
        Self { database, conn, account, endpoint, sqs, event_queues }
    }

    /// The dispatcher, its AWS at `endpoint`.
    pub(crate) async fn dispatcher(&self, endpoint: &str) -> Dispatcher {
        let clients = clients(endpoint, &self.account, 4).await;
        let noop = queue(&self.sqs, "tasks_noop.fifo", &[]).await;
        clients.ecs().create_cluster().cluster_name("isotherm").send().await.unwrap();
        let container = ContainerDefinition::builder().name("worker").image("isotherm-noop").build();
        let task = clients.ecs().register_task_definition().family("isotherm-noop").container_definitions(container);
        task.send().await.unwrap();
        dispatcher(&self.database.url, clients, self.event_queues.clone(), noop).await
    }

    /// Runs statements of the experiment's own.
    pub(crate) async fn run(&mut self, statements: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(statements.into())).execute(&mut self.conn).await.unwrap();
    }

    pub(crate) async fn count(&mut self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.conn).await.unwrap()
    }
}

/// The dispatcher over a database, its cluster being there already; `noop` is the queue that wakes workers.
pub(crate) async fn dispatcher(
    database_url: &str,
    clients: Clients,
    event_queues: EventQueues,
    noop: String,
) -> Dispatcher {
    Dispatcher {
        pool: PgPool::connect(database_url).await.unwrap(),
        clients,
        event_queues,
        task_queues: TaskQueues(BTreeMap::from([("noop".to_owned(), noop)])),
        fargate: Fargate {
            cluster: "isotherm".to_owned(),
            task_definition_prefix: "isotherm-".to_owned(),
            subnets: Vec::new(),
            security_groups: Vec::new(),
        },
    }
}

pub(crate) async fn queue(sqs: &aws_sdk_sqs::Client, name: &str, more: &[(QueueAttributeName, String)]) -> String {
    let mut request = sqs.create_queue().queue_name(name).attributes(QueueAttributeName::FifoQueue, "true");
    for (attribute, value) in more {
        request = request.attributes(attribute.clone(), value);
    }
    request.send().await.unwrap().queue_url.unwrap()
}

/// Up to ten messages, with their groups and the instants at which they were sent.
pub(crate) async fn receive(sqs: &aws_sdk_sqs::Client, queue_url: &str) -> Vec<Message> {
    let request = sqs.receive_message().queue_url(queue_url).max_number_of_messages(10).wait_time_seconds(1);
    let request = request
        .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
        .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
    request.send().await.unwrap().messages.unwrap_or_default()
}

pub(crate) async fn delete(sqs: &aws_sdk_sqs::Client, queue_url: &str, message: &Message) {
    let handle = message.receipt_handle().unwrap();
    // A handle whose message was given to somebody else is refused, which is what AWS does too.
    let _ = sqs.delete_message().queue_url(queue_url).receipt_handle(handle).send().await;
}

/// Deletes what [`receive`] has returned, in one call.
pub(crate) async fn delete_all(sqs: &aws_sdk_sqs::Client, queue_url: &str, messages: &[Message]) {
    if messages.is_empty() {
        return;
    }
    let entry = |(place, message): (usize, &Message)| {
        let entry = DeleteMessageBatchRequestEntry::builder().id(place.to_string());
        entry.set_receipt_handle(message.receipt_handle.clone()).build().unwrap()
    };
    let entries = messages.iter().enumerate().map(entry).collect();
    sqs.delete_message_batch().queue_url(queue_url).set_entries(Some(entries)).send().await.unwrap();
}

pub(crate) fn attribute(message: &Message, name: &MessageSystemAttributeName) -> String {
    message.attributes().and_then(|attributes| attributes.get(name)).cloned().unwrap_or_default()
}

pub(crate) fn wake(event_id: i64) -> String {
    serde_json::to_string(&EventWake { version: WAKE_VERSION, event_id: EventId(event_id) }).unwrap()
}

/// Number `n` of the partitions of `chain`; each chain is a message group.
pub(crate) fn committed(chain: u64, n: u64) -> EventBody {
    EventBody::PartitionCommitted {
        chain_id: ChainId(chain),
        dataset: Dataset::Logs,
        blocks: BlockRange::new(BlockNumber(n * 100), BlockNumber(n * 100 + 100)).unwrap(),
        manifest_version: n + 1,
    }
}

/// Events that led to no task.
pub(crate) const LOST: &str = "
    SELECT count(*) FROM control.events e
     WHERE NOT EXISTS (SELECT 1 FROM control.tasks t WHERE t.idempotency_key = 'event-' || e.id)";
/// Tasks beyond the first of an event, and tasks of no event.
pub(crate) const DOUBLED: &str = "
    SELECT count(*) - count(DISTINCT e.id) FROM control.tasks t LEFT JOIN control.events e ON t.idempotency_key = 'event-' || e.id";
/// Tasks that were made before the task of an earlier event of their group.
pub(crate) const OUT_OF_ORDER: &str = "
    SELECT count(*) FROM (
        SELECT min(t.id) < max(min(t.id)) OVER (PARTITION BY e.body ->> 'chain_id' ORDER BY e.id) AS overtook
          FROM control.tasks t JOIN control.events e ON t.idempotency_key = 'event-' || e.id
         GROUP BY e.id) AS effects
     WHERE overtook";

/// Looks again and again until `look` says that all is over, or what it has counted stands still for `silence`: then something
/// is lost, which the counts of the experiment tell.
pub(crate) async fn until_over<C: PartialEq>(silence: Duration, mut look: impl AsyncFnMut() -> (C, bool)) {
    let (mut before, mut since) = (None, Instant::now());
    loop {
        let (count, is_over) = look().await;
        let count = Some(count);
        if count != before {
            (before, since) = (count, Instant::now());
        }
        if is_over || since.elapsed() > silence {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
