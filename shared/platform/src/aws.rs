//! AWS clients, made from the environment as the SDK reads it.
//!
//! The endpoint (`AWS_ENDPOINT_URL`) is honoured by the SDK itself; the one thing that follows from it here is S3's
//! path style, since an emulator has no host name for each bucket. Time-outs and retries are set once, for all.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;

pub use aws_config::SdkConfig;

use crate::metrics::{Growth, S3_REQUESTS_TOTAL};

mod s3_requests;

use s3_requests::{CountRequests, S3Requests};

/// Tries of one call in all, with the SDK's own jittered back-off in between.
const MAX_ATTEMPTS: u32 = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than SQS's longest poll of 20 s.
const READ_TIMEOUT: Duration = Duration::from_secs(25);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// S3 bodies are large; stalled ones are ended by the SDK's stalled-stream protection.
const S3_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(300);

/// The clients, each made when first asked for.
#[derive(Debug)]
pub struct Clients {
    config: SdkConfig,
    s3_requests: Arc<S3Requests>,
    s3_growth: Arc<Growth>,
    s3: OnceLock<aws_sdk_s3::Client>,
    sqs: OnceLock<aws_sdk_sqs::Client>,
    ecs: OnceLock<aws_sdk_ecs::Client>,
    lambda: OnceLock<aws_sdk_lambda::Client>,
    secrets_manager: OnceLock<aws_sdk_secretsmanager::Client>,
    scheduler: OnceLock<aws_sdk_scheduler::Client>,
}

impl Clients {
    /// Clients for the region, the credentials and the endpoint that the environment names. Does not call AWS.
    pub async fn load() -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
            .timeout_config(timeouts(ATTEMPT_TIMEOUT))
            .load()
            .await;
        Self::from_config(config)
    }

    /// Clients for a configuration made by the caller, as tests do.
    pub fn from_config(config: SdkConfig) -> Self {
        let s3_requests = Arc::new(S3Requests::default());
        let counted = Arc::clone(&s3_requests);
        Self {
            config,
            s3_requests,
            s3_growth: Arc::new(Growth::new(S3_REQUESTS_TOTAL, move || counted.counts())),
            s3: OnceLock::new(),
            sqs: OnceLock::new(),
            ecs: OnceLock::new(),
            lambda: OnceLock::new(),
            secrets_manager: OnceLock::new(),
            scheduler: OnceLock::new(),
        }
    }

    /// What all of them are made from: for a function that alone uses a service.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// What tells how many requests were made to S3; whoever uses S3 tells it at the end, or at intervals
    /// ([`crate::metrics::Telling`]).
    pub fn s3_requests(&self) -> &Arc<Growth> {
        &self.s3_growth
    }

    /// S3; with path style if the endpoint is overridden.
    pub fn s3(&self) -> &aws_sdk_s3::Client {
        self.s3.get_or_init(|| {
            let config = aws_sdk_s3::config::Builder::from(&self.config)
                .force_path_style(self.config.endpoint_url().is_some())
                .timeout_config(timeouts(S3_ATTEMPT_TIMEOUT))
                .interceptor(CountRequests(Arc::clone(&self.s3_requests)))
                .build();
            aws_sdk_s3::Client::from_conf(config)
        })
    }

    /// SQS.
    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        self.sqs.get_or_init(|| aws_sdk_sqs::Client::new(&self.config))
    }

    /// ECS.
    pub fn ecs(&self) -> &aws_sdk_ecs::Client {
        self.ecs.get_or_init(|| aws_sdk_ecs::Client::new(&self.config))
    }

    /// Lambda, to invoke another function and wait for its answer.
    pub fn lambda(&self) -> &aws_sdk_lambda::Client {
        self.lambda.get_or_init(|| aws_sdk_lambda::Client::new(&self.config))
    }

    /// Secrets Manager.
    pub fn secrets_manager(&self) -> &aws_sdk_secretsmanager::Client {
        self.secrets_manager.get_or_init(|| aws_sdk_secretsmanager::Client::new(&self.config))
    }

    /// EventBridge Scheduler.
    pub fn scheduler(&self) -> &aws_sdk_scheduler::Client {
        self.scheduler.get_or_init(|| aws_sdk_scheduler::Client::new(&self.config))
    }
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .operation_attempt_timeout(attempt)
        .build()
}
