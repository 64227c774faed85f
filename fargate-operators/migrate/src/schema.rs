//! The migrations, which are a part of this program.

use sqlx::PgConnection;
use sqlx::migrate::Migrator;

use crate::error::MigrateError;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Brings the database up to date; returns the number of its newest migration.
///
/// # Errors
/// [`MigrateError::Schema`] for a migration that fails, was changed since it ran, or is of a later version of the platform.
pub async fn migrate(conn: &mut PgConnection) -> Result<i64, MigrateError> {
    MIGRATIONS.run(&mut *conn).await.map_err(|source| MigrateError::Schema { source })?;
    let (newest,): (i64,) = sqlx::query_as("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
        .fetch_one(conn)
        .await
        .map_err(MigrateError::statement("look at the migrations"))?;
    Ok(newest)
}
