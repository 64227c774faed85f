//! An issuer's public keys, out of the JSON that it publishes. Pure.
//!
//! **Source**: RFC 7517 (JWK), RFC 7518 section 6 (RSA, EC), RFC 8037 (OKP).

use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use crate::token::TokenAlgorithm;

/// Most keys of a set that are looked at.
const MAX_KEYS: usize = 100;

/// Keys that could be used; at least one.
#[derive(Clone)]
pub struct KeySet(Vec<PublicKey>);

#[derive(Clone)]
struct PublicKey {
    id: String,
    algorithm: TokenAlgorithm,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// The keys of `{"keys": […]}` that are for signatures of an algorithm that is accepted here and have a name. Others are
    /// left out, as issuers publish keys for other purposes beside them; `None` if none is left.
    pub fn of(json: &Value) -> Option<Self> {
        let written = json.get("keys")?.as_array()?;
        let keys: Vec<_> = written.iter().take(MAX_KEYS).filter_map(PublicKey::of).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// As [`KeySet::of`], of bytes that may be no JSON.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::of(&serde_json::from_slice(bytes).ok()?)
    }

    /// The key called `id` that is for `algorithm`.
    pub(crate) fn find(&self, id: &str, algorithm: TokenAlgorithm) -> Option<&DecodingKey> {
        self.0.iter().find(|key| key.id == id && key.algorithm == algorithm).map(|key| &key.key)
    }
}

impl PublicKey {
    fn of(json: &Value) -> Option<Self> {
        let written = Written::deserialize(json).ok()?;
        let is_for_signatures = written.usage.as_deref().is_none_or(|usage| usage == "sig")
            && written.key_ops.as_ref().is_none_or(|uses| uses.iter().any(|usage| usage == "verify"));
        if !is_for_signatures || written.kid.is_empty() {
            return None;
        }
        let (algorithm, key) = match (written.kty.as_str(), written.crv.as_deref()) {
            ("RSA", None) => {
                (TokenAlgorithm::RS256, DecodingKey::from_rsa_components(written.n.as_deref()?, written.e.as_deref()?))
            }
            ("EC", Some("P-256")) => {
                (TokenAlgorithm::ES256, DecodingKey::from_ec_components(written.x.as_deref()?, written.y.as_deref()?))
            }
            ("OKP", Some("Ed25519")) => (TokenAlgorithm::EdDSA, DecodingKey::from_ed_components(written.x.as_deref()?)),
            _ => return None,
        };
        if written.alg.is_some_and(|name| TokenAlgorithm::named(&name) != Some(algorithm)) {
            return None;
        }
        Some(Self { id: written.kid, algorithm, key: key.ok()? })
    }
}

/// Shows the names of the keys only.
impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_named_keys_for_signatures_of_the_accepted_algorithms_are_kept() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let good = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x, "alg": "EdDSA", "use": "sig" });
        let with = |name: &str, value: Value| {
            let mut key = good.clone();
            key[name] = value;
            key
        };
        let unusable = [
            with("kid", json!("")),
            with("kid", Value::Null),
            with("alg", json!("HS256")),
            with("alg", json!("RS256")),
            with("use", json!("enc")),
            with("key_ops", json!(["encrypt"])),
            with("crv", json!("X25519")),
            with("kty", json!("EC")),
            with("x", json!("not base64!")),
            json!({ "kty": "oct", "kid": "1", "k": "AAAA" }),
            json!("text"),
        ];
        for key in unusable {
            assert!(KeySet::of(&json!({ "keys": [key] })).is_none(), "{key}");
        }
        let set = KeySet::of(&json!({ "keys": [with("use", json!("enc")), good] })).unwrap();
        assert!(set.find("1", TokenAlgorithm::EdDSA).is_some());
        assert!(set.find("1", TokenAlgorithm::RS256).is_none() && set.find("2", TokenAlgorithm::EdDSA).is_none());
        assert_eq!(format!("{set:?}"), "[\"1\"]");
        for bytes in [&b""[..], b"[]", b"{}", b"{\"keys\":{}}", b"<html>"] {
            assert!(KeySet::parse(bytes).is_none());
        }
    }
}
