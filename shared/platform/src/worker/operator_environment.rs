//! The operator's environment: what AWS's SDK needs, its buckets, where its bundle is, its log level, whether a panic tells its stack, the
//! trace of its task, the way out of one machine, how it gives memory back and its secrets, nothing else.
//!
//! The worker's own variables (queues, the database's secret) stay with the worker.

use std::collections::BTreeMap;

use isotherm_types::operator::MMAP_THRESHOLD;

use crate::crash_points::CRASH_POINT_VARIABLE;
use crate::secret::Secret;
use crate::telemetry::TRACE_VARIABLE;

/// Whether the operator inherits the worker's variable `name`.
pub(super) fn is_passed_on(name: &str) -> bool {
    name.starts_with("AWS_")
        || name.starts_with("ISOTHERM_BUCKET_")
        || matches!(name, "RUST_LOG" | "RUST_BACKTRACE" | "ISOTHERM_LOG" | "ISOTHERM_BUNDLE" | CRASH_POINT_VARIABLE)
        || matches!(name, "HTTP_PROXY" | "HTTPS_PROXY" | "NO_PROXY")
}

/// The whole environment of the operator; a secret wins over a variable of its name. `trace_id` is what its log lines name.
pub(super) fn operator_environment<'a>(
    passed_on: &'a BTreeMap<String, String>,
    trace_id: Option<&'a str>,
    secrets: &'a BTreeMap<String, Secret<String>>,
) -> BTreeMap<&'a str, &'a str> {
    let inherited = passed_on.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let trace = trace_id.map(|trace_id| (TRACE_VARIABLE, trace_id));
    let secret = secrets.iter().map(|(name, value)| (name.as_str(), value.expose().as_str()));
    [MMAP_THRESHOLD].into_iter().chain(inherited).chain(trace).chain(secret).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_gets_nothing_of_the_workers_wiring() {
        for name in [
            "AWS_REGION",
            "AWS_ENDPOINT_URL",
            "ISOTHERM_BUCKET_COLD",
            "ISOTHERM_BUNDLE",
            "RUST_LOG",
            "RUST_BACKTRACE",
            "HTTPS_PROXY",
        ] {
            assert!(is_passed_on(name), "{name}");
        }
        for name in ["PATH", "HOME", "ISOTHERM_SECRET_DATABASE_ARN", "ISOTHERM_QUEUE_EVENTS_URL", "DATABASE_URL"] {
            assert!(!is_passed_on(name), "{name}");
        }
    }

    #[test]
    fn a_secret_is_added_under_the_name_that_the_job_gives_it() {
        let passed_on = BTreeMap::from([("RUST_LOG".to_owned(), "info".to_owned())]);
        let secrets = BTreeMap::from([("DATABASE_URL".to_owned(), Secret::new("postgres://…".to_owned()))]);
        let environment = operator_environment(&passed_on, None, &secrets);
        let expected = [("RUST_LOG", "info"), ("DATABASE_URL", "postgres://…"), ("MALLOC_MMAP_THRESHOLD_", "524288")];
        assert_eq!(environment, BTreeMap::from(expected));
        let traced = operator_environment(&passed_on, Some("4bf9"), &secrets);
        assert_eq!((traced.len(), traced["ISOTHERM_TRACE_ID"]), (4, "4bf9"));
    }
}
