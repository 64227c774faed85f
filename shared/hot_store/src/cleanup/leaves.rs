//! Leaves as Postgres has them, and how one goes without anybody waiting for it.
//!
//! A plain `DROP TABLE` or `DETACH PARTITION` takes ACCESS EXCLUSIVE on the parent: every query would wait behind it
//! while it waits for the longest one, and a snapshot that was opened before would lose the rows. `DETACH PARTITION …
//! CONCURRENTLY` takes SHARE UPDATE EXCLUSIVE, which no query waits for: it first hides the leaf from new snapshots,
//! then waits for the transactions that may still use it, and a transaction of REPEATABLE READ that began before goes
//! on seeing its rows. The table that it leaves belongs to nobody, so that dropping it concerns nobody. It cannot run in
//! a transaction, nor be rolled back: what is found half-done is completed by the next run. Source: PostgreSQL manual,
//! ALTER TABLE.

use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::error::HotStoreError;
use crate::partitions::leaf_table;

/// Longest wait for one transaction, so that those who wait behind it for the same lock (the follower, to add a leaf)
/// go on soon.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '1500ms'";
/// Longest wait for all of them.
const STATEMENT_TIMEOUT: &str = "SET statement_timeout = '4s'";
/// SQLSTATE of a statement that these end, and of a leaf that somebody else is removing: `lock_not_available`,
/// `query_canceled`, `object_in_use`, `object_not_in_prerequisite_state` (another leaf is being detached),
/// `undefined_table`. Source: PostgreSQL manual, appendix A.
const BUSY: [&str; 5] = ["55P03", "57014", "55006", "55000", "42P01"];

/// A table with the rows of one dataset in one run of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The dataset.
    pub dataset: Dataset,
    /// Its blocks.
    pub blocks: BlockRange,
    /// Whether it is part of the dataset's table.
    pub state: LeafState,
}

/// How far a leaf is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafState {
    /// A part of the table.
    Attached,
    /// No snapshot sees it that is opened now; the detaching was broken off.
    Detaching,
    /// A table of its own, that nobody reads.
    Detached,
}

/// How a step of removing a leaf ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The leaf is a table of its own now: remove it again.
    Detached,
    /// It is gone.
    Gone,
    /// A transaction uses it, or may: later.
    Busy,
}

/// The leaves of a chain, by block.
///
/// # Errors
/// What Postgres reports.
pub async fn leaves(
    conn: &mut PgConnection,
    chain_id: ChainId,
    partition_blocks: u64,
) -> Result<Vec<Leaf>, HotStoreError> {
    let rows = sqlx::query(
        "SELECT substring(c.relname from '^[a-z]+') AS dataset,
                substring(c.relname from '[0-9]+$')::bigint AS start_block,
                i.inhrelid IS NOT NULL AS is_attached, coalesce(i.inhdetachpending, false) AS is_detaching
           FROM pg_class c
           JOIN pg_namespace n ON n.oid = c.relnamespace
           LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
          WHERE n.nspname = 'hot' AND c.relkind = 'r' AND c.relname ~ $1
          ORDER BY start_block, dataset",
    )
    .bind(format!("^(blocks|transactions|logs|traces)_{chain_id}_[0-9]{{10,}}$"))
    .fetch_all(conn)
    .await
    .map_err(HotStoreError::database("list the partitions"))?;
    let leaf = |row: &PgRow| -> sqlx::Result<Option<Leaf>> {
        let dataset: Option<Dataset> = row.try_get::<&str, _>("dataset")?.parse().ok();
        let start = row.try_get::<i64, _>("start_block")?.cast_unsigned();
        let end = start.saturating_add(partition_blocks);
        let blocks = BlockRange::new(BlockNumber(start), BlockNumber(end)).ok();
        let state = match (row.try_get("is_attached")?, row.try_get("is_detaching")?) {
            (false, _) => LeafState::Detached,
            (true, true) => LeafState::Detaching,
            (true, false) => LeafState::Attached,
        };
        Ok(dataset.zip(blocks).map(|(dataset, blocks)| Leaf { dataset, blocks, state }))
    };
    let leaves = rows.iter().filter_map(|row| leaf(row).transpose()).collect::<sqlx::Result<Vec<Leaf>>>();
    leaves.map_err(HotStoreError::database("decode the partitions"))
}

/// First block that has a row in a leaf; `None` if none has.
///
/// # Errors
/// What Postgres reports.
pub async fn first_row(
    conn: &mut PgConnection,
    chain_id: ChainId,
    leaf: &Leaf,
) -> Result<Option<BlockNumber>, HotStoreError> {
    let sql = format!("SELECT min(block_number) FROM {}", leaf_table(chain_id, leaf.dataset, leaf.blocks));
    let first: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(conn)
        .await
        .map_err(HotStoreError::database("look for the first row of a partition"))?;
    Ok(first.map(|block| BlockNumber(block.cast_unsigned())))
}

/// Does the next step of removing a leaf: detaches it, or drops it once it is detached.
///
/// Not in a transaction. Sets time-outs of the session, so that `conn` is to be closed after. Whether the rows may go
/// [`super::droppable`] has said.
///
/// # Errors
/// What Postgres reports; that somebody uses the leaf is no error.
pub async fn remove(conn: &mut PgConnection, chain_id: ChainId, leaf: &Leaf) -> Result<Removal, HotStoreError> {
    let table = leaf_table(chain_id, leaf.dataset, leaf.blocks);
    let parent = format!("hot.{}_{chain_id}", leaf.dataset);
    let (sql, done) = match leaf.state {
        LeafState::Attached => {
            (format!("ALTER TABLE {parent} DETACH PARTITION {table} CONCURRENTLY"), Removal::Detached)
        }
        LeafState::Detaching => (format!("ALTER TABLE {parent} DETACH PARTITION {table} FINALIZE"), Removal::Detached),
        LeafState::Detached => (format!("DROP TABLE IF EXISTS {table}"), Removal::Gone),
    };
    for setting in [LOCK_TIMEOUT, STATEMENT_TIMEOUT] {
        sqlx::raw_sql(setting).execute(&mut *conn).await.map_err(HotStoreError::database("limit a wait"))?;
    }
    match sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(conn).await {
        Ok(_) => Ok(done),
        Err(error) if is_busy(&error) => Ok(Removal::Busy),
        Err(source) => Err(HotStoreError::Database { action: "remove a partition", source }),
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| BUSY.contains(&&*code)),
        _ => false,
    }
}
