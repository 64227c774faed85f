//! The inner half of `isotherm smoke`: what only a task inside the network can try. It tries with the operator's own role and
//! on the operator's own way out.
//!
//! A check that fails is no failure of the task: the output says what was found, and the command judges it. What it finds must
//! never hold a secret, and it must never let who may run a job choose what is connected to (`checks/hosts.rs`).

use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use isotherm_platform::aws::Clients;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::{Environment, Fault, Secret};
use isotherm_types::disposition::error_chain;
use isotherm_types::event::TaskWake;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

mod hosts;

pub use hosts::{Hosts, NotAsked};

/// How long a message is waited for after it was sent.
const MESSAGE_PATIENCE: Duration = Duration::from_secs(20);
/// Name of the operator's own queue. Source: terraform/stack.yaml, `tasks_noop`.
const OWN_QUEUE: &str = "isotherm-tasks-noop.fifo";

/// The task's input. Whoever may run a job of this operator may write it, so it names no host, and no object and no queue but those
/// of the checks themselves.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Tells this run from all others: 32 hexadecimal digits.
    #[serde(deserialize_with = "nonce")]
    pub nonce: String,
    /// Address of the operator's own queue.
    #[serde(deserialize_with = "own_queue")]
    pub queue_url: String,
}

impl Asked {
    /// Key of the object that is put, and left for the command to read and delete.
    pub fn object_key(&self) -> String {
        format!("smoke/{}/object", self.nonce)
    }

    /// Key of the object that names the [`Hosts`].
    pub fn hosts_key(&self) -> String {
        format!("smoke/{}/hosts.json", self.nonce)
    }
}

fn nonce<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(D::Error::custom("nonce is not 32 hexadecimal digits"));
    }
    Ok(text)
}

fn own_queue<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.rsplit('/').next() != Some(OWN_QUEUE) {
        return Err(D::Error::custom(format!("queue_url is not that of {OWN_QUEUE}")));
    }
    Ok(text)
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Found {
    /// `secret`, `database`, `queue`, `bucket`, `allowed_host` or `refused_host`.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// How long it took.
    pub duration_ms: u64,
    /// What was seen, or why it is not as it should be.
    pub detail: String,
}

/// Tries everything, and says so in the log.
///
/// # Errors
/// [`NotAsked`], before anything is tried.
pub async fn all(asked: &Asked, own: TaskWake, environment: &Environment) -> Result<Vec<Found>, NotAsked> {
    // Each for itself: who has asked is looked up whether or not there is a database.
    let (mut of_database, mut of_bucket) = (environment.clone(), environment.clone());
    let (url, bucket) = (of_database.secret("ISOTHERM_DATABASE_URL"), of_bucket.bucket("results"));
    let url = of_database.check().map(|checked| url.open(&checked)).map_err(|error| error.to_string());
    let bucket = of_bucket.check().map(|checked| bucket.open(&checked)).map_err(|error| error.to_string());
    let clients = Clients::load().await;
    let hosts = match &bucket {
        Ok(bucket) => hosts::named(&clients, bucket, asked).await?,
        Err(why) => Err(why.clone()),
    };
    let found = vec![
        timed("secret", async { url.as_ref().map(|_| "isotherm/database".to_owned()).map_err(Clone::clone) }).await,
        timed("database", async { schema(url.as_ref().map_err(Clone::clone)?).await }).await,
        timed("queue", message(&clients, asked, own)).await,
        timed("bucket", async { object(&clients, bucket.as_ref().map_err(Clone::clone)?, asked).await }).await,
        timed("allowed_host", async { hosts::allowed(hosts.as_ref().map_err(Clone::clone)?).await }).await,
        timed("refused_host", async { hosts::refused(hosts.as_ref().map_err(Clone::clone)?).await }).await,
    ];
    tracing::info!(
        smoke.nonce = asked.nonce,
        smoke.failed = found.iter().filter(|one| !one.ok).count(),
        "looked around"
    );
    Ok(found)
}

async fn timed(name: &str, check: impl Future<Output = Result<String, String>>) -> Found {
    let began = Instant::now();
    let found = check.await;
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let ok = found.is_ok();
    let detail = match found {
        Ok(detail) | Err(detail) => detail,
    };
    Found { name: name.to_owned(), ok, duration_ms, detail }
}

