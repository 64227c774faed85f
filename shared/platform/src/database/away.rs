//! An outage of the database: how it is told from other failures, and connections that do not outlive one.
//!
//! A connection that was cut off in silence answers nothing for minutes. It must never be waited for without a limit, nor
//! keep its place in a pool, nor be handed on in the middle of what was asked on it.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use tokio::time::timeout;

/// Longest wait for one transaction or statement of those that take milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(8);
/// Longest wait for a database that has been away: short, as a connection that was begun meanwhile may never be answered.
pub const PROBE: Duration = Duration::from_secs(2);
/// Longest wait for a sign of life of a connection that comes from the pool or goes back to it.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Whether Postgres did not answer, or takes no work for now: the same statement may succeed on a new connection.
///
/// Source: SQLSTATE classes 08 (connection exception) and 53 (insufficient resources, a full disk among them), and
/// 25P03, 57P01, 57P02, 57P03, 57P05 (idle too long, shut down, starting up), PostgreSQL manual, appendix A.
pub fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| {
            code.starts_with("08")
                || code.starts_with("53")
                || ["25P03", "57P01", "57P02", "57P03", "57P05"].contains(&&*code)
        }),
        _ => false,
    }
}

/// The output of `work`; that the database is away, if it takes longer than `patience`.
///
/// # Errors
/// Those of `work`, and `sqlx::Error::Io` with `TimedOut`. Use [`borrow`] in `work`: what it leaves half-way is closed.
pub async fn answered_within<T, E: From<sqlx::Error>>(
    patience: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match timeout(patience, work).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()),
    }
}

/// A connection of a pool that goes back only when its user says so; otherwise it is closed, and whatever was going on on
/// it is rolled back. sqlx would hand it on, with a transaction open if it was dropped while that began.
#[derive(Debug)]
pub struct Borrowed(Option<PoolConnection<Postgres>>);

/// Takes a connection out of `pool`.
///
/// # Errors
/// What sqlx reports, `PoolTimedOut` after 5 s among it.
pub async fn borrow(pool: &PgPool) -> Result<Borrowed, sqlx::Error> {
    Ok(Borrowed(Some(pool.acquire().await?)))
}

impl Borrowed {
    /// Gives the connection back: everything that was asked on it has been answered.
    pub fn give_back(mut self) {
        drop(self.0.take());
    }

    /// The same, and waits until the next one can have it. Whoever asks again at once would otherwise open another connection
    /// meanwhile, which costs more than anything that a function asks when it is new. One that gives no sign of life is closed.
    pub async fn give_back_now(mut self) {
        if let Some(mut conn) = self.0.take() {
            // It asks for a sign of life twice: by us (`after_release`), within a limit, and by sqlx, without one.
            let _closed = timeout(2 * SIGN_OF_LIFE, conn.return_to_pool()).await;
        }
    }
}

impl Deref for Borrowed {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_ref().expect("it is there until it is given back")
    }
}

impl DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("it is there until it is given back")
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            drop(conn.detach());
        }
    }
}

/// What `work` says over a connection of `pool`; that the database is away, if that takes longer than [`PATIENCE`] in all.
/// The connection goes back whatever `work` says: it has been answered.
///
/// # Errors
/// As [`borrow`] and [`answered_within`]; those of `work` are part of what it says.
pub async fn ask<T>(pool: &PgPool, work: impl AsyncFnOnce(&mut PgConnection) -> T) -> Result<T, sqlx::Error> {
    let asking = async {
        let mut conn = borrow(pool).await?;
        let answer = work(&mut *conn).await;
        Ok::<_, sqlx::Error>((conn, answer))
    };
    let (conn, answer) = answered_within(PATIENCE, asking).await?;
    conn.give_back_now().await;
    Ok(answer)
}

/// Whether `conn` is alive, for the pool's hooks: an error makes the pool drop it.
pub(super) async fn gives_a_sign_of_life(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    answered_within(SIGN_OF_LIFE, conn.ping()).await.map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_an_outage_and_a_wrong_row_is_not() {
        assert!(is_away(&sqlx::Error::PoolTimedOut));
        assert!(is_away(&sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())));
        assert!(!is_away(&sqlx::Error::RowNotFound));
        assert!(!is_away(&sqlx::Error::ColumnNotFound("fence".to_owned())));
    }
}
