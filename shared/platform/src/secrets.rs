//! Values from Secrets Manager.
//!
//! They are fetched when needed and kept nowhere, but for a short while in a [`SecretCache`]; an error names the secret,
//! never its value.

use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use isotherm_types::{Classified, Disposition};
use serde_json::Value;

use crate::secret::Secret;

mod cache;

pub use cache::SecretCache;

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager knows no such secret.
    #[error("secret {id} does not exist")]
    NotFound {
        /// Name or ARN that was asked for.
        id: String,
    },
    /// Secrets Manager did not answer, or refused.
    #[error("secret {id} could not be read")]
    Unavailable {
        /// Name or ARN that was asked for.
        id: String,
        /// What the SDK reports.
        #[source]
        source: Box<SdkError<GetSecretValueError>>,
    },
    /// It is there, but is not what it has to be.
    #[error("secret {id} is not {expected}")]
    Malformed {
        /// Name or ARN that was asked for.
        id: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl Classified for SecretError {
    fn disposition(&self) -> Disposition {
        match self {
            // A secret may be created or mended while the task waits.
            Self::NotFound { .. } | Self::Unavailable { .. } | Self::Malformed { .. } => Disposition::Retry,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "secret.not_found",
            Self::Unavailable { .. } => "secret.unavailable",
            Self::Malformed { .. } => "secret.malformed",
        }
    }
}

/// The value of the secret called `id` (name or ARN).
///
/// A secret that is a JSON object with exactly one member, such as `{"url": "postgres://…"}`, stands for that member:
/// a text as it is, anything else as JSON. Every other secret is its own text, such as that of a database with certificates.
///
/// # Errors
/// [`SecretError`].
pub async fn fetch(client: &aws_sdk_secretsmanager::Client, id: &str) -> Result<Secret<String>, SecretError> {
    let answer =
        client.get_secret_value().secret_id(id).send().await.map_err(|source| match source.as_service_error() {
            Some(GetSecretValueError::ResourceNotFoundException(_)) => SecretError::NotFound { id: id.to_owned() },
            _ => SecretError::Unavailable { id: id.to_owned(), source: Box::new(source) },
        })?;
    let text = answer.secret_string().ok_or(SecretError::Malformed { id: id.to_owned(), expected: "text" })?;
    let value = only_member(text);
    if value.is_empty() {
        return Err(SecretError::Malformed { id: id.to_owned(), expected: "filled" });
    }
    Ok(Secret::new(value))
}

fn only_member(text: &str) -> String {
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    let mut values = members.into_iter().map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(Value::String(value)), None) => value,
        (Some(value), None) => value.to_string(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_member_stands_for_its_object() {
        assert_eq!(only_member(r#"{"url":"postgres://u:p@h/d"}"#), "postgres://u:p@h/d");
        assert_eq!(only_member(r#"{"urls":["a","b"]}"#), r#"["a","b"]"#);
        assert_eq!(only_member(r#"{"a":"1","b":"2"}"#), r#"{"a":"1","b":"2"}"#);
        assert_eq!(only_member("plain"), "plain");
    }
}
