//! A JSON Web Token taken apart and judged, but for its signature. Pure: no clock, no network, no keys.
//!
//! A token names its issuer, and everything else is compared with what the configuration says of that issuer: algorithms,
//! audience. What it says of keys (`jwk`, `jku`, `x5c`, `x5u`) is not looked at: only `kid` is, and only among the issuer's
//! own keys. Nothing here is true before the signature is checked; all of it must hold besides.
//!
//! **Source**: RFC 7515 (JWS), RFC 7519 (JWT), RFC 8725 (best current practices).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::issuer::{Issuer, Issuers};

mod unique_object;
use unique_object::UniqueObject;

/// How far the issuer's clock may be ahead of ours; nothing is added to the end of a token's life.
pub const LEEWAY_SECONDS: i64 = 60;
/// Longest `kid`.
const MAX_KEY_ID_BYTES: usize = 256;
/// Longest `sub`, as in `access.users`. Source: `OpenID` Connect Core, section 2.
const MAX_SUBJECT_BYTES: usize = 255;

/// Algorithms that tokens may be signed with. None has a secret that both sides know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum TokenAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

impl TokenAlgorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RS256, Self::ES256, Self::EdDSA];

    /// The algorithm called `name` in a header or a key; `None` for every other, `none` and `HS256` among them.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::RS256),
            "ES256" => Some(Self::ES256),
            "EdDSA" => Some(Self::EdDSA),
            _ => None,
        }
    }

    /// As the library that computes signatures calls it.
    pub(crate) fn in_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// What is wrong with a token, or with the header that should hold one. No text holds anything of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// No header.
    #[error("there is no Authorization header")]
    Missing,
    /// Not `Bearer` and a token.
    #[error("the Authorization header is not the word Bearer, one space and one token")]
    NotBearer,
    /// Longer than any that is accepted.
    #[error("the token is longer than {} bytes", crate::bearer::MAX_TOKEN_BYTES)]
    TooLong,
    /// Not three parts, or a part that is not base64url without padding, or no JSON object.
    #[error("the token is no JSON Web Token")]
    Malformed,
    /// A name twice in its header or its claims: two readers could take it for two things.
    #[error("the token has the same name twice")]
    DuplicateName,
    /// A header that asks for something that is not done here.
    #[error("the token's header asks for something that is not understood (crit, cty, enc, zip, b64 or typ)")]
    Header,
    /// `alg` is none of those that the issuer may use.
    #[error("the token's algorithm is none that its issuer may use")]
    Algorithm,
    /// `kid` is absent, or none of the issuer's keys has it for this algorithm.
    #[error("the token's key (kid) is none of its issuer's")]
    Key,
    /// `iss` is absent, or none of the configuration.
    #[error("the token's issuer (iss) is none of those that are trusted")]
    Issuer,
    /// `aud` is absent, or does not name us.
    #[error("the token is not meant for this platform (aud)")]
    Audience,
    /// `exp` has passed.
    #[error("the token has expired; get a new one")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet (nbf, iat); the clocks differ by more than {LEEWAY_SECONDS} s")]
    NotYet,
    /// `exp` is absent, or one of the times is no whole number.
    #[error("the token's times (exp, nbf, iat) are not whole numbers of seconds, or exp is not there")]
    Times,
    /// `sub` is absent, empty or no text.
    #[error("the token names nobody (sub)")]
    Subject,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
}

/// A token of which everything but the signature is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedToken<'a> {
    /// Position of the issuer in the configuration.
    pub issuer: usize,
    /// Which of the issuer's keys.
    pub key_id: String,
    /// What the signature is computed by.
    pub algorithm: TokenAlgorithm,
    /// Whom it names.
    pub subject: String,
    /// When its life ends.
    pub expires_at: DateTime<Utc>,
    /// What is signed.
    pub message: &'a str,
    /// The signature, as it stands in the token.
    pub signature: &'a str,
}

/// Takes `token` apart and judges it at the instant `now`.
///
/// # Errors
/// [`TokenFault`], the first one found.
pub fn judge<'a>(token: &'a str, issuers: &Issuers, now: DateTime<Utc>) -> Result<UnverifiedToken<'a>, TokenFault> {
    let (message, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(TokenFault::Malformed)?;
    let header = object(header)?;
    let claims = object(claims)?;
    if signature.is_empty() || URL_SAFE_NO_PAD.decode(signature).is_err() {
        return Err(TokenFault::Malformed);
    }

    let name = claims.text("iss").ok_or(TokenFault::Issuer)?;
    let (issuer, trusted) = issuers.named(name).ok_or(TokenFault::Issuer)?;
    let algorithm = algorithm(&header, trusted)?;
    let key_id = header.text("kid").filter(|id| (1..=MAX_KEY_ID_BYTES).contains(&id.len())).ok_or(TokenFault::Key)?;
    let expires_at = within_its_life(&claims, now)?;
    meant_for(&claims, &trusted.audience)?;
    let subject = claims.text("sub").ok_or(TokenFault::Subject)?;
    let is_storable = (1..=MAX_SUBJECT_BYTES).contains(&subject.len()) && !subject.contains('\0');
    if !is_storable {
        return Err(TokenFault::Subject);
    }
    let (key_id, subject) = (key_id.to_owned(), subject.to_owned());
    Ok(UnverifiedToken { issuer, key_id, algorithm, subject, expires_at, message, signature })
}

fn object(part: &str) -> Result<UniqueObject, TokenFault> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Malformed)?;
    UniqueObject::parse(&bytes)
}

fn algorithm(header: &UniqueObject, issuer: &Issuer) -> Result<TokenAlgorithm, TokenFault> {
    if ["crit", "cty", "enc", "zip", "b64"].into_iter().any(|name| header.get(name).is_some()) {
        return Err(TokenFault::Header);
    }
    let is_known_type = |kind: &Value| {
        let kind = kind.as_str().unwrap_or_default().to_ascii_lowercase();
        matches!(kind.as_str(), "jwt" | "at+jwt" | "application/at+jwt")
    };
    if !header.get("typ").is_none_or(is_known_type) {
        return Err(TokenFault::Header);
    }
    let named = header.text("alg").and_then(TokenAlgorithm::named);
    named.filter(|algorithm| issuer.algorithms.contains(algorithm)).ok_or(TokenFault::Algorithm)
}

/// The end of the token's life, if `now` is in it.
fn within_its_life(claims: &UniqueObject, now: DateTime<Utc>) -> Result<DateTime<Utc>, TokenFault> {
    let seconds = |name: &str| claims.get(name).map(|value| value.as_i64().ok_or(TokenFault::Times)).transpose();
    let (expires, not_before, issued) = (seconds("exp")?, seconds("nbf")?, seconds("iat")?);
    let expires = expires.ok_or(TokenFault::Times)?;
    if expires <= now.timestamp() {
        return Err(TokenFault::Expired);
    }
    let latest_begin = now.timestamp().saturating_add(LEEWAY_SECONDS);
    if [not_before, issued].into_iter().flatten().any(|begin| begin > latest_begin) {
        return Err(TokenFault::NotYet);
    }
    DateTime::from_timestamp(expires, 0).ok_or(TokenFault::Times)
}

/// Whether `aud`, one text or a list of texts, has `audience`.
fn meant_for(claims: &UniqueObject, audience: &str) -> Result<(), TokenFault> {
    let is_meant = match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => {
            several.iter().all(Value::is_string) && several.iter().any(|one| one.as_str() == Some(audience))
        }
        _ => false,
    };
    if is_meant { Ok(()) } else { Err(TokenFault::Audience) }
}
