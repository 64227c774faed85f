//! Calls that come through API Gateway, and answers to them.
//!
//! **Source**: API Gateway developer guide, "Working with AWS Lambda proxy integrations for HTTP APIs", payload format 2.0.

use std::collections::BTreeMap;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_access::AccessError;
use isotherm_access::token::TokenFault;
use isotherm_types::{Classified, Disposition};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::MalformedEvent;
use crate::fault::Fault;

/// Seconds after which a caller may try again what the platform could not do.
const RETRY_AFTER_SECONDS: u32 = 5;

/// A call of a route.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// The route, as `terraform/stack.yaml` has it: `POST /v1/jobs/{job}/run`.
    pub route_key: String,
    /// Values of the route's `{…}`.
    pub path_parameters: BTreeMap<String, String>,
    /// What follows the `?`; of a name that is there twice, the first value.
    pub query_parameters: BTreeMap<String, String>,
    /// Headers by their names in lower case; those of one name are one value with a comma between them.
    pub headers: BTreeMap<String, String>,
    /// ARN of the caller, if API Gateway checked the call's AWS signature.
    pub caller_arn: Option<String>,
    body: String,
    is_base64: bool,
}

/// The texts under `field` of an event, by their names; none if the field is absent.
fn texts(event: &Value, field: &str) -> Result<BTreeMap<String, String>, MalformedEvent> {
    match event.get(field) {
        Some(texts) if !texts.is_null() => BTreeMap::deserialize(texts).map_err(|source| MalformedEvent { source }),
        _ => Ok(BTreeMap::new()),
    }
}

/// A body that API Gateway says is base64, and is not.
#[derive(Debug, thiserror::Error)]
#[error("the body is not base64")]
pub struct NotBase64(#[source] base64::DecodeError);

impl Classified for NotBase64 {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "event.body_not_base64"
    }
}

/// Whether `event` is a call through API Gateway; nothing else has a `requestContext`.
pub fn is_http(event: &Value) -> bool {
    event.get("requestContext").is_some()
}

impl HttpCall {
    /// Reads an event of API Gateway.
    ///
    /// # Errors
    /// [`MalformedEvent`] if it is none of payload format 2.0.
    pub fn of(event: Value) -> Result<Self, MalformedEvent> {
        // Read here: the crate's map of parameters panics at a value that is an empty list, and its map of headers forgets
        // one of two that differ in case.
        let query_parameters = texts(&event, "queryStringParameters")?;
        let written = texts(&event, "headers")?;
        let event: ApiGatewayV2httpRequest =
            serde_json::from_value(event).map_err(|source| MalformedEvent { source })?;
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in written {
            let known = headers.entry(name.to_ascii_lowercase());
            known.and_modify(|before| *before = format!("{before}, {value}")).or_insert(value);
        }
        let iam = event.request_context.authorizer.and_then(|authorizer| authorizer.iam);
        Ok(Self {
            route_key: event.request_context.route_key.unwrap_or_default(),
            path_parameters: event.path_parameters.into_iter().collect(),
            query_parameters,
            headers,
            caller_arn: iam.and_then(|iam| iam.user_arn).filter(|arn| !arn.is_empty()),
            body: event.body.unwrap_or_default(),
            is_base64: event.is_base64_encoded,
        })
    }

    /// A value of the path.
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        self.path_parameters.get(name).map(String::as_str)
    }

    /// A value behind the `?`.
    pub fn query_parameter(&self, name: &str) -> Option<&str> {
        self.query_parameters.get(name).map(String::as_str)
    }

    /// The value of the header `Authorization`; of two such headers, both with a comma between them, which nothing accepts.
    pub fn authorization(&self) -> Option<&str> {
        self.header("authorization")
    }

    /// A header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Length of the body in bytes, told without decoding it.
    pub fn body_bytes(&self) -> u64 {
        let text = self.body.as_str();
        let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
        let bytes = if self.is_base64 { (text.len() / 4 * 3).saturating_sub(padding) } else { text.len() };
        bytes as u64
    }

    /// The body, byte for byte.
    ///
    /// # Errors
    /// [`NotBase64`].
    pub fn body(&self) -> Result<Vec<u8>, NotBase64> {
        if self.is_base64 { STANDARD.decode(&self.body).map_err(NotBase64) } else { Ok(self.body.clone().into_bytes()) }
    }
}

/// Shows neither headers nor body.
impl std::fmt::Debug for HttpCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpCall {{ route_key: {:?}, body_bytes: {} }}", self.route_key, self.body_bytes())
    }
}

/// An answer in JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpAnswer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
    /// Seconds after which the caller may try again.
    pub retry_after_seconds: Option<u32>,
    /// How the caller has to identify itself: the header `WWW-Authenticate` of a 401.
    pub challenge: Option<&'static str>,
}

