//! Tokens of any shape, signed for real, and a scene in which they are judged.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use isotherm_access::{AccessError, Authenticator, VerifiedToken};
use isotherm_platform::lambda::identity::HttpKeys;
use isotherm_types::Clock;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::key_server::KeyServer;

pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const OTHER_ISSUER: &str = "https://other.test";
pub(crate) const AUDIENCE: &str = "isotherm-test";
pub(crate) const SUBJECT: &str = "ann@example.org";

/// A private key and what it is called.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) id: String,
    pub(crate) name: &'static str,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: EncodingKey,
}

impl Signer {
    fn new(id: &str, name: &'static str, algorithm: Algorithm, key: EncodingKey) -> Self {
        Self { id: id.to_owned(), name, algorithm, key }
    }

    /// The keys of [`ISSUER`], one of each algorithm.
    pub(crate) fn ours() -> [Self; 3] {
        [
            Self::new("rsa-1", "RS256", Algorithm::RS256, rsa(include_bytes!("keys/rsa_ours.pem"))),
            Self::new("p256-1", "ES256", Algorithm::ES256, p256(include_bytes!("keys/p256_ours.pem"))),
            Self::new("ed-1", "EdDSA", Algorithm::EdDSA, ed25519(include_bytes!("keys/ed25519_ours.pem"))),
        ]
    }

    /// Keys of somebody else, under the same names.
    pub(crate) fn impostors() -> [Self; 3] {
        [
            Self::new("rsa-1", "RS256", Algorithm::RS256, rsa(include_bytes!("keys/rsa_other.pem"))),
            Self::new("p256-1", "ES256", Algorithm::ES256, p256(include_bytes!("keys/p256_other.pem"))),
            Self::new("ed-1", "EdDSA", Algorithm::EdDSA, ed25519(include_bytes!("keys/ed25519_other.pem"))),
        ]
    }

    pub(crate) fn called(self, id: &str) -> Self {
        Self { id: id.to_owned(), ..self }
    }

    pub(crate) fn public(&self) -> Value {
        let mut public = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        public.common.key_id = Some(self.id.clone());
        json!(public)
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": self.name, "kid": self.id, "typ": "JWT" })
    }

    /// A token of exactly these texts.
    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// A token that is right.
    pub(crate) fn good(&self) -> String {
        self.sign(&self.header(), &claims())
    }
}

fn rsa(pem: &[u8]) -> EncodingKey {
    EncodingKey::from_rsa_pem(pem).unwrap()
}

fn p256(pem: &[u8]) -> EncodingKey {
    EncodingKey::from_ec_pem(pem).unwrap()
}

fn ed25519(pem: &[u8]) -> EncodingKey {
    EncodingKey::from_ed_pem(pem).unwrap()
}

/// The instant at which every test begins.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-26T10:00:00Z".parse().unwrap()
}

pub(crate) fn claims() -> Value {
    let now = now().timestamp();
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "iat": now, "nbf": now, "exp": now + 3600 })
}

/// `object` with `name` changed, or without it if `value` is absent.
pub(crate) fn with(object: &Value, name: &str, value: Option<Value>) -> Value {
    let mut changed = object.clone();
    match value {
        Some(value) => changed[name] = value,
        None => drop(changed.as_object_mut().unwrap().remove(name)),
    }
    changed
}

pub(crate) fn key_set(signers: &[Signer]) -> String {
    json!({ "keys": signers.iter().map(Signer::public).collect::<Vec<_>>() }).to_string()
}

/// A clock that stands still until it is set.
pub(crate) struct TestClock(Mutex<DateTime<Utc>>);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// Two issuers, and what accepts their tokens.
pub(crate) struct Scene {
    pub(crate) authenticator: Authenticator,
    /// Of [`ISSUER`].
    pub(crate) keys: KeyServer,
    /// Of [`OTHER_ISSUER`], which may use RS256 only.
    pub(crate) other_keys: KeyServer,
    clock: Arc<TestClock>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let keys = KeyServer::start(key_set(&Signer::ours())).await;
        let [rsa, _, _] = Signer::impostors();
        let other_keys = KeyServer::start(key_set(&[rsa.called("rsa-b")])).await;
        let issuers = json!([
            { "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": keys.url() },
            { "issuer": OTHER_ISSUER, "audience": AUDIENCE, "algorithms": ["RS256"], "jwks_url": other_keys.url() },
        ]);
        let clock = Arc::new(TestClock(Mutex::new(now())));
        let fetcher = Arc::new(HttpKeys::new().unwrap());
        let authenticator = Authenticator::new(issuers.to_string().parse().unwrap(), fetcher, clock.clone());
        Self { authenticator, keys, other_keys, clock }
    }

    pub(crate) fn after(&self, time: TimeDelta) {
        *self.clock.0.lock().unwrap() = now() + time;
    }

    pub(crate) async fn verify(&self, token: &str) -> Result<VerifiedToken, AccessError> {
        self.authenticator.verify(Some(&format!("Bearer {token}"))).await
    }
}
