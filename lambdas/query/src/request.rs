//! Events as they come in, parsed strictly.

use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_types::{Classified, Disposition};
use serde::Deserialize;
use serde_json::Value;

/// Time that a query has if it names none. **Source**: API Gateway gives up after 30 s.
const DEFAULT_TIMEOUT_SECONDS: u64 = 25;

/// Longest time that a query may name; the function's own time-out, less what it takes to say so.
const MAX_TIMEOUT_SECONDS: u64 = 55;

/// How an event came in.
#[derive(Debug)]
pub enum Door {
    /// Invoked directly; the event is the request.
    Direct(Value),
    /// `POST /v1/query`.
    ApiGateway {
        /// The request's bytes.
        body: Vec<u8>,
    },
}

/// A query as its asker writes it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// One SELECT.
    pub sql: String,
    /// How rows are written.
    #[serde(default)]
    pub format: Format,
    /// Seconds to the answer.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u64,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Lists of JSON values.
    #[default]
    Json,
    /// RFC 4180 with a header.
    Csv,
}

/// An event or a body that is not understood.
#[derive(Debug, thiserror::Error)]
pub enum MalformedRequest {
    /// It looks like API Gateway's and is not.
    #[error("the event is no API Gateway event of version 2.0")]
    Event(#[source] serde_json::Error),
    /// The body is not what it says that it is.
    #[error("the body is not base64")]
    Base64(#[source] base64::DecodeError),
    /// The request is not JSON, or not with these fields.
    #[error("the request is not {{\"sql\", \"format\", \"timeout_seconds\"}}")]
    Json(#[source] serde_json::Error),
    /// The time is out of range.
    #[error("timeout_seconds is {given}, not between 1 and {MAX_TIMEOUT_SECONDS}")]
    Timeout {
        /// What was asked for.
        given: u64,
    },
}

impl Classified for MalformedRequest {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Event(_) => "event.malformed",
            Self::Base64(_) | Self::Json(_) | Self::Timeout { .. } => "query.malformed_request",
        }
    }
}

impl Door {
    /// Tells the doors apart: only API Gateway's events have a `requestContext`.
    ///
    /// # Errors
    /// [`MalformedRequest::Event`] and [`MalformedRequest::Base64`].
    pub fn of(event: Value) -> Result<Self, MalformedRequest> {
        if event.get("requestContext").is_none() {
            return Ok(Self::Direct(event));
        }
        let event: ApiGatewayV2httpRequest = serde_json::from_value(event).map_err(MalformedRequest::Event)?;
        let body = event.body.unwrap_or_default();
        let body = if event.is_base64_encoded {
            STANDARD.decode(body).map_err(MalformedRequest::Base64)?
        } else {
            body.into_bytes()
        };
        Ok(Self::ApiGateway { body })
    }

    /// The request.
    ///
    /// # Errors
    /// [`MalformedRequest`], an unknown field included.
    pub fn request(&self) -> Result<Request, MalformedRequest> {
        let request: Request = match self {
            Self::Direct(event) => Request::deserialize(event),
            Self::ApiGateway { body } => serde_json::from_slice(body),
        }
        .map_err(MalformedRequest::Json)?;
        match request.timeout_seconds {
            1..=MAX_TIMEOUT_SECONDS => Ok(request),
            given => Err(MalformedRequest::Timeout { given }),
        }
    }
}

impl Request {
    /// Time from now to the answer.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

/// Never shows the SQL.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sql, format, timeout_seconds } = self;
        write!(f, "Request {{ sql: {} bytes, format: {format:?}, timeout_seconds: {timeout_seconds} }}", sql.len())
    }
}

fn default_timeout_seconds() -> u64 {
    DEFAULT_TIMEOUT_SECONDS
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fixture(name: &str) -> Value {
        let path = format!("{}/../../events-fixtures/query/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()
    }

    #[test]
    fn every_event_shape_is_understood() {
        let table = [
            ("direct_json", "select block_number,", Format::Json, 20),
            ("direct_csv", "select count(*) from blocks", Format::Csv, 25),
            ("direct_refused", "select getenv(", Format::Json, 25),
            ("api_gateway", "select count(*) from transactions", Format::Json, 25),
            ("api_gateway_base64", "select count(*) from transactions", Format::Json, 25),
            ("api_gateway_csv", "select block_number, block_hash", Format::Csv, 10),
        ];
        for (name, sql, format, timeout_seconds) in table {
            let request = Door::of(fixture(name)).unwrap().request().unwrap();
            assert!(request.sql.starts_with(sql), "{name}");
            assert_eq!((request.format, request.timeout_seconds), (format, timeout_seconds), "{name}");
        }
    }

    #[test]
    fn what_is_not_a_request_is_refused_with_a_code() {
        let api = |body: &str, base64: bool| {
            let mut event = fixture("api_gateway");
            event["body"] = json!(body);
            event["isBase64Encoded"] = json!(base64);
            event
        };
        let events = [
            fixture("direct_malformed"),
            fixture("api_gateway_malformed"),
            json!({}),
            json!([]),
            json!({"sql": 1}),
            json!({"sql": "select 1", "format": "parquet"}),
            json!({"sql": "select 1", "timeout_seconds": 0}),
            json!({"sql": "select 1", "timeout_seconds": 56}),
            api("", false),
            api("not base64!", true),
        ];
        for event in events {
            let error = Door::of(event.clone()).and_then(|door| door.request()).expect_err(&event.to_string());
            assert_eq!(error.code(), "query.malformed_request", "{event}");
        }
        let strange = Door::of(json!({"requestContext": 1})).unwrap_err();
        assert_eq!(strange.code(), "event.malformed");
    }

    #[test]
    fn a_request_never_shows_its_sql() {
        let request = Door::of(fixture("direct_csv")).unwrap().request().unwrap();
        assert!(!format!("{request:?}").contains("select"));
    }
}
