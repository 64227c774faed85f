//! What can go wrong. Read by who deploys, and in the errand's log.

use isotherm_platform::database::DatabaseError;
use isotherm_types::{Classified, Disposition};

/// Whatever an AWS client reports.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of the errand.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// `ISOTHERM_DATABASE_ADDRESS` or `_OPTIONS` lead nowhere.
    #[error("the database's address is not host:port/database, or its options are none of Postgres")]
    BadAddress,
    /// The address leads to a database that need not prove that it is the one, or has no certificates where they should be.
    #[error(transparent)]
    Unproven(DatabaseError),
    /// The kept address is another database's than the errand is given.
    #[error("secret {id} leads to another database than the errand administers; change one of them")]
    OtherDatabase {
        /// ARN of the secret with the kept address.
        id: String,
    },
    /// The administrator's secret lacks something.
    #[error("secret {id} has no username and password of Postgres's administrator")]
    BadAdministrator {
        /// Its ARN.
        id: String,
    },
    /// A secret could not be written.
    #[error("secret {id} could not be written")]
    Secret {
        /// Its ARN.
        id: String,
        /// What the SDK reports.
        #[source]
        source: Cause,
    },
    /// The request is not understood.
    #[error("the request at {key} is not one of version {version}", version = crate::request::VERSION)]
    BadRequest {
        /// Its key.
        key: String,
        /// What serde reports, if it is no such object at all.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// What lies where the request was put is not the request.
    #[error(
        "the request at {key} is another one than was asked: its SHA-256 is {found}, not {asked}; nothing was done"
    )]
    ForgedRequest {
        /// Its key.
        key: String,
        /// SHA-256 of what lies there.
        found: String,
        /// What whoever asks said that it is.
        asked: String,
    },
    /// What lies where the answer should be was not written by the errand that was asked.
    #[error("the answer at {key} is not sealed by the errand that was asked")]
    ForgedAnswer {
        /// Its key.
        key: String,
        /// What serde reports, if it is no answer at all.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// S3 did not do its part.
    #[error("could not {action} object {key}")]
    Object {
        /// Read or write.
        action: &'static str,
        /// The object.
        key: String,
        /// What the SDK reports.
        #[source]
        source: Cause,
    },
    /// Postgres cannot be reached, or refuses the user.
    #[error("Postgres at {address} does not let {user} in")]
    Connect {
        /// Host, port and database.
        address: String,
        /// The role.
        user: String,
        /// What Postgres or the network reports.
        #[source]
        source: sqlx::Error,
    },
    /// A statement failed.
    #[error("could not {action}")]
    Statement {
        /// What it was to do.
        action: &'static str,
        /// What Postgres reports.
        #[source]
        source: sqlx::Error,
    },
    /// A migration failed, or one that has run is not as it was.
    #[error("the database could not be migrated")]
    Schema {
        /// Which, and why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// Somebody holds a lock that a migration needs. What has run stays; nothing of this one does.
    #[error(
        "a migration needs a lock that somebody holds; it has waited for it {tries} times and given way each time: try again, once the longest transactions have ended"
    )]
    Locked {
        /// How often it has waited.
        tries: u32,
        /// Which, and what Postgres reports.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// A pipeline file has faults.
    #[error("the pipeline of {org} was not applied")]
    BadPipeline {
        /// Whose it is.
        org: String,
        /// Every fault.
        #[source]
        source: isotherm_control::pipeline::PipelineError,
    },
}

impl From<DatabaseError> for MigrateError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::BadUrl { .. } => Self::BadAddress,
            error => Self::Unproven(error),
        }
    }
}

impl Classified for MigrateError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Secret { .. }
            | Self::Object { .. }
            | Self::Connect { .. }
            | Self::Statement { .. }
            | Self::Locked { .. } => Disposition::Retry,
            Self::Unproven(error) => error.disposition(),
            Self::BadAddress
            | Self::OtherDatabase { .. }
            | Self::BadAdministrator { .. }
            | Self::BadRequest { .. }
            | Self::ForgedRequest { .. }
            | Self::ForgedAnswer { .. }
            | Self::Schema { .. }
            | Self::BadPipeline { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BadAddress => "migrate.bad_address",
            Self::Unproven(error) => error.code(),
            Self::OtherDatabase { .. } => "migrate.other_database",
            Self::BadAdministrator { .. } => "migrate.bad_administrator",
            Self::Secret { .. } => "migrate.secret",
            Self::BadRequest { .. } => "migrate.bad_request",
            Self::ForgedRequest { .. } => "migrate.forged_request",
            Self::ForgedAnswer { .. } => "migrate.forged_answer",
            Self::Object { .. } => "migrate.object",
            Self::Connect { .. } => "migrate.connect",
            Self::Statement { .. } => "migrate.statement",
            Self::Schema { .. } => "migrate.schema",
            Self::Locked { .. } => "migrate.locked",
            Self::BadPipeline { .. } => "migrate.bad_pipeline",
        }
    }
}

impl MigrateError {
    /// Builds a [`MigrateError::Statement`], for `map_err`.
    pub(crate) fn statement(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Statement { action, source }
    }
}
