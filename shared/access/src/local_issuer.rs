//! The issuer of a machine that has no other: one key pair, whose owner may be anybody on it.
//!
//! It is for a stack that runs on one machine for whoever has its files. Whoever reads the private key can be every user.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde_json::{Value, json};

/// `iss` of its tokens.
pub const ISSUER: &str = "urn:isotherm:local";
/// `aud` of its tokens.
pub const AUDIENCE: &str = "isotherm";
/// What comes before the 32 bytes of an Ed25519 private key. Source: RFC 8410, section 7 (PKCS #8, version 1).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// The key pair.
pub struct LocalIssuer {
    der: Vec<u8>,
    key: EncodingKey,
    key_id: String,
    public: Jwk,
}

/// Why there is no key pair, or no token.
#[derive(Debug, thiserror::Error)]
pub enum LocalIssuerError {
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
    /// The text is no Ed25519 private key.
    #[error("it is no Ed25519 private key in PEM (PKCS #8), as this program writes it")]
    NotAKey,
    /// The library cannot use the key.
    #[error("the key cannot be used")]
    Key(#[source] jsonwebtoken::errors::Error),
}

impl LocalIssuer {
    /// Makes a new key pair.
    ///
    /// # Errors
    /// [`LocalIssuerError::NoRandomness`].
    pub fn generate() -> Result<Self, LocalIssuerError> {
        let mut seed = [0; 32];
        OsRng.try_fill_bytes(&mut seed).map_err(|_| LocalIssuerError::NoRandomness)?;
        Self::of_der([&PKCS8_PREFIX[..], &seed].concat())
    }

    /// Reads what [`LocalIssuer::to_pem`] wrote.
    ///
    /// # Errors
    /// [`LocalIssuerError::NotAKey`].
    pub fn from_pem(text: &str) -> Result<Self, LocalIssuerError> {
        let inner = text.trim().strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END));
        let inner: String = inner.ok_or(LocalIssuerError::NotAKey)?.split_whitespace().collect();
        let der = STANDARD.decode(inner).map_err(|_| LocalIssuerError::NotAKey)?;
        if der.len() != PKCS8_PREFIX.len() + 32 || !der.starts_with(&PKCS8_PREFIX) {
            return Err(LocalIssuerError::NotAKey);
        }
        Self::of_der(der)
    }

    fn of_der(der: Vec<u8>) -> Result<Self, LocalIssuerError> {
        let key = EncodingKey::from_ed_der(&der);
        let mut public = Jwk::from_encoding_key(&key, Algorithm::EdDSA).map_err(LocalIssuerError::Key)?;
        let key_id = public.thumbprint(ThumbprintHash::SHA256).map_err(LocalIssuerError::Key)?;
        public.common.key_id = Some(key_id.clone());
        Ok(Self { der, key, key_id, public })
    }

    /// The private key as text, for a file that only its owner reads.
    pub fn to_pem(&self) -> String {
        format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode(&self.der))
    }

    /// The configuration by which its tokens are accepted: a list for [`crate::Issuers`], public keys only.
    pub fn issuers(&self) -> Value {
        json!([{
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "algorithms": ["EdDSA"],
            "jwks": { "keys": [self.public] },
        }])
    }

    /// A token that names `subject`, from `now` on and for so long.
    ///
    /// # Errors
    /// [`LocalIssuerError::Key`].
    pub fn token(&self, subject: &str, now: DateTime<Utc>, life: TimeDelta) -> Result<String, LocalIssuerError> {
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::EdDSA) };
        let claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now.timestamp(),
            "exp": (now + life).timestamp(),
        });
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(LocalIssuerError::Key)
    }
}

/// When the life of the token ends, as it says itself; for showing, since nothing is verified.
pub fn shown_expiry(token: &str) -> Option<DateTime<Utc>> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    DateTime::from_timestamp(claims["exp"].as_i64()?, 0)
}

/// Shows the public half's name only.
impl std::fmt::Debug for LocalIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalIssuer {{ key_id: {:?} }}", self.key_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Issuers;

    #[test]
    fn a_key_pair_is_read_back_and_its_public_half_is_a_configuration() {
        let made = LocalIssuer::generate().unwrap();
        let read = LocalIssuer::from_pem(&made.to_pem()).unwrap();
        assert_eq!((&read.key_id, &read.public), (&made.key_id, &made.public));
        let text = made.issuers().to_string();
        assert_eq!(text.parse::<Issuers>().unwrap().first().name, ISSUER);
        let private = STANDARD.encode(&made.der[PKCS8_PREFIX.len()..]);
        assert!(!text.contains("\"d\"") && !format!("{made:?}{text}").contains(&private));
        assert_ne!(LocalIssuer::generate().unwrap().key_id, made.key_id);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = LocalIssuer::generate().unwrap().to_pem();
        let (cut, longer) = (&good[..good.len() - 4], good.replace("MC4", "MC5"));
        for text in ["", "key", cut, &longer, &good.replace("PRIVATE", "PUBLIC")] {
            assert!(LocalIssuer::from_pem(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_token_shows_when_it_ends() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let token = LocalIssuer::generate().unwrap().token("ann", now, TimeDelta::hours(12)).unwrap();
        assert_eq!(shown_expiry(&token), Some(now + TimeDelta::hours(12)));
        assert_eq!(shown_expiry("a.b.c"), None);
    }
}
