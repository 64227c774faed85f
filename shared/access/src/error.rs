//! Why a call is not let through, or a change of users and organisations not made.

use isotherm_types::{Classified, Disposition};

use crate::caller::UserId;
use crate::fetch::FetchError;
use crate::role::{Permission, Role};
use crate::token::TokenFault;

/// Why a call is not let through, or a change not made.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Nobody can be told from the call.
    #[error("the call is not authenticated: {fault}")]
    Unauthenticated {
        /// What is wrong with its token.
        fault: TokenFault,
    },
    /// The token or the AWS signature is genuine, but whoever it names is no user.
    #[error(
        "the caller is no user of any organisation; an admin adds users, by `POST /v1/users` or `isotherm users add`"
    )]
    UnknownUser,
    /// The user has been shut out.
    #[error("the user is not active any more; an admin can change that")]
    InactiveUser,
    /// The user's role does not suffice.
    #[error("the role {role} has no permission {permission}; it begins with the role {}", .permission.least_role())]
    Forbidden {
        /// What would be needed.
        permission: Permission,
        /// What the user is.
        role: Role,
    },
    /// The issuer's keys are not to be had, and those of before are too old or do not answer the question.
    #[error("the keys of the issuer {issuer} are not to be had; try again in a minute")]
    IssuerUnavailable {
        /// The issuer.
        issuer: String,
        /// Why the last try failed; `None` if it was another call's.
        #[source]
        source: Option<FetchError>,
    },
    /// No organisation has this name.
    #[error("there is no organisation called {name:?}")]
    UnknownOrg {
        /// The name.
        name: String,
    },
    /// An organisation has this name already.
    #[error("there is an organisation called {name:?} already")]
    OrgExists {
        /// The name.
        name: String,
    },
    /// The organisation has no such user.
    #[error("the organisation has no {user}")]
    NoSuchUser {
        /// The row that was asked for.
        user: UserId,
    },
    /// Somebody is this user already.
    #[error("this issuer and subject belong to a user already, or the organisation has a user of this name")]
    UserExists,
    /// An admin tried to lower or shut out themselves.
    #[error("nobody changes their own role or shuts themselves out; another admin can")]
    OwnUser,
    /// A name, a subject or the like that cannot be stored.
    #[error("the {field} is not usable: {expected}")]
    BadField {
        /// Which one.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// Postgres did not answer, or refused.
    #[error("the database did not answer a question about access")]
    Database {
        /// What it reports.
        #[source]
        source: sqlx::Error,
    },
}

impl AccessError {
    /// HTTP status under which a caller is told.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::BadField { .. } => 400,
            Self::Unauthenticated { .. } => 401,
            Self::UnknownUser | Self::InactiveUser | Self::Forbidden { .. } => 403,
            Self::UnknownOrg { .. } | Self::NoSuchUser { .. } => 404,
            Self::OrgExists { .. } | Self::UserExists | Self::OwnUser => 409,
            Self::IssuerUnavailable { .. } => 503,
            Self::Database { .. } => match self.disposition() {
                Disposition::GiveUp => 500,
                Disposition::Retry | Disposition::RetryAfter(_) => 503,
            },
        }
    }
}

impl Classified for AccessError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::IssuerUnavailable { .. } => Disposition::Retry,
            Self::Database { source } => database_disposition(source),
            Self::Unauthenticated { .. }
            | Self::UnknownUser
            | Self::InactiveUser
            | Self::Forbidden { .. }
            | Self::UnknownOrg { .. }
            | Self::OrgExists { .. }
            | Self::NoSuchUser { .. }
            | Self::UserExists
            | Self::OwnUser
            | Self::BadField { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated { .. } => "access.unauthenticated",
            Self::UnknownUser => "access.unknown_user",
            Self::InactiveUser => "access.inactive_user",
            Self::Forbidden { .. } => "access.forbidden",
            Self::IssuerUnavailable { .. } => "access.issuer_unavailable",
            Self::UnknownOrg { .. } => "access.unknown_org",
            Self::OrgExists { .. } => "access.org_exists",
            Self::NoSuchUser { .. } => "access.no_such_user",
            Self::UserExists => "access.user_exists",
            Self::OwnUser => "access.own_user",
            Self::BadField { .. } => "access.bad_field",
            Self::Database { .. } => "access.database",
        }
    }
}

impl From<sqlx::Error> for AccessError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database { source }
    }
}

impl From<TokenFault> for AccessError {
    fn from(fault: TokenFault) -> Self {
        Self::Unauthenticated { fault }
    }
}

/// Retry, unless the statement itself is at fault.
///
/// Source: SQLSTATE classes 22 (data exception), 23 (integrity constraint) and 42 (syntax or access rule), PostgreSQL
/// manual, appendix A.
fn database_disposition(error: &sqlx::Error) -> Disposition {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref().and_then(|code| code.get(..2)) {
        Some("22" | "23" | "42") => Disposition::GiveUp,
        Some(_) => Disposition::Retry,
        None => match error {
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::InvalidArgument(_) => Disposition::GiveUp,
            _ => Disposition::Retry,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_to_come_back_only_when_that_can_help() {
        let lost = AccessError::from(sqlx::Error::PoolTimedOut);
        assert_eq!((lost.http_status(), lost.disposition()), (503, Disposition::Retry));
        let broken = AccessError::from(sqlx::Error::ColumnNotFound("role".to_owned()));
        assert_eq!((broken.http_status(), broken.disposition()), (500, Disposition::GiveUp));
        let forbidden = AccessError::Forbidden { permission: Permission::RunJobs, role: Role::Reader };
        assert_eq!(forbidden.http_status(), 403);
        assert_eq!(forbidden.to_string(), "the role reader has no permission run_jobs; it begins with the role writer");
    }
}
