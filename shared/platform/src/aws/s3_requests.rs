//! Counts the requests that a client makes to S3: an addition for each, told at intervals.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;

use crate::metrics::Counts;

/// Operations that are told apart, by their names in S3's API; the last stands for all others.
const OPERATIONS: [&str; 10] = [
    "GetObject",
    "HeadObject",
    "PutObject",
    "ListObjectsV2",
    "DeleteObject",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
    "other",
];
/// What comes of a request: an answer, one that refuses (4xx, such as a condition that does not hold), none or a server's failure.
const OUTCOMES: [&str; 3] = ["ok", "refused", "failed"];

/// Requests so far.
#[derive(Debug, Default)]
pub(super) struct S3Requests {
    counts: [[AtomicU64; OUTCOMES.len()]; OPERATIONS.len()],
}

impl S3Requests {
    /// All counts, those of nothing included.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for (operation, of_operation) in OPERATIONS.iter().zip(&self.counts) {
            for (outcome, count) in OUTCOMES.iter().zip(of_operation) {
                let values = vec![(*operation).to_owned(), (*outcome).to_owned()];
                counts.push((values, count.load(Ordering::Relaxed)));
            }
        }
        counts
    }

    fn note(&self, operation: &str, outcome: usize) {
        let others = OPERATIONS.len() - 1;
        let place = OPERATIONS.iter().position(|known| *known == operation).unwrap_or(others);
        self.counts[place][outcome].fetch_add(1, Ordering::Relaxed);
    }
}

/// Place in [`OUTCOMES`] of an attempt with this HTTP status, if it was answered; `None` if it was never sent, as when an address is
/// only signed. Pure.
fn outcome(status: Option<u16>, has_failed: bool) -> Option<usize> {
    match status {
        Some(500..) => Some(2),
        Some(400..) => Some(1),
        Some(_) => Some(0),
        None => has_failed.then_some(2),
    }
}

/// Counts into what is shared with whoever tells.
#[derive(Debug)]
pub(super) struct CountRequests(pub(super) std::sync::Arc<S3Requests>);

impl Intercept for CountRequests {
    fn name(&self) -> &'static str {
        "CountRequests"
    }

    /// Once for each try: each is a request.
    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _runtime_components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let status = context.response().map(|response| response.status().as_u16());
        let has_failed = matches!(context.output_or_error(), Some(Err(_)));
        if let Some(outcome) = outcome(status, has_failed) {
            self.0.note(cfg.load::<Metadata>().map_or("other", Metadata::name), outcome);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region};
    use aws_credential_types::Credentials;
    use aws_sdk_s3::presigning::PresigningConfig;
    use isotherm_lab::ministack::{Ministack, REGION, account};
    use serde_json::Value;

    use super::*;
    use crate::aws::Clients;
    use crate::metrics::recorded;

    #[test]
    fn what_was_never_sent_is_no_request() {
        assert_eq!(outcome(None, false), None, "signed only");
        assert_eq!(outcome(None, true), Some(2), "nobody answered");
        for (status, place) in [(200, 0), (304, 0), (404, 1), (412, 1), (500, 2), (503, 2)] {
            assert_eq!(outcome(Some(status), place > 0), Some(place), "{status}");
        }
    }

    /// Operation, outcome and value of each line.
    fn told(lines: &[Value]) -> Vec<(String, String, f64)> {
        let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
        let value = |line: &Value| line["s3_requests_total"].as_f64().expect("a line of this metric");
        lines.iter().map(|line| (text(line, "operation"), text(line, "outcome"), value(line))).collect()
    }

    #[tokio::test]
    async fn requests_to_s3_are_told_by_operation_and_outcome() {
        let ministack = Ministack::shared().await.unwrap();
        let account = account();
        let credentials = Credentials::new(account.clone(), "test", None, None, "lab");
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(ministack.endpoint_url())
            .region(Region::new(REGION))
            .credentials_provider(credentials);
        let clients = Clients::from_config(config.load().await);
        let (s3, bucket) = (clients.s3(), format!("counted-{account}"));
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        for _ in 0..3 {
            let put = s3.put_object().bucket(&bucket).key("x").body(b"x".to_vec().into());
            put.send().await.unwrap();
        }
        s3.get_object().bucket(&bucket).key("y").send().await.unwrap_err();
        let an_hour = PresigningConfig::expires_in(std::time::Duration::from_secs(3600)).unwrap();
        s3.get_object().bucket(&bucket).key("x").presigned(an_hour).await.unwrap();

        let ((), lines) = recorded(async { clients.s3_requests().tell() }).await;
        let line = |operation: &str, outcome: &str, value| (operation.to_owned(), outcome.to_owned(), value);
        let expected = [line("GetObject", "refused", 1.0), line("PutObject", "ok", 3.0), line("other", "ok", 1.0)];
        assert_eq!(told(&lines), expected, "an address that is signed is no request");
    }
}
