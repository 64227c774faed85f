//! `hot.follower_status` and `hot.endpoints`: what a follower last said of itself, for people.
//!
//! Hints: nothing is decided by them, and they may be missing or old. [`FollowerStatus::age`] says how old.

use std::time::Duration;

use chrono::{DateTime, Utc};
use isotherm_types::{BlockNumber, ChainId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::error::{HotStoreError, bigint};

/// What a follower says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// The chain's newest block; `None` if no endpoint has shown one yet.
    pub head: Option<SeenHead>,
    /// Blocks stored in a second lately.
    pub blocks_per_second: f64,
    /// Blocks by which the chain grew in a second lately.
    pub head_blocks_per_second: f64,
    /// Its endpoints, in order of preference.
    pub endpoints: Vec<EndpointStatus>,
}

/// The chain's newest block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenHead {
    /// Its number.
    pub number: BlockNumber,
    /// When an endpoint first showed it.
    pub served_at: DateTime<Utc>,
}

/// How an endpoint does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Scheme, host and port.
    pub name: String,
    /// What the client thinks of it, as a word.
    pub state: String,
    /// The newest block that it has shown.
    pub last_head: Option<BlockNumber>,
    /// Stable name of its last error.
    pub last_error_code: Option<String>,
    /// Requests sent to it.
    pub requests: u64,
    /// Those that failed.
    pub failures: u64,
}

/// What a follower last said, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowerStatus {
    /// What it said.
    pub said: Said,
    /// When it said so, by the database's clock.
    pub written_at: DateTime<Utc>,
    /// How long ago that was when it was read, by the same clock.
    pub age: Duration,
}

/// When the stored tip came. The difference of the first two is one lag, that of the last two the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipArrival {
    /// When an endpoint first served it.
    pub first_served_at: DateTime<Utc>,
    /// When its rows were committed.
    pub committed_at: DateTime<Utc>,
    /// Its own time, whole seconds.
    pub timestamp: DateTime<Utc>,
}

/// Writes down what a follower says, in place of what it said before.
///
/// # Errors
/// What Postgres reports.
pub async fn write(conn: &mut PgConnection, chain_id: ChainId, said: &Said) -> Result<(), HotStoreError> {
    sqlx::query(include_str!("../queries/follower_status/write.sql"))
        .bind(chain_id.0.cast_signed())
        .bind(said.head.map(|head| bigint(head.number)))
        .bind(said.head.map(|head| head.served_at))
        .bind(said.blocks_per_second)
        .bind(said.head_blocks_per_second)
        .execute(&mut *conn)
        .await
        .map_err(HotStoreError::database("write the follower's status"))?;
    let counts = |count: fn(&EndpointStatus) -> u64| -> Vec<i64> {
        said.endpoints.iter().map(|endpoint| i64::try_from(count(endpoint)).unwrap_or(i64::MAX)).collect()
    };
    let names: Vec<&str> = said.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    let states: Vec<&str> = said.endpoints.iter().map(|endpoint| endpoint.state.as_str()).collect();
    let heads: Vec<Option<i64>> = said.endpoints.iter().map(|endpoint| endpoint.last_head.map(bigint)).collect();
    let codes: Vec<Option<&str>> = said.endpoints.iter().map(|endpoint| endpoint.last_error_code.as_deref()).collect();
    sqlx::query(include_str!("../queries/endpoints/write.sql"))
        .bind(chain_id.0.cast_signed())
        .bind(names)
        .bind(states)
        .bind(heads)
        .bind(codes)
        .bind(counts(|endpoint| endpoint.requests))
        .bind(counts(|endpoint| endpoint.failures))
        .execute(conn)
        .await
        .map_err(HotStoreError::database("write the endpoints' status"))?;
    Ok(())
}

