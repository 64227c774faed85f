//! How many workers may be launched now: a token bucket in Postgres that all dispatchers share.
//!
//! The limit is AWS's, for an account and region as a whole; a bucket in each Lambda's memory would be a limit for each.
//! A token that was taken and not used is lost, which only makes the next launch wait. Table `control.rate_limits`.

use sqlx::PgConnection;

use crate::error::ControlError;

/// Takes up to `wanted` tokens; returns how many. Other dispatchers wait until the caller's transaction ends.
///
/// # Errors
/// Only what Postgres reports.
pub(super) async fn take(conn: &mut PgConnection, wanted: usize) -> Result<usize, ControlError> {
    if wanted == 0 {
        return Ok(0);
    }
    let (taken,): (i64,) = sqlx::query_as(
        "WITH bucket AS (
             SELECT name, least(burst, tokens + per_second * extract(epoch FROM clock_timestamp() - refilled_at)) AS tokens
               FROM control.rate_limits WHERE name = 'ecs_run_task' FOR NO KEY UPDATE
         )
         UPDATE control.rate_limits r
            SET tokens = bucket.tokens - least(floor(bucket.tokens), $1), refilled_at = clock_timestamp()
           FROM bucket WHERE r.name = bucket.name
      RETURNING least(floor(bucket.tokens), $1)::bigint",
    )
    .bind(f64::from(u32::try_from(wanted).unwrap_or(u32::MAX)))
    .fetch_one(conn)
    .await?;
    Ok(usize::try_from(taken).unwrap_or(0))
}
