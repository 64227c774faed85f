//! Pools of Postgres connections, small on purpose: many Lambdas share one database.
//!
//! It must never show the password: errors name host, port and database only.

use std::time::Duration;

use isotherm_types::{Classified, Disposition};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::secret::Secret;

mod address;
mod at_once;
mod away;
mod on_demand;

pub use address::{connect_options, with_certificates, without_certificates};
pub use away::{Borrowed, PATIENCE, PROBE, answered_within, ask, borrow, is_away};
pub use on_demand::OnDemandPool;

/// How a pool is used.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// Shown in `pg_stat_activity`.
    pub application_name: &'static str,
    /// Connections at most.
    pub max_connections: u32,
    /// A statement that runs longer is ended by Postgres; `None`: no limit.
    pub statement_timeout: Option<Duration>,
    /// A connection whose transaction has been idle for longer is closed by Postgres, which frees its locks.
    pub idle_in_transaction_timeout: Duration,
}

/// How long the first connection, or a free one later, is waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections of a frozen Lambda are useless to others.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A client that has vanished without a word holds its locks until Postgres notices: it looks after 5 s of silence, three
/// times, and gives up what it cannot deliver within 10 s. Source: `tcp_keepalives_*` (seconds, probes) and
/// `tcp_user_timeout` (milliseconds), PostgreSQL manual, 19.3.2.
const NOTICE_LOST_CLIENTS: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
];
/// Publishing sends to SQS inside a transaction: more than the SDK's four tries of 30 s.
pub(crate) const IDLE_WHILE_PUBLISHING: Duration = Duration::from_secs(180);

impl PoolOptions {
    /// For a Lambda, which handles one invocation at a time, by statements that take milliseconds.
    pub fn lambda(application_name: &'static str) -> Self {
        Self {
            application_name,
            max_connections: 2,
            statement_timeout: Some(PATIENCE),
            idle_in_transaction_timeout: IDLE_WHILE_PUBLISHING,
        }
    }

    /// For a Lambda that asks one thing after the other, and never wants another connection while it holds one. With room for two it would
    /// open the second while the first is on its way back, which costs more than anything that it asks when it is new.
    pub fn lambda_in_turn(application_name: &'static str) -> Self {
        Self { max_connections: 1, ..Self::lambda(application_name) }
    }

    /// For an operator: its statements may move a whole partition.
    pub fn operator(application_name: &'static str) -> Self {
        Self {
            application_name,
            max_connections: 4,
            statement_timeout: Some(Duration::from_secs(300)),
            idle_in_transaction_timeout: Duration::from_secs(60),
        }
    }

    /// For an operator whose transactions are short and follow one another: what it leaves open when it is cut off keeps
    /// the next transaction waiting.
    pub fn source(application_name: &'static str) -> Self {
        Self { idle_in_transaction_timeout: Duration::from_secs(5), ..Self::operator(application_name) }
    }
}

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address is none of Postgres.
    #[error("the database address is not a postgres:// URL")]
    BadUrl {
        /// What is wrong with it.
        #[source]
        source: HiddenUrlError,
    },
    /// Whoever answers there would not have to prove that it is the database.
    #[error(
        "the database at {host} would not have to prove that it is the one: its URL has to say sslmode=verify-full"
    )]
    Unproven {
        /// Its host.
        host: String,
    },
    /// What should vouch for it is no certificate.
    #[error("what should vouch for the database, `ca` beside its URL, holds no certificate in PEM")]
    BadCertificates,
    /// Nobody answers, whoever answers is not the database, or Postgres refuses us.
    #[error("database {database} at {host}:{port} is unreachable")]
    Unreachable {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// Its name there.
        database: String,
        /// What Postgres or the network reports.
        #[source]
        source: sqlx::Error,
    },
}

/// Stands for a parser's message, which may repeat parts of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be parsed (its text is not shown, as it may hold a password)")]
pub struct HiddenUrlError;

impl Classified for DatabaseError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::BadUrl { .. } | Self::Unproven { .. } | Self::BadCertificates => Disposition::GiveUp,
            Self::Unreachable { .. } => Disposition::Retry,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BadUrl { .. } => "database.bad_url",
            Self::Unproven { .. } => "database.unproven",
            Self::BadCertificates => "database.bad_certificates",
            Self::Unreachable { .. } => "database.unreachable",
        }
    }
}

/// Opens a pool and proves it with one connection. `address` is `postgres://…`, or that as `url` beside `ca`, the certificates
/// that vouch for the database. Another machine than this one is connected with only if it proves that it is the database:
/// `sslmode=verify-full`.
///
/// # Errors
/// [`DatabaseError`]; an address that nobody answers is reported within 5 s.
pub async fn connect(address: &Secret<String>, options: PoolOptions) -> Result<PgPool, DatabaseError> {
    let connect = connect_options(address)?;
    let host = connect.get_host().to_owned();
    let port = connect.get_port();
    let database = connect.get_database().unwrap_or_else(|| connect.get_username()).to_owned();
    let idle_limit = options.idle_in_transaction_timeout.as_millis().to_string();
    let mut connect = connect
        .application_name(options.application_name)
        .options([("idle_in_transaction_session_timeout", idle_limit)])
        .options(NOTICE_LOST_CLIENTS);
    if let Some(limit) = options.statement_timeout {
        connect = connect.options([("statement_timeout", limit.as_millis().to_string())]);
    }
    PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        // In place of sqlx's own test, which waits without a limit.
        .test_before_acquire(false)
        .after_connect(|_, _| {
            at_once::send_at_once();
            Box::pin(std::future::ready(Ok(())))
        })
        .before_acquire(|conn, _| Box::pin(away::gives_a_sign_of_life(conn)))
        .after_release(|conn, _| Box::pin(away::gives_a_sign_of_life(conn)))
        .connect_with(connect)
        .await
        .map_err(|source| DatabaseError::Unreachable { host, port, database, source })
}

/// Opens the pool of a Lambda or a worker, whose address is in a secret.
///
/// # Errors
/// A secret that cannot be read, or as [`connect`].
pub async fn connect_with_secret(
    secrets: &aws_sdk_secretsmanager::Client,
    secret_arn: &str,
    options: PoolOptions,
) -> Result<PgPool, crate::Fault> {
    let address = crate::secrets::fetch(secrets, secret_arn).await?;
    Ok(connect(&address, options).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unreachable_database_is_named_without_its_password() {
        let url = Secret::new("postgres://ann:hunter2@127.0.0.1:1/books".to_owned());
        let error = connect(&url, PoolOptions::lambda("test")).await.unwrap_err();
        let fault = crate::Fault::from(error);
        assert_eq!(fault.code(), "database.unreachable");
        assert!(fault.message().starts_with("database books at 127.0.0.1:1 is unreachable: "), "{fault}");
        assert!(!fault.message().contains("hunter2"));
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_parsed_is_not_repeated() {
        let url = Secret::new("mysql-hunter2".to_owned());
        let error = crate::Fault::from(connect(&url, PoolOptions::lambda("test")).await.unwrap_err());
        assert_eq!(error.code(), "database.bad_url");
        assert!(!error.message().contains("hunter2"));
    }
}
