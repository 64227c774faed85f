//! The limit leg: a table with a number, a state and a text, and nothing that a control plane would have to have.

use std::sync::Arc;

use isotherm_lab::postgres::TestDatabase;
use sqlx::PgConnection;

use crate::{BATCH, Progress, WORKERS};

const CLAIM: &str = "
    UPDATE bare SET state = 'running'
     WHERE id IN (SELECT id FROM bare WHERE state = 'queued' ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
 RETURNING id, item";

pub(crate) async fn create(conn: &mut PgConnection) {
    let table = "CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item bigint NOT NULL,
                                    state text NOT NULL DEFAULT 'queued');
                 CREATE INDEX bare_queued ON bare (id) WHERE state = 'queued';";
    sqlx::raw_sql(table).execute(conn).await.expect("the bare table");
}

/// One leg.
pub(crate) async fn run(database: &TestDatabase) -> Arc<Progress> {
    let progress = Progress::new();
    let mut legs = tokio::task::JoinSet::new();
    let connect = async || database.connect().await.expect("a connection");
    legs.spawn(produce(connect().await, progress.clone()));
    for _ in 0..WORKERS {
        legs.spawn(work(connect().await, progress.clone()));
    }
    while let Some(ended) = legs.join_next().await {
        ended.expect("no leg panics");
    }
    progress
}

async fn produce(mut conn: PgConnection, progress: Arc<Progress>) {
    while let Some(items) = progress.next_batch().await {
        let items: Vec<i64> = items.map(u64::cast_signed).collect();
        let count = items.len();
        sqlx::query("INSERT INTO bare (item) SELECT * FROM unnest($1::bigint[])")
            .bind(items)
            .execute(&mut conn)
            .await
            .expect("items are inserted");
        progress.note(&progress.produced, count);
        progress.note(&progress.queued, count);
    }
}

async fn work(mut conn: PgConnection, progress: Arc<Progress>) {
    let mut queued = progress.queued.subscribe();
    while !progress.is_over() {
        queued.mark_unchanged();
        let claimed: Vec<(i64, i64)> =
            sqlx::query_as(CLAIM).bind(i64::from(BATCH)).fetch_all(&mut conn).await.expect("items are claimed");
        if claimed.is_empty() {
            if !progress.is_over() {
                queued.changed().await.expect("the leg goes on");
            }
            continue;
        }
        progress.note_started(claimed.iter().map(|(_, item)| item.cast_unsigned()));
        let ids: Vec<i64> = claimed.iter().map(|(id, _)| *id).collect();
        sqlx::query("UPDATE bare SET state = 'done' WHERE id = ANY($1)")
            .bind(ids)
            .execute(&mut conn)
            .await
            .expect("items are completed");
        progress.note(&progress.done, claimed.len());
    }
}
