//! The inner half of `isotherm smoke`: what only a task inside the network can try. It tries with the operator's own role and
//! on the operator's own way out.
//!
//! A check that fails is no failure of the task: the output says what was found, and the command judges it. What it finds must
//! never hold a secret.

use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use isotherm_platform::aws::Clients;
use isotherm_platform::database::{self, PoolOptions};
use isotherm_platform::{Environment, Fault, Secret};
use isotherm_types::disposition::error_chain;
use isotherm_types::event::TaskWake;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// How long a host is waited for.
const HOST_PATIENCE: Duration = Duration::from_secs(10);
/// How long a message is waited for after it was sent.
const MESSAGE_PATIENCE: Duration = Duration::from_secs(20);
/// Name of the operator's own queue. Source: terraform/stack.yaml, `tasks_noop`.
const OWN_QUEUE: &str = "isotherm-tasks-noop.fifo";
/// Header of an answer that comes from one machine's way out, not from the host.
const REFUSED_HEADER: &str = "x-isotherm-egress";

/// What is to be tried. Whoever may run a job of this operator may write it, so it names no object and no queue but those of
/// the checks themselves.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Tells this run from all others: 32 hexadecimal digits.
    #[serde(deserialize_with = "nonce")]
    pub nonce: String,
    /// An address of a host on the list.
    pub allowed_url: String,
    /// An address of a host that is not on it, and that can be reached from elsewhere.
    pub refused_url: String,
    /// Address of the operator's own queue.
    #[serde(deserialize_with = "own_queue")]
    pub queue_url: String,
}

impl Asked {
    /// Key of the object that is put, and left for the command to read and delete.
    pub fn object_key(&self) -> String {
        format!("smoke/{}", self.nonce)
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
pub async fn all(asked: &Asked, own: TaskWake, environment: &Environment) -> Vec<Found> {
    let mut environment = environment.clone();
    let url = environment.secret("ISOTHERM_DATABASE_URL");
    let bucket = environment.bucket("results");
    let (url, bucket) = match environment.check() {
        Ok(checked) => (Ok(url.open(&checked)), Ok(bucket.open(&checked))),
        Err(error) => (Err(error.to_string()), Err(error.to_string())),
    };
    let clients = Clients::load().await;
    let found = vec![
        timed("secret", async { url.as_ref().map(|_| "isotherm/database".to_owned()).map_err(Clone::clone) }).await,
        timed("database", async { schema(url.as_ref().map_err(Clone::clone)?).await }).await,
        timed("queue", message(&clients, asked, own)).await,
        timed("bucket", async { object(&clients, bucket.as_ref().map_err(Clone::clone)?, asked).await }).await,
        timed("allowed_host", allowed(&asked.allowed_url)).await,
        timed("refused_host", refused(&asked.refused_url)).await,
    ];
    tracing::info!(
        smoke.nonce = asked.nonce,
        smoke.failed = found.iter().filter(|one| !one.ok).count(),
        "looked around"
    );
    found
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

async fn allowed(url: &str) -> Result<String, String> {
    match ask(url).await? {
        Answered::ByHost(status) => Ok(format!("it answers {status}")),
        Answered::Refused => Err("the way out refuses it: it is not on the list".to_owned()),
        Answered::NotReached(why) => Err(why),
    }
}

async fn refused(url: &str) -> Result<String, String> {
    match ask(url).await? {
        Answered::ByHost(status) => Err(format!("it is not on the list and answers all the same, with {status}")),
        Answered::Refused => Ok("refused".to_owned()),
        Answered::NotReached(why) => Ok(format!("not reached: {why}")),
    }
}

enum Answered {
    ByHost(u16),
    Refused,
    NotReached(String),
}

/// Asks as every program of ours does: by the proxy that the environment names, if it names one.
async fn ask(url: &str) -> Result<Answered, String> {
    let client = reqwest::Client::builder()
        .connect_timeout(HOST_PATIENCE)
        .timeout(HOST_PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error_chain(&error))?;
    let answer = client.get(url).send().await;
    Ok(match answer {
        Ok(answer) if answer.headers().contains_key(REFUSED_HEADER) => Answered::Refused,
        Ok(answer) => Answered::ByHost(answer.status().as_u16()),
        // The address may hold a provider's key.
        Err(error) => Answered::NotReached(error_chain(&error.without_url())),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nobody_can_have_it_write_elsewhere_than_below_smoke() {
        let good = json!({
            "nonce": "0192d3c4a5b67788990a0b0c0d0e0f10", "allowed_url": "https://a.example/", "refused_url": "https://b.example/",
            "queue_url": "https://sqs.eu-west-1.amazonaws.com/1/isotherm-tasks-noop.fifo",
        });
        let asked: Asked = serde_json::from_value(good.clone()).unwrap();
        assert_eq!(asked.object_key(), "smoke/0192d3c4a5b67788990a0b0c0d0e0f10");
        for (member, value, expected) in [
            ("nonce", "", "nonce"),
            ("nonce", "../queries/1/a/rows.parquet/0123", "nonce"),
            ("queue_url", "https://sqs.eu-west-1.amazonaws.com/1/isotherm-events.fifo", "queue_url"),
            ("queue_url", "https://sqs.eu-west-1.amazonaws.com/1/not-isotherm-tasks-noop.fifo", "queue_url"),
            ("object_key", "queries/1/a/rows.parquet", "object_key"),
        ] {
            let mut bad = good.clone();
            bad[member] = json!(value);
            let error = serde_json::from_value::<Asked>(bad).unwrap_err().to_string();
            assert!(error.contains(expected), "{member} {value}: {error}");
        }
    }
}
