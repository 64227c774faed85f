//! The description of the whole HTTP API, `docs/openapi.yaml`, as its callers get it: JSON, and without a token.
//!
//! It is a part of the program, so it is of the version that answers. It must never depend on who asks.

use std::sync::OnceLock;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The route, as `terraform/stack.yaml` has it.
pub const ROUTE: &str = "GET /v1/openapi.json";

const DOCUMENT: &str = include_str!("../../../docs/openapi.yaml");

/// What callers and proxies do with it: keep it for five minutes, then ask whether it has changed.
const CACHE_CONTROL: &str = "public, max-age=300";

/// Digits of the digest that tells versions apart.
const TAG_DIGITS: usize = 32;

/// The description, made ready when it is first asked for.
#[derive(Debug, Default)]
pub struct Description {
    ready: OnceLock<Ready>,
}

#[derive(Debug)]
struct Ready {
    json: String,
    tag: String,
}

impl Description {
    /// The response of API Gateway. `known` is the header `If-None-Match`: who has this version already is told no more.
    pub fn response(&self, known: Option<&str>) -> Value {
        let ready = self.ready.get_or_init(Ready::new);
        let mut headers = json!({ "etag": ready.tag, "cache-control": CACHE_CONTROL });
        let (status, body) = if known.is_some_and(|known| names(known, &ready.tag)) {
            (304, "")
        } else {
            headers["content-type"] = json!("application/json");
            (200, ready.json.as_str())
        };
        json!({ "statusCode": status, "headers": headers, "body": body, "isBase64Encoded": false })
    }
}

impl Ready {
    fn new() -> Self {
        let document: Value = serde_yaml_ng::from_str(DOCUMENT).expect("a test reads the document, which is fixed");
        let json = document.to_string();
        let digest = format!("{:x}", Sha256::digest(json.as_bytes()));
        Self { tag: format!("\"{}\"", &digest[..TAG_DIGITS]), json }
    }
}

/// Whether one of the tags in `known` is `tag`. Source: RFC 9110, section 13.1.2; the comparison is weak.
fn names(known: &str, tag: &str) -> bool {
    let mut tags = known.split(',').map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use isotherm_platform::lambda::http::HttpCall;

    use super::*;

    #[test]
    fn the_documented_event_is_of_this_route() {
        let event = include_str!("../../../events-fixtures/api/http_describe.json");
        let call = HttpCall::of(serde_json::from_str(event).unwrap()).unwrap();
        assert_eq!((call.route_key.as_str(), call.authorization()), (ROUTE, None));
    }

    #[test]
    fn the_answer_is_the_document_as_json() {
        let response = Description::default().response(None);
        assert_eq!(
            (&response["statusCode"], &response["headers"]["content-type"]),
            (&json!(200), &json!("application/json"))
        );
        let told: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
        let written: Value = serde_yaml_ng::from_str(DOCUMENT).unwrap();
        assert_eq!(told, written);
        assert_eq!(told["openapi"], json!("3.1.0"));
        assert!(told["paths"]["/v1/openapi.json"]["get"]["responses"]["304"].is_object());
    }

    #[test]
    fn who_has_this_version_is_told_no_more() {
        let description = Description::default();
        let tag = description.response(None)["headers"]["etag"].as_str().unwrap().to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let response = description.response(Some(&known));
            assert_eq!((&response["statusCode"], &response["body"]), (&json!(304), &json!("")), "{known}");
            assert_eq!(response["headers"]["etag"], json!(tag));
        }
        for other in ["", "\"other\"", tag.trim_matches('"')] {
            assert_eq!(description.response(Some(other))["statusCode"], json!(200), "{other}");
        }
    }
}
