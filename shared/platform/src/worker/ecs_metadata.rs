//! What ECS says of the task that this process is part of.
//!
//! Source: Amazon ECS Developer Guide, "Amazon ECS task metadata endpoint version 4":
//! `GET ${ECS_CONTAINER_METADATA_URI_V4}/task` over plain HTTP answers a JSON object whose `TaskARN` is the ARN of the task.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use isotherm_types::{Classified, Disposition};
use serde::Deserialize;
use tokio::time::{error::Elapsed, timeout};

/// For question and answer together. The endpoint is on the host that runs the task.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// Answers are a few KiB.
const LONGEST_ANSWER_BYTES: usize = 1 << 20;

/// Why the task's ARN could not be learnt.
#[derive(Debug, thiserror::Error)]
pub(super) enum EcsMetadataError {
    #[error("the address of the ECS metadata endpoint, {url}, cannot be used")]
    BadAddress {
        url: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the ECS metadata endpoint at {url} did not answer")]
    NoAnswer {
        url: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the ECS metadata endpoint at {url} did not answer in time")]
    Slow {
        url: String,
        #[source]
        source: Elapsed,
    },
    #[error("the ECS metadata endpoint at {url} answered with status {status}")]
    Refused { url: String, status: u16 },
    #[error("the answer of the ECS metadata endpoint at {url} has no task ARN")]
    Malformed {
        url: String,
        #[source]
        source: serde_json::Error,
    },
}

impl Classified for EcsMetadataError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NoAnswer { .. } | Self::Slow { .. } | Self::Refused { .. } => Disposition::Retry,
            Self::BadAddress { .. } | Self::Malformed { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BadAddress { .. }
            | Self::NoAnswer { .. }
            | Self::Slow { .. }
            | Self::Refused { .. }
            | Self::Malformed { .. } => "worker.ecs_metadata",
        }
    }
}

/// Only what is needed; ECS adds members at will.
#[derive(Deserialize)]
struct TaskMetadata {
    #[serde(rename = "TaskARN")]
    task_arn: String,
}

/// The ARN of this process's ECS task, as the endpoint at `metadata_url` has it. Takes 2 s at most.
///
/// # Errors
/// [`EcsMetadataError`].
pub(super) async fn task_arn(metadata_url: &str) -> Result<String, EcsMetadataError> {
    let url = format!("{metadata_url}/task");
    match timeout(TIME_LIMIT, ask(&url)).await {
        Ok(answer) => answer,
        Err(source) => Err(EcsMetadataError::Slow { url, source }),
    }
}

async fn ask(url: &str) -> Result<String, EcsMetadataError> {
    let at = || url.to_owned();
    let address =
        url.parse().map_err(|source| EcsMetadataError::BadAddress { url: at(), source: Box::new(source) as _ })?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(address).await;
    let answer = answer.map_err(|source| EcsMetadataError::NoAnswer { url: at(), source: Box::new(source) })?;
    let status = answer.status();
    if !status.is_success() {
        return Err(EcsMetadataError::Refused { url: at(), status: status.as_u16() });
    }
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER_BYTES).collect().await;
    let body = body.map_err(|source| EcsMetadataError::NoAnswer { url: at(), source })?.to_bytes();
    let metadata: TaskMetadata =
        serde_json::from_slice(&body).map_err(|source| EcsMetadataError::Malformed { url: at(), source })?;
    Ok(metadata.task_arn)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that reads one request and writes `answer`; returns its address and what it was asked for.
    async fn serve(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v4/container-1", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            if answer.is_empty() {
                // Says nothing, and stays.
                let _ = stream.read_u8().await;
            }
            String::from_utf8(request).unwrap().lines().next().unwrap().to_owned()
        });
        (url, served)
    }

    #[tokio::test]
    async fn the_arn_is_that_of_the_task_and_not_of_the_container() {
        let body =
            r#"{"Cluster":"c","TaskARN":"arn:aws:ecs:us-east-1:1:task/c/7","Containers":[{"ContainerARN":"x"}]}"#;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let (url, served) = serve(answer.leak()).await;
        assert_eq!(task_arn(&url).await.unwrap(), "arn:aws:ecs:us-east-1:1:task/c/7");
        assert_eq!(served.await.unwrap(), "GET /v4/container-1/task HTTP/1.1");
    }

    #[tokio::test]
    async fn an_endpoint_of_no_use_is_an_error_in_time() {
        let cases = [
            ("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", "status 500"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "has no task ARN"),
            ("", "did not answer in time"),
        ];
        for (answer, expected) in cases {
            let (url, _served) = serve(answer).await;
            let began = std::time::Instant::now();
            let error = task_arn(&url).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(began.elapsed() < TIME_LIMIT * 2);
        }
        assert!(task_arn("not an address").await.unwrap_err().to_string().contains("cannot be used"));
    }
}
