//! The migrations, which are a part of this program.
//!
//! Programs of before are at work meanwhile. Whoever waits for a lock on a table keeps everybody waiting who comes after, so a migration
//! waits for a few seconds only, gives way, and tries again; after a number of tries it is for a person to look who holds the lock.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::migrate::{Migrate as _, MigrateError as MigrationError, Migrator};

use crate::error::MigrateError;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// How long a migration waits for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For one lock: so long nobody gets past it.
    pub for_a_lock: Duration,
    /// Between two tries: so long everybody does.
    pub between_tries: Duration,
    /// Tries of one migration in all.
    pub tries: u32,
}

/// About a minute and a half. Statements of the platform's functions and operators end within seconds, but for reading a partition.
pub const PATIENCE: Patience =
    Patience { for_a_lock: Duration::from_secs(3), between_tries: Duration::from_secs(5), tries: 12 };

/// Brings the database up to date, with [`PATIENCE`]; returns the number of its newest migration.
///
/// # Errors
/// [`MigrateError::Locked`] if somebody holds a lock all the time; [`MigrateError::Schema`] for a migration that fails, was changed since
/// it ran, or is of a later version of the platform.
pub async fn migrate(conn: &mut PgConnection) -> Result<i64, MigrateError> {
    migrate_with(conn, PATIENCE).await
}

/// As [`migrate`], with a patience of the caller's. After a failure the connection is of no further use.
///
/// # Errors
/// As those of [`migrate`].
pub async fn migrate_with(conn: &mut PgConnection, patience: Patience) -> Result<i64, MigrateError> {
    let milliseconds = patience.for_a_lock.as_millis().to_string();
    let set = sqlx::query("SELECT set_config('lock_timeout', $1, false)").bind(milliseconds).execute(&mut *conn).await;
    set.map_err(MigrateError::statement("say how long a lock is waited for"))?;
    run(conn, patience).await?;
    let reset = sqlx::query("RESET lock_timeout").execute(&mut *conn).await;
    reset.map_err(MigrateError::statement("have locks waited for as before"))?;
    newest(conn).await
}

/// Tries of one migration are counted, not of all: each that has run is one less.
async fn run(conn: &mut PgConnection, patience: Patience) -> Result<(), MigrateError> {
    let (mut at, mut tries) = (newest_if_any(conn).await?, 0);
    loop {
        let Err(source) = MIGRATIONS.run(&mut *conn).await else { return Ok(()) };
        if !gave_way(&source) {
            return Err(MigrateError::Schema { source });
        }
        // A run that fails leaves the lock of those who migrate to the connection, which would have it twice after the next.
        conn.unlock().await.map_err(|source| MigrateError::Schema { source })?;
        let reached = newest_if_any(conn).await?;
        tries = if reached == at { tries + 1 } else { 1 };
        at = reached;
        if tries >= patience.tries {
            return Err(MigrateError::Locked { tries, source });
        }
        tracing::warn!(
            schema.version = reached,
            tries,
            "a migration waits for a lock that somebody holds, and tries again"
        );
        tokio::time::sleep(patience.between_tries).await;
    }
}

/// Whether a migration has given way to somebody. **Source**: `lock_not_available` and `deadlock_detected`, PostgreSQL manual, appendix A.
fn gave_way(error: &MigrationError) -> bool {
    let (MigrationError::Execute(cause) | MigrationError::ExecuteMigration(cause, _)) = error else { return false };
    let code = cause.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

/// 0 if none has run yet.
async fn newest_if_any(conn: &mut PgConnection) -> Result<i64, MigrateError> {
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *conn)
        .await
        .map_err(MigrateError::statement("look for the migrations"))?;
    if is_there { newest(conn).await } else { Ok(0) }
}

async fn newest(conn: &mut PgConnection) -> Result<i64, MigrateError> {
    let (newest,): (i64,) = sqlx::query_as("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
        .fetch_one(conn)
        .await
        .map_err(MigrateError::statement("look at the migrations"))?;
    Ok(newest)
}
