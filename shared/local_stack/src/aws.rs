//! AWS clients bound to one emulator.
//!
//! Endpoint, region and credentials are fixed here, so that nothing found on the machine can lead a call to a real
//! account.

use std::collections::BTreeMap;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::error::SdkError;

use crate::error::LocalStackError;

/// What the emulator checks presigned URLs with, and nothing else, if its own `AWS_SECRET_ACCESS_KEY` is not set.
const SECRET_ACCESS_KEY: &str = "test";

/// Account of calls that are not signed, such as those of the HTTP API.
pub const DEFAULT_ACCOUNT: &str = "000000000000";

/// One account of one emulator.
#[derive(Clone, Debug)]
pub struct LocalAws {
    config: SdkConfig,
    endpoint_url: String,
    region: String,
    credentials: Credentials,
    detours: BTreeMap<String, String>,
    way_out: Vec<(String, String)>,
}

impl LocalAws {
    /// Clients for the emulator at `endpoint_url`. An `access_key_id` of twelve digits is also the account's number.
    pub async fn new(endpoint_url: &str, region: &str, access_key_id: &str) -> Self {
        Self::with_secret(endpoint_url, region, access_key_id, SECRET_ACCESS_KEY).await
    }

    /// As [`LocalAws::new`], for an emulator whose own `AWS_SECRET_ACCESS_KEY` is `secret_access_key`.
    pub async fn with_secret(endpoint_url: &str, region: &str, access_key_id: &str, secret_access_key: &str) -> Self {
        let credentials = Credentials::new(access_key_id, secret_access_key, None, None, "isotherm-local");
        Self::by_credentials(endpoint_url, region, credentials).await
    }

    async fn by_credentials(endpoint_url: &str, region: &str, credentials: Credentials) -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(endpoint_url)
            .region(Region::new(region.to_owned()))
            .credentials_provider(credentials.clone())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .load()
            .await;
        Self {
            config,
            endpoint_url: endpoint_url.to_owned(),
            region: region.to_owned(),
            credentials,
            detours: BTreeMap::new(),
            way_out: Vec::new(),
        }
    }

    /// The same account, in which processes with the roles of `detours` are led to the emulator by way of other addresses: those of
    /// proxies before it. The calls of this program itself go straight there.
    pub fn by_way_of(self, detours: BTreeMap<String, String>) -> Self {
        Self { detours, ..self }
    }

    /// The same account, in which functions have these variables besides: those of the [way out](crate::egress).
    pub fn behind(self, way_out: Vec<(String, String)>) -> Self {
        Self { way_out, ..self }
    }

    /// The same account over connections of its own, for another runtime.
    pub(crate) async fn reconnected(&self) -> Self {
        let aws = Self::by_credentials(&self.endpoint_url, &self.region, self.credentials.clone()).await;
        aws.by_way_of(self.detours.clone()).behind(self.way_out.clone())
    }

    /// Address of every service.
    pub fn endpoint_url(&self) -> &str {
        &self.endpoint_url
    }

    /// Address of every service for a process with the role `role`.
    pub(crate) fn endpoint_url_of(&self, role: &str) -> &str {
        self.detours.get(role).unwrap_or(&self.endpoint_url)
    }

    /// Variables that lead functions out.
    pub(crate) fn way_out(&self) -> &[(String, String)] {
        &self.way_out
    }

    /// Region of everything.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// What all clients are made from.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Variables that lead the AWS SDK of a child process to this emulator.
    pub fn variables(&self) -> Vec<(String, String)> {
        self.variables_with(&self.endpoint_url)
    }

    /// The same for a child process with the role `role`.
    pub(crate) fn variables_of(&self, role: &str) -> Vec<(String, String)> {
        self.variables_with(self.endpoint_url_of(role))
    }

    fn variables_with(&self, endpoint_url: &str) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", endpoint_url),
            ("AWS_REGION", &self.region),
            ("AWS_ACCESS_KEY_ID", self.credentials.access_key_id()),
            ("AWS_SECRET_ACCESS_KEY", self.credentials.secret_access_key()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// S3, with bucket names in the path: `*.localhost` resolves on few machines. Without checksums of its own: they
    /// cost a debug build most of the time of an upload.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config)
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// SQS.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }

    /// ECS.
    pub fn ecs(&self) -> aws_sdk_ecs::Client {
        aws_sdk_ecs::Client::new(&self.config)
    }

    /// Lambda.
    pub fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.config)
    }

    /// EventBridge Scheduler.
    pub fn scheduler(&self) -> aws_sdk_scheduler::Client {
        aws_sdk_scheduler::Client::new(&self.config)
    }

    /// Secrets Manager.
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.config)
    }

    /// `SESv2`.
    pub fn email(&self) -> aws_sdk_sesv2::Client {
        aws_sdk_sesv2::Client::new(&self.config)
    }

    /// API Gateway v2.
    pub fn api_gateway(&self) -> aws_sdk_apigatewayv2::Client {
        aws_sdk_apigatewayv2::Client::new(&self.config)
    }
}

/// The answer; `None` if the call failed with an error that means "there is none" (or, to a creation, "there is one").
pub(crate) fn if_there<T, E, R>(
    answer: Result<T, SdkError<E, R>>,
    is_none: impl FnOnce(&E) -> bool,
    action: impl Into<String>,
) -> Result<Option<T>, LocalStackError>
where
    SdkError<E, R>: std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(SdkError::ServiceError(error)) if is_none(error.err()) => Ok(None),
        Err(error) => Err(LocalStackError::aws(action)(error)),
    }
}
