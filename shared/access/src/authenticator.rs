//! From the value of an `Authorization` header to a caller.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use isotherm_types::Clock;
use jsonwebtoken::DecodingKey;
use sqlx::PgConnection;

use crate::caller::Caller;
use crate::error::AccessError;
use crate::fetch::FetchKeys;
use crate::issuer::{Issuer, Issuers, KeySource};
use crate::key_cache::KeyCache;
use crate::token::{self, TokenFault, UnverifiedToken};
use crate::{bearer, callers};

/// Verifies tokens. Lives as long as its process, since it keeps the issuers' keys.
pub struct Authenticator {
    issuers: Issuers,
    /// By the position of the issuer.
    caches: Vec<KeyCache>,
    fetcher: Arc<dyn FetchKeys>,
    clock: Arc<dyn Clock>,
}

/// What a genuine token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedToken {
    /// Who made it.
    pub issuer: String,
    /// Whom it names.
    pub subject: String,
    /// When its life ends.
    pub expires_at: DateTime<Utc>,
}

impl Authenticator {
    /// Accepts tokens of `issuers`; nothing is fetched yet.
    pub fn new(issuers: Issuers, fetcher: Arc<dyn FetchKeys>, clock: Arc<dyn Clock>) -> Self {
        let caches = issuers.as_slice().iter().map(|_| KeyCache::default()).collect();
        Self { issuers, caches, fetcher, clock }
    }

    /// The issuers whose tokens are accepted.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// Verifies the token in `authorization`, the value of the header of that name. Asks no database.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`] with what is wrong; [`AccessError::IssuerUnavailable`] if that cannot be told.
    pub async fn verify(&self, authorization: Option<&str>) -> Result<VerifiedToken, AccessError> {
        let now = self.clock.now();
        let token = token::judge(bearer::token(authorization)?, &self.issuers, now)?;
        let issuer = &self.issuers.as_slice()[token.issuer];
        let key = self.key(&token, issuer, now).await?.ok_or(TokenFault::Key)?;
        let algorithm = token.algorithm.in_library();
        let is_genuine = jsonwebtoken::crypto::verify(token.signature, token.message.as_bytes(), &key, algorithm);
        // A key that cannot be used proves nothing either.
        if !is_genuine.unwrap_or(false) {
            return Err(TokenFault::Signature.into());
        }
        Ok(VerifiedToken { issuer: issuer.name.clone(), subject: token.subject, expires_at: token.expires_at })
    }

    /// The caller whose token is in `authorization`. Marks the user as seen, and writes a denial into the audit trail: not to
    /// be called in a transaction that may be rolled back.
    ///
    /// # Errors
    /// As [`Authenticator::verify`]; [`AccessError::UnknownUser`], [`AccessError::InactiveUser`]; what Postgres reports.
    pub async fn caller(&self, conn: &mut PgConnection, authorization: Option<&str>) -> Result<Caller, AccessError> {
        let token = self.verify(authorization).await?;
        callers::of_token(conn, &token).await
    }

    async fn key(
        &self,
        token: &UnverifiedToken<'_>,
        issuer: &Issuer,
        now: DateTime<Utc>,
    ) -> Result<Option<DecodingKey>, AccessError> {
        match &issuer.keys {
            KeySource::Fixed(keys) => Ok(keys.find(&token.key_id, token.algorithm).cloned()),
            KeySource::Url(url) => {
                let wanted = (token.key_id.as_str(), token.algorithm);
                let source = (issuer.name.as_str(), url.as_str());
                self.caches[token.issuer].key(wanted, source, self.fetcher.as_ref(), now).await
            }
        }
    }
}

/// Shows the issuers' names only.
impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.issuers.as_slice().iter().map(|issuer| &issuer.name)).finish()
    }
}
