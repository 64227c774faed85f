//! Takes secrets out of what an operator prints, before it reaches a log or a row.
//!
//! Operators must not print secrets; this is the second line of defence, for libraries that put an address into an
//! error.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::secret::Secret;

/// Shorter texts would be found everywhere.
const SHORTEST: usize = 8;
/// Shorter parts of an endpoint's path and query are words, such as the name of a chain.
const SHORTEST_PART: usize = 16;

/// Replaces the secrets of one task.
#[derive(Clone, Debug, Default)]
pub(super) struct Redaction {
    needles: Secret<Vec<String>>,
}

impl Redaction {
    /// Looks for each secret, for each part of a list, and for what may be a key in each address.
    pub(super) fn of(secrets: &BTreeMap<String, Secret<String>>) -> Self {
        let values = secrets.values().map(|secret| secret.expose().as_str());
        let mut needles: Vec<&str> = values.flat_map(|value| std::iter::once(value).chain(value.split(','))).collect();
        let keys: Vec<&str> = needles.iter().flat_map(|address| keys(address)).collect();
        needles.extend(keys);
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

/// What a library may show of `scheme://user:password@host/path?query#words` that must not be seen: the address as it is sent, without
/// its words, the password, and of an endpoint path and query, whole and in parts.
fn keys(address: &str) -> Vec<&str> {
    let Some((scheme, rest)) = address.split_once("://") else { return Vec::new() };
    let is_endpoint = matches!(scheme, "http" | "https" | "ws" | "wss");
    let words = if is_endpoint { rest.split_once('#').map_or(0, |(_, words)| words.len() + 1) } else { 0 };
    let rest = &rest[..rest.len() - words];
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let password = authority.rsplit_once('@').and_then(|(user_info, _)| user_info.split_once(':'));
    let mut keys = vec![&address[..address.len() - words]];
    keys.extend(password.map(|(_, password)| password));
    // A whole list has more than one endpoint in it.
    if is_endpoint && target.len() > SHORTEST_PART && !target.contains(',') {
        keys.push(target);
        keys.extend(target.split(['/', '?', '&', '=']).filter(|part| part.len() >= SHORTEST_PART));
    }
    keys
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
    fn a_key_in_an_endpoints_address_is_replaced_wherever_it_stands() {
        let urls = "https://a.example/ethereum/k3yk3yk3yk3yk3yk#rate=25/s,https://b.long-name.example/?apikey=t0kent0kent0kent0k,\
                    wss://ann:pass-word-1@c.example";
        let secrets = BTreeMap::from([("RPC_URLS".to_owned(), Secret::new(urls.to_owned()))]);
        let redaction = Redaction::of(&secrets);
        for (said, expected) in [
            ("https://a.example/ethereum/k3yk3yk3yk3yk3yk: 401", "[secret]: 401"),
            ("POST /ethereum/k3yk3yk3yk3yk3yk", "POST [secret]"),
            ("the plan of k3yk3yk3yk3yk3yk", "the plan of [secret]"),
            ("GET /?apikey=t0kent0kent0kent0k", "GET [secret]"),
            ("t0kent0kent0kent0k and pass-word-1", "[secret] and [secret]"),
            ("chain ethereum of b.long-name.example, apikey", "chain ethereum of b.long-name.example, apikey"),
        ] {
            assert_eq!(redaction.apply(said), expected);
        }
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