/// The number of the newest migration.
async fn schema(url: &Secret<String>) -> Result<String, String> {
    let pool = database::connect(url, PoolOptions::operator("isotherm-smoke"))
        .await
        .map_err(|error| Fault::from(error).message())?;
    let newest: Result<(Option<i64>,), sqlx::Error> =
        sqlx::query_as("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(&pool).await;
    let (newest,) = newest.map_err(|error| error_chain(&error))?;
    match newest {
        Some(newest) => Ok(format!("migration {newest}")),
        None => Err("no migration has run".to_owned()),
    }
}

/// A message to the operator's own queue and back: the wake-up `own` of the task that runs, once more. Another worker that
/// receives it drops it, as it does with every one that comes twice; then it is sent again.
async fn message(clients: &Clients, asked: &Asked, own: TaskWake) -> Result<String, String> {
    let sqs = clients.sqs();
    let body = serde_json::json!(own).to_string();
    let began = Instant::now();
    let mut sent = 0_u32;
    while began.elapsed() < MESSAGE_PATIENCE {
        sent += 1;
        let call = sqs.send_message().queue_url(&asked.queue_url).message_body(&body);
        let call = call.message_group_id(format!("smoke-{}", asked.nonce));
        let call = call.message_deduplication_id(format!("smoke-{}-{sent}", asked.nonce));
        call.send().await.map_err(|error| format!("could not send: {}", error_chain(&error)))?;
        let call = sqs.receive_message().queue_url(&asked.queue_url).max_number_of_messages(10).wait_time_seconds(5);
        let received = call.send().await.map_err(|error| format!("could not receive: {}", error_chain(&error)))?;
        let mut is_back = false;
        for message in received.messages() {
            let receipt = message.receipt_handle().unwrap_or_default();
            if message.body() == Some(body.as_str()) {
                let call = sqs.delete_message().queue_url(&asked.queue_url).receipt_handle(receipt);
                call.send().await.map_err(|error| format!("could not delete: {}", error_chain(&error)))?;
                is_back = true;
            }
            // Somebody else's wake-up comes back by itself: no operator may change for how long it is hidden.
        }
        if is_back {
            return Ok(format!("sent {sent}, received and deleted"));
        }
    }
    Err(format!("sent {sent} messages, and none came back within {} s", MESSAGE_PATIENCE.as_secs()))
}

/// An object put and read back; whoever asked deletes it.
async fn object(clients: &Clients, bucket: &str, asked: &Asked) -> Result<String, String> {
    let (s3, key) = (clients.s3(), &asked.object_key());
    let body = asked.nonce.clone().into_bytes();
    let call = s3.put_object().bucket(bucket).key(key).body(ByteStream::from(body));
    call.send().await.map_err(|error| format!("could not put an object into {bucket}: {}", error_chain(&error)))?;
    let got = s3.get_object().bucket(bucket).key(key).send().await;
    let got = got.map_err(|error| format!("could not get the object from {bucket}: {}", error_chain(&error)))?;
    let bytes = got.body.collect().await.map_err(|error| error_chain(&error))?.into_bytes();
    if bytes == asked.nonce.as_bytes() {
        Ok(format!("{bucket}/{key}"))
    } else {
        Err(format!("{bucket}/{key} is not what was put there"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_input_names_no_host_and_nothing_elsewhere_than_below_smoke() {
        let good = json!({
            "nonce": "0192d3c4a5b67788990a0b0c0d0e0f10",
            "queue_url": "https://sqs.eu-west-1.amazonaws.com/1/isotherm-tasks-noop.fifo",
        });
        let asked: Asked = serde_json::from_value(good.clone()).unwrap();
        assert_eq!(asked.object_key(), "smoke/0192d3c4a5b67788990a0b0c0d0e0f10/object");
        assert_eq!(asked.hosts_key(), "smoke/0192d3c4a5b67788990a0b0c0d0e0f10/hosts.json");
        for (member, value, expected) in [
            ("nonce", "", "nonce"),
            ("nonce", "../queries/1/a/rows.parquet/0123", "nonce"),
            ("queue_url", "https://sqs.eu-west-1.amazonaws.com/1/isotherm-events.fifo", "queue_url"),
            ("queue_url", "https://sqs.eu-west-1.amazonaws.com/1/not-isotherm-tasks-noop.fifo", "queue_url"),
            ("object_key", "queries/1/a/rows.parquet", "object_key"),
            ("allowed_url", "http://169.254.170.2/v2/credentials", "allowed_url"),
            ("refused_url", "http://10.40.0.2:5432/", "refused_url"),
        ] {
            let mut bad = good.clone();
            bad[member] = json!(value);
            let error = serde_json::from_value::<Asked>(bad).unwrap_err().to_string();
            assert!(error.contains(expected), "{member} {value}: {error}");
        }
    }
}
