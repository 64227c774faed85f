//! An end to the wait for rows: a COPY may take as long as it needs, but a database that is there is never silent for long.

use std::future::Future;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use isotherm_hot_store::HotStoreError;
use isotherm_platform::database::{PATIENCE, answered_within};

/// Rows as hot storage reads them.
pub(crate) type Rows<'c, T> = BoxStream<'c, Result<T, HotStoreError>>;

/// The longest silences of a COPY.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// Before the first rows.
    pub(crate) before_rows: Duration,
    /// Between rows and the next ones.
    pub(crate) between_rows: Duration,
}

/// Those of a partition, which Postgres may have to sort whole before it sends the first row.
pub(crate) const LONGEST_SILENCES: Silence = Silence { before_rows: Duration::from_secs(60), between_rows: PATIENCE };

impl Silence {
    /// The rows that `asked` leads to, with an error where the database is silent for longer. Whoever does not ask for the
    /// next rows does not wait for them: a slow reader is no silence.
    ///
    /// # Errors
    /// Those of `asked` and of its rows, and `HotStoreError::Database` with a time-out.
    pub(crate) async fn bound<'c, T: Send + 'c>(
        self,
        asked: impl Future<Output = Result<Rows<'c, T>, HotStoreError>>,
    ) -> Result<Rows<'c, T>, HotStoreError> {
        let rows = answered(self.before_rows, asked).await?;
        let heard = stream::try_unfold((rows, self.before_rows), move |(mut rows, patience)| async move {
            let next = answered(patience, rows.try_next()).await?;
            Ok::<_, HotStoreError>(next.map(|item| (item, (rows, self.between_rows))))
        });
        Ok(heard.boxed())
    }
}

async fn answered<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, HotStoreError>>,
) -> Result<T, HotStoreError> {
    let answered = answered_within(patience, async { Ok::<_, sqlx::Error>(work.await) }).await;
    answered.map_err(|source| HotStoreError::Database { action: "send rows", source })?
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use isotherm_lab::postgres::TestDatabase;
    use isotherm_platform::Fault;
    use sqlx::PgConnection;

    use super::*;

    /// A COPY that sleeps before each row. Rows are larger than the buffer of the server, which sends what fills it.
    async fn copy<'c>(conn: &'c mut PgConnection, sleeps_s: &str) -> Result<Rows<'c, Bytes>, HotStoreError> {
        let failed = |source| HotStoreError::Database { action: "copy", source };
        let sql = format!(
            "COPY (SELECT repeat('x', 20000), pg_sleep(sleep) IS NULL
                     FROM unnest(ARRAY[{sleeps_s}]::double precision[]) AS sleep)
             TO STDOUT"
        );
        Ok(conn.copy_out_raw(&sql).await.map_err(failed)?.map_err(failed).boxed())
    }

    #[tokio::test]
    async fn a_copy_that_falls_silent_ends_with_an_outage() {
        let mut conn = TestDatabase::empty().await.unwrap().connect().await.unwrap();
        let limits = Silence { before_rows: Duration::from_secs(20), between_rows: Duration::from_millis(500) };
        let mut rows = limits.bound(copy(&mut conn, "0, 0, 0, 600")).await.unwrap();
        assert!(!rows.try_next().await.unwrap().expect("rows come before").is_empty());
        let ended = async {
            loop {
                match rows.try_next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("it does not end well"),
                    Err(error) => return Fault::from(error),
                }
            }
        };
        let fault = tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends long before the COPY");
        assert!(fault.is_database_away(), "{fault}");
    }

    #[tokio::test]
    async fn a_copy_that_takes_long_in_all_is_read_to_its_end() {
        let mut conn = TestDatabase::empty().await.unwrap().connect().await.unwrap();
        let limits = Silence { before_rows: Duration::from_secs(20), between_rows: Duration::from_secs(1) };
        let rows = limits.bound(copy(&mut conn, "1.5, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2")).await.unwrap();
        let rows: Vec<Bytes> = rows.try_collect().await.unwrap();
        assert_eq!(rows.len(), 9);
    }
}
