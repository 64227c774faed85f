//! Takes secrets out of what an operator prints, before it reaches a log or a row.
//!
//! Operators must not print secrets; this is the second line of defence, for libraries that put an address into an
//! error.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::secret::Secret;

/// Shorter texts would be found everywhere.
const SHORTEST: usize = 8;

/// Replaces the secrets of one task.
#[derive(Clone, Debug, Default)]
pub(super) struct Redaction {
    needles: Secret<Vec<String>>,
}

impl Redaction {
    /// Looks for each secret, for each part of a list, and for the password of each address.
    pub(super) fn of(secrets: &BTreeMap<String, Secret<String>>) -> Self {
        let values = secrets.values().map(|secret| secret.expose().as_str());
        let mut needles: Vec<&str> = values.flat_map(|value| std::iter::once(value).chain(value.split(','))).collect();
        let passwords: Vec<&str> = needles.iter().filter_map(|address| password(address)).collect();
        needles.extend(passwords);
        needles.retain(|needle| needle.len() >= SHORTEST);
        // The longest first, so that a part does not break up the whole.
        needles.sort_unstable_by_key(|needle| std::cmp::Reverse(needle.len()));
        needles.dedup();
        Self { needles: Secret::new(needles.into_iter().map(str::to_owned).collect()) }
    }

    /// `text` without the secrets.
    pub(super) fn apply(&self, text: &str) -> String {
        self.needles.expose().iter().fold(text.to_owned(), |text, needle| {
            if text.contains(needle.as_str()) { text.replace(needle.as_str(), "[secret]") } else { text }
        })
    }

    /// `value` without the secrets, in texts and in keys.
    pub(super) fn apply_to_json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.apply(&text)),
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.apply_to_json(item)).collect()),
            Value::Object(fields) => Value::Object(
                fields.into_iter().map(|(name, value)| (self.apply(&name), self.apply_to_json(value))).collect(),
            ),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
        }
    }
}

/// The password in `scheme://user:password@host/…`.
fn password(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    let (user_info, _) = rest.split('/').next()?.rsplit_once('@')?;
    user_info.split_once(':').map(|(_, password)| password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_their_parts_and_their_passwords_are_replaced() {
        let secrets = BTreeMap::from([
            ("DATABASE_URL".to_owned(), Secret::new("postgres://ann:pass-word-1@host:5432/db".to_owned())),
            ("RPC_URLS".to_owned(), Secret::new("https://a.example/key-1,https://b.example/key-2".to_owned())),
            ("FLAG".to_owned(), Secret::new("on".to_owned())),
        ]);
        let redaction = Redaction::of(&secrets);
        let text = "cannot reach https://b.example/key-2 nor postgres://ann:pass-word-1@host:5432/db, \
                    password \"pass-word-1\" is on";
        let clean = redaction.apply(text);
        assert_eq!(clean, "cannot reach [secret] nor [secret], password \"[secret]\" is on");
        assert!(!format!("{redaction:?}").contains("pass-word-1"));
    }

    #[test]
    fn the_password_beside_certificates_is_replaced() {
        let url = "postgres://ann:pass-word-1@host:5432/db?sslmode=verify-full";
        let ca = "-----BEGIN CERTIFICATE-----\nM/A=\n-----END CERTIFICATE-----\n";
        for text in
            [serde_json::json!({ "url": url, "ca": ca }).to_string(), format!(r#"{{"ca":"M/A=","url":"{url}"}}"#)]
        {
            let redaction = Redaction::of(&BTreeMap::from([("DATABASE_URL".to_owned(), Secret::new(text))]));
            assert_eq!(redaction.apply("refused: pass-word-1"), "refused: [secret]");
        }
    }
}