/// What the chain's follower last said; `None` if none ever did.
///
/// # Errors
/// What Postgres reports.
pub async fn read(conn: &mut PgConnection, chain_id: ChainId) -> Result<Option<FollowerStatus>, HotStoreError> {
    let row = sqlx::query(
        "SELECT head_number, head_served_at, blocks_per_second, head_blocks_per_second, written_at,
                extract(epoch FROM clock_timestamp() - written_at)::double precision AS age_seconds
           FROM hot.follower_status WHERE chain_id = $1",
    )
    .bind(chain_id.0.cast_signed())
    .fetch_optional(&mut *conn)
    .await
    .map_err(HotStoreError::database("read the follower's status"))?;
    let Some(row) = row else { return Ok(None) };
    let endpoints = endpoints(conn, chain_id).await?;
    let decode = || -> sqlx::Result<FollowerStatus> {
        let head = match (row.try_get::<Option<i64>, _>("head_number")?, row.try_get("head_served_at")?) {
            (Some(number), Some(served_at)) => Some(SeenHead { number: block_number(number), served_at }),
            _ => None,
        };
        let age_seconds: f64 = row.try_get("age_seconds")?;
        Ok(FollowerStatus {
            said: Said {
                head,
                blocks_per_second: row.try_get("blocks_per_second")?,
                head_blocks_per_second: row.try_get("head_blocks_per_second")?,
                endpoints,
            },
            written_at: row.try_get("written_at")?,
            age: Duration::try_from_secs_f64(age_seconds.max(0.0)).unwrap_or(Duration::MAX),
        })
    };
    decode().map(Some).map_err(HotStoreError::database("decode the follower's status"))
}

async fn endpoints(conn: &mut PgConnection, chain_id: ChainId) -> Result<Vec<EndpointStatus>, HotStoreError> {
    let rows = sqlx::query(
        "SELECT name, state, last_head, last_error_code, requests, failures
           FROM hot.endpoints WHERE chain_id = $1 ORDER BY place",
    )
    .bind(chain_id.0.cast_signed())
    .fetch_all(conn)
    .await
    .map_err(HotStoreError::database("read the endpoints' status"))?;
    let decode = |row: &PgRow| -> sqlx::Result<EndpointStatus> {
        Ok(EndpointStatus {
            name: row.try_get("name")?,
            state: row.try_get("state")?,
            last_head: row.try_get::<Option<i64>, _>("last_head")?.map(block_number),
            last_error_code: row.try_get("last_error_code")?,
            requests: row.try_get::<i64, _>("requests")?.cast_unsigned(),
            failures: row.try_get::<i64, _>("failures")?.cast_unsigned(),
        })
    };
    rows.iter()
        .map(decode)
        .collect::<sqlx::Result<_>>()
        .map_err(HotStoreError::database("decode the endpoints' status"))
}

fn block_number(number: i64) -> BlockNumber {
    BlockNumber(number.cast_unsigned())
}

/// When the chain's stored tip came; `None` while nothing is stored.
///
/// # Errors
/// What Postgres reports.
pub async fn tip_arrival(conn: &mut PgConnection, chain_id: ChainId) -> Result<Option<TipArrival>, HotStoreError> {
    let row: Option<(DateTime<Utc>, DateTime<Utc>, DateTime<Utc>)> = sqlx::query_as(
        "SELECT a.served_at, a.committed_at, to_timestamp(b.timestamp)
           FROM hot.cursors c
           JOIN hot.block_arrivals a ON a.chain_id = c.chain_id AND a.block_number = c.tip_number
           JOIN hot.blocks b ON b.chain_id = c.chain_id AND b.block_number = c.tip_number
          WHERE c.chain_id = $1",
    )
    .bind(chain_id.0.cast_signed())
    .fetch_optional(conn)
    .await
    .map_err(HotStoreError::database("read the arrival of the tip"))?;
    Ok(row.map(|(first_served_at, committed_at, timestamp)| TipArrival { first_served_at, committed_at, timestamp }))
}
