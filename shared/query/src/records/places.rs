//! How many queries of an organisation run at one time.

use sqlx::{Connection as _, PgConnection};

use super::{QueryKey, RecordError, abandon_overdue};

/// What a look for a free place came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The query runs now.
    Taken,
    /// Every place is taken; look again soon.
    Full,
    /// Somebody wants the query to end, or it is over: it must not run.
    NotWanted,
}

/// Lets an interactive query run if fewer than `places` of its organisation do. Those that are lost do not count.
///
/// Looks of one organisation go one after the other, so that no two take the last place.
///
/// # Errors
/// [`RecordError::Database`].
pub async fn take_place(conn: &mut PgConnection, key: QueryKey, places: u32) -> Result<Place, RecordError> {
    let mut db_tx = conn.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('query.places', $1))")
        .bind(key.org.0)
        .execute(&mut *db_tx)
        .await?;
    abandon_overdue(&mut db_tx, key.org).await?;
    let is_wanted: Option<bool> = sqlx::query_scalar(
        "SELECT state = 'queued' AND mode = 'interactive' AND cancel_asked_at IS NULL
           FROM query.queries WHERE org_id = $1 AND id = $2",
    )
    .bind(key.org.0)
    .bind(key.id)
    .fetch_optional(&mut *db_tx)
    .await?;
    if is_wanted != Some(true) {
        db_tx.commit().await?;
        return Ok(Place::NotWanted);
    }
    let taken = sqlx::query(
        "UPDATE query.queries SET state = 'running', started_at = now()
          WHERE org_id = $1 AND id = $2 AND state = 'queued' AND mode = 'interactive' AND cancel_asked_at IS NULL
            AND (SELECT count(*) FROM query.queries
                  WHERE org_id = $1 AND mode = 'interactive' AND finished_at IS NULL AND state = 'running') < $3",
    )
    .bind(key.org.0)
    .bind(key.id)
    .bind(i64::from(places))
    .execute(&mut *db_tx)
    .await?;
    db_tx.commit().await?;
    Ok(if taken.rows_affected() == 1 { Place::Taken } else { Place::Full })
}