impl HttpAnswer {
    /// `body` under `status`.
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, body, retry_after_seconds: None, challenge: None }
    }

    /// An error: `{"code", "message"}`.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::new(status, json!({ "code": code, "message": message }))
    }

    /// The answer to a call that access does not let through. Source of the challenge: RFC 6750, section 3.
    pub fn of_denial(error: &AccessError) -> Self {
        let challenge = match error {
            AccessError::Unauthenticated { fault: TokenFault::Missing } => Some("Bearer realm=\"isotherm\""),
            AccessError::Unauthenticated { .. } => Some("Bearer realm=\"isotherm\", error=\"invalid_token\""),
            _ => None,
        };
        let status = error.http_status();
        let retry_after_seconds = (status == 503).then_some(RETRY_AFTER_SECONDS);
        // Its own words only: what Postgres or the network says is for the log.
        Self { challenge, retry_after_seconds, ..Self::error(status, error.code(), &error.to_string()) }
    }

    /// The platform's own failure: 503 and a time to come back if trying again can help, else 500. The cause is for the
    /// log only, since it may name hosts.
    pub fn of_fault(fault: &Fault) -> Self {
        match fault.disposition() {
            Disposition::GiveUp => Self::error(500, fault.code(), "the platform failed; its log says why"),
            Disposition::Retry | Disposition::RetryAfter(_) => Self {
                retry_after_seconds: Some(RETRY_AFTER_SECONDS),
                ..Self::error(503, fault.code(), "the platform cannot do this at the moment; try again")
            },
        }
    }

    /// The response as API Gateway takes it.
    pub fn into_response(self) -> Value {
        let mut headers = json!({ "content-type": "application/json" });
        if let Some(seconds) = self.retry_after_seconds {
            headers["retry-after"] = json!(seconds.to_string());
        }
        if let Some(challenge) = self.challenge {
            headers["www-authenticate"] = json!(challenge);
        }
        json!({
            "statusCode": self.status,
            "headers": headers,
            "body": self.body.to_string(),
            "isBase64Encoded": false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(body: &str, is_base64: bool) -> Value {
        json!({
            "version": "2.0",
            "routeKey": "POST /v1/jobs/{job}/run",
            "rawPath": "/v1/jobs/work/run",
            "queryStringParameters": { "limit": "5" },
            "headers": { "Idempotency-Key": "k", "Authorization": "Bearer a", "authorization": "Bearer b" },
            "pathParameters": { "job": "work" },
            "requestContext": {
                "routeKey": "POST /v1/jobs/{job}/run",
                "http": { "method": "POST", "path": "/v1/jobs/work/run" },
                "authorizer": { "iam": { "userArn": "arn:aws:iam::1:user/ann" } },
                "timeEpoch": 0,
            },
            "body": body,
            "isBase64Encoded": is_base64,
        })
    }

    #[test]
    fn a_call_is_read_whole() {
        let call = HttpCall::of(event("{}", false)).unwrap();
        assert_eq!(call.route_key, "POST /v1/jobs/{job}/run");
        assert_eq!((call.path_parameter("job"), call.header("idempotency-key")), (Some("work"), Some("k")));
        assert_eq!((call.query_parameter("limit"), call.query_parameter("before")), (Some("5"), None));
        assert_eq!(call.caller_arn.as_deref(), Some("arn:aws:iam::1:user/ann"));
        assert!(!format!("{call:?}").contains("ann"));
        assert!(HttpCall::of(json!({ "requestContext": 1 })).is_err());
    }

    #[test]
    fn two_headers_of_one_name_are_one_value_and_no_token() {
        let call = HttpCall::of(event("{}", false)).unwrap();
        let value = call.authorization().unwrap();
        assert!(["Bearer a, Bearer b", "Bearer b, Bearer a"].contains(&value), "{value}");
        assert_eq!(isotherm_access::bearer::token(Some(value)), Err(TokenFault::NotBearer));
    }

    #[test]
    fn a_denial_says_how_to_identify_oneself_and_nothing_of_the_inside() {
        let response = |error: AccessError| HttpAnswer::of_denial(&error).into_response();
        let missing = response(TokenFault::Missing.into());
        assert_eq!(missing["headers"]["www-authenticate"], "Bearer realm=\"isotherm\"");
        let expired = response(TokenFault::Expired.into());
        assert_eq!(expired["headers"]["www-authenticate"], "Bearer realm=\"isotherm\", error=\"invalid_token\"");
        assert_eq!((&missing["statusCode"], &expired["statusCode"]), (&json!(401), &json!(401)));
        let lost = response(sqlx::Error::Io(std::io::Error::other("10.0.0.7 is gone")).into());
        assert_eq!((&lost["statusCode"], &lost["headers"]["retry-after"]), (&json!(503), &json!("5")));
        assert!(!lost.to_string().contains("10.0.0.7"), "{lost}");
    }

    #[test]
    fn the_length_of_a_body_is_that_of_its_bytes() {
        for bytes in [&b""[..], b"a", b"ab", b"abc", b"abcd", b"\xff\x00"] {
            let call = HttpCall::of(event(&STANDARD.encode(bytes), true)).unwrap();
            assert_eq!((call.body_bytes(), call.body().unwrap()), (bytes.len() as u64, bytes.to_vec()));
        }
        let call = HttpCall::of(event("YQ==", false)).unwrap();
        assert_eq!((call.body_bytes(), call.body().unwrap()), (4, b"YQ==".to_vec()));
        assert!(HttpCall::of(event("?", true)).unwrap().body().is_err());
        assert_eq!(HttpCall::of(event("===", true)).unwrap().body_bytes(), 0);
    }

    #[test]
    fn a_failure_of_the_platform_says_when_to_come_back_and_not_why() {
        let lost = Fault::from(isotherm_control::ControlError::from(sqlx::Error::PoolTimedOut));
        let response = HttpAnswer::of_fault(&lost).into_response();
        assert_eq!((&response["statusCode"], &response["headers"]["retry-after"]), (&json!(503), &json!("5")));
        let body: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["code"], "control.database");
        let broken = Fault::from(isotherm_control::ControlError::from(sqlx::Error::ColumnNotFound("x".to_owned())));
        assert_eq!(HttpAnswer::of_fault(&broken).status, 500);
    }
}
