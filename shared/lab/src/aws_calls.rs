//! AWS calls as IAM sees them: who calls, which action, on which resource.
//!
//! [`AwsCall::read`] is a pure function from a request as an AWS SDK makes it; [`recorder`] stands before the emulator and
//! writes down what it sees. A request that is not known here is an error, never left out: whoever adds a call to a function
//! adds it here, or the recording is worth nothing.
//!
//! **Source** of actions, resource types and condition keys: AWS Service Authorization Reference, the pages of Amazon S3,
//! Amazon SQS, Amazon ECS, AWS Lambda, AWS Secrets Manager, Amazon SES v2 and Amazon SNS.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::Value;

use crate::http_faults::Call;

pub mod recorder;
mod s3;
mod services;

/// Account of whoever signs with anything else than an account's number, as the emulator has it.
const DEFAULT_ACCOUNT: &str = "000000000000";

/// A call, with what a policy can ask of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AwsCall {
    /// Name of the role that calls.
    pub principal: String,
    /// Such as `sqs:SendMessage`.
    pub action: String,
    /// ARN. Where the request has a short name, the part that only AWS knows is made up: `-xxxxxx` behind a secret's name,
    /// `:newest` behind a task definition's family. A telephone number is `+`: it belongs into no file.
    pub resource: String,
    /// Values of condition keys, such as `ecs:cluster`.
    pub context: BTreeMap<String, String>,
}

/// A request that is none of the known calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{principal} made a call that shared/lab/src/aws_calls.rs does not know, {request}: {reason}")]
pub struct UnreadCall {
    /// Name of the role that calls.
    pub principal: String,
    /// Method, path and operation.
    pub request: String,
    /// What is not known.
    pub reason: String,
}

/// Action, resource and context.
type Reading = Result<(&'static str, String, BTreeMap<String, String>), String>;

/// A request with what its signature says.
struct Signed<'a> {
    call: &'a Call,
    url: Url,
    service: String,
    region: String,
    account: String,
}

impl AwsCall {
    /// Reads what `principal` asks for.
    ///
    /// # Errors
    /// [`UnreadCall`] if the request is not signed, or no call that is known here.
    pub fn read(principal: &str, call: &Call) -> Result<Self, UnreadCall> {
        let (action, resource, context) = read(call).map_err(|reason| UnreadCall {
            principal: principal.to_owned(),
            request: request(call),
            reason,
        })?;
        Ok(Self { principal: principal.to_owned(), action: action.to_owned(), resource, context })
    }
}

/// Without the query, which may hold a signature.
fn request(call: &Call) -> String {
    let path = call.path().split('?').next().unwrap_or_default();
    format!("{} {path} {}", call.method(), call.operation).trim_end().to_owned()
}

fn read(call: &Call) -> Reading {
    let signed = Signed::of(call)?;
    match signed.service.as_str() {
        "s3" => s3::read(call, &signed.url).map(|(action, resource)| (action, resource, BTreeMap::new())),
        "sqs" => services::sqs(&signed),
        "ecs" => services::ecs(&signed),
        "secretsmanager" => services::secrets_manager(&signed),
        "lambda" => services::lambda(&signed),
        "ses" => services::ses(&signed),
        "sns" => services::sns(&signed),
        other => Err(format!("there is no table for the service `{other}`")),
    }
}

impl<'a> Signed<'a> {
    /// Reads the scope of a Signature Version 4, of a header or of a presigned URL. **Source**: AWS IAM User Guide,
    /// "Create a signed AWS API request".
    fn of(call: &'a Call) -> Result<Self, String> {
        let url = Url::parse(&format!("http://emulator{}", call.path()));
        let url = url.map_err(|error| format!("its path is unusable ({error})"))?;
        let of_header = call.header("authorization").and_then(|header| header.split_once("Credential="));
        let credential = match of_header {
            Some((_, rest)) => rest.split([',', ' ']).next().map(str::to_owned),
            None => url.query_pairs().find(|(name, _)| name == "X-Amz-Credential").map(|(_, value)| value.into_owned()),
        };
        let credential = credential.ok_or("it is not signed")?;
        let parts: Vec<&str> = credential.split('/').collect();
        let [key_id, _date, region, service, "aws4_request"] = parts.as_slice() else {
            return Err("its signature has no scope".to_owned());
        };
        let is_account = key_id.len() == DEFAULT_ACCOUNT.len() && key_id.bytes().all(|byte| byte.is_ascii_digit());
        let account = if is_account { *key_id } else { DEFAULT_ACCOUNT };
        let (service, region, account) = ((*service).to_owned(), (*region).to_owned(), account.to_owned());
        Ok(Self { call, url, service, region, account })
    }

    fn arn(&self, service: &str, rest: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{rest}", self.region, self.account)
    }

    /// A text of the JSON body.
    fn text(&self, name: &str) -> Result<&str, String> {
        self.call.body[name].as_str().ok_or_else(|| format!("it has no {name}"))
    }

    /// A text of the JSON body that may be left out.
    fn optional(&self, name: &str) -> Option<&str> {
        self.call.body.get(name).and_then(Value::as_str)
    }
}

/// `text` without percent-encoding. **Source**: RFC 3986, 2.1.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_once() {
        assert_eq!(decoded("arn%3Aaws%3Alambda"), "arn:aws:lambda");
        assert_eq!(decoded("100%25"), "100%");
        assert_eq!(decoded("a%2"), "a%2");
        assert_eq!(decoded("%zz%C3%A4"), "%zzä");
    }
}
