//! A database of its own for each test, on one server per test process.
//!
//! The server lives in a static, which is never dropped; its guardian stops it when the process ends. Under
//! `cargo nextest` every test is a process and has a server to itself; under `cargo test` the tests of one binary
//! share a server and have a database each.

use sqlx::Connection;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use tokio::sync::OnceCell;

use super::{Postgres, StartOptions};
use crate::{LabError, tools};

static SHARED: OnceCell<Postgres> = OnceCell::const_new();

/// The server of this process, started by the first caller.
///
/// # Errors
/// As [`Postgres::start`].
pub async fn shared() -> Result<&'static Postgres, LabError> {
    SHARED.get_or_try_init(|| Postgres::start(StartOptions::default())).await
}

/// A database that no other test uses.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    /// Address for the superuser.
    pub url: String,
    /// Its name on the server.
    pub name: String,
}

impl TestDatabase {
    /// A database with no tables.
    ///
    /// # Errors
    /// As [`Postgres::start`] and [`Postgres::create_database`].
    pub async fn empty() -> Result<Self, LabError> {
        Self::empty_on(shared().await?).await
    }

    async fn empty_on(server: &Postgres) -> Result<Self, LabError> {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        server.create_database(&name).await?;
        Ok(Self { url: server.database_url(&name), name })
    }

    /// A database to which the repository's migrations have been applied.
    ///
    /// # Errors
    /// As [`TestDatabase::empty`], and [`LabError::Migration`].
    pub async fn migrated() -> Result<Self, LabError> {
        Self::migrated_on(shared().await?).await
    }

    /// The same on a server of the caller's own.
    ///
    /// # Errors
    /// As [`TestDatabase::migrated`].
    pub async fn migrated_on(server: &Postgres) -> Result<Self, LabError> {
        let database = Self::empty_on(server).await?;
        let path = tools::repository_root()?.join("migrations");
        let failed = |source| LabError::Migration { path: path.clone(), source };
        let migrator = Migrator::new(path.as_path()).await.map_err(failed)?;
        let mut conn = database.connect().await?;
        let failed = |source| LabError::Migration { path: path.clone(), source };
        migrator.run(&mut conn).await.map_err(failed)?;
        conn.close().await.map_err(|source| LabError::Postgres { action: "disconnect", source })?;
        Ok(database)
    }

    /// A connection as the superuser.
    ///
    /// # Errors
    /// What Postgres reports.
    pub async fn connect(&self) -> Result<PgConnection, LabError> {
        PgConnection::connect(&self.url).await.map_err(|source| LabError::Postgres { action: "connect", source })
    }
}
