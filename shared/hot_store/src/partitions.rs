//! Partitions of the dataset tables: first level by chain, second by block range, leaves aligned to multiples of the
//! chain's partition size.
//!
//! A leaf is built beside the table and then attached, which does not wait for running queries
//! (`ATTACH PARTITION` takes SHARE UPDATE EXCLUSIVE on the parent; source: PostgreSQL manual, ALTER TABLE).

use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset};
use sqlx::PgConnection;

use crate::error::{HotStoreError, bigint};

/// Creates the chain's first-level partitions where they are missing.
pub(crate) async fn ensure_chain(conn: &mut PgConnection, chain_id: ChainId) -> Result<(), HotStoreError> {
    let table_of = |dataset: Dataset| format!("hot.{dataset}_{chain_id}");
    let missing = missing(conn, &Dataset::ALL.map(table_of)).await?;
    for dataset in Dataset::ALL {
        let table = table_of(dataset);
        if !missing.contains(&table) {
            continue;
        }
        execute(
            conn,
            format!(
                "CREATE TABLE {table} (LIKE hot.{dataset} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
                 PARTITION BY RANGE (block_number)"
            ),
        )
        .await?;
        execute(conn, format!("ALTER TABLE hot.{dataset} ATTACH PARTITION {table} FOR VALUES IN ({chain_id})")).await?;
    }
    Ok(())
}

/// Creates the leaves that `blocks` falls into and one more ahead. Returns whether any was missing.
pub(crate) async fn ensure_leaves(
    conn: &mut PgConnection,
    chain_id: ChainId,
    partition_blocks: u64,
    blocks: BlockRange,
) -> Result<bool, HotStoreError> {
    let wanted: Vec<(Dataset, BlockRange)> =
        leaves(partition_blocks, blocks).flat_map(|leaf| Dataset::ALL.map(|dataset| (dataset, leaf))).collect();
    let tables: Vec<String> = wanted.iter().map(|(dataset, leaf)| leaf_table(chain_id, *dataset, *leaf)).collect();
    // Asked each time, and all at once: what is remembered would be wrong after somebody else has dropped one.
    let missing = missing(conn, &tables).await?;
    for ((dataset, leaf), table) in wanted.into_iter().zip(&tables) {
        if missing.contains(table) {
            create_leaf(conn, chain_id, dataset, leaf, table).await?;
        }
    }
    Ok(!missing.is_empty())
}

/// The aligned runs that `blocks` falls into, and one more ahead, so that the leaf is there before it is needed.
fn leaves(partition_blocks: u64, blocks: BlockRange) -> impl Iterator<Item = BlockRange> {
    let first = blocks.start().0 / partition_blocks;
    let last = blocks.last().0 / partition_blocks + 1;
    (first..=last).map(move |index| {
        BlockRange::new(BlockNumber(index * partition_blocks), BlockNumber((index + 1) * partition_blocks))
            .expect("partitions hold at least one block")
    })
}

/// The table of a leaf.
pub(crate) fn leaf_table(chain_id: ChainId, dataset: Dataset, leaf: BlockRange) -> String {
    format!("hot.{dataset}_{chain_id}_{:0>10}", leaf.start())
}

async fn create_leaf(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    leaf: BlockRange,
    table: &str,
) -> Result<(), HotStoreError> {
    let (start, end) = (bigint(leaf.start()), bigint(leaf.end()));
    execute(conn, format!("CREATE TABLE {table} (LIKE hot.{dataset} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
        .await?;
    execute(conn, format!("CREATE INDEX ON {table} USING brin (block_number)")).await?;
    execute(
        conn,
        format!("ALTER TABLE hot.{dataset}_{chain_id} ATTACH PARTITION {table} FOR VALUES FROM ({start}) TO ({end})"),
    )
    .await
}

/// Those of `tables` that are not there.
async fn missing(conn: &mut PgConnection, tables: &[String]) -> Result<Vec<String>, HotStoreError> {
    sqlx::query_scalar("SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL")
        .bind(tables)
        .fetch_all(conn)
        .await
        .map_err(HotStoreError::database("look for partitions"))
}

async fn execute(conn: &mut PgConnection, sql: String) -> Result<(), HotStoreError> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(conn)
        .await
        .map_err(HotStoreError::database("create a partition"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(blocks: (u64, u64)) -> Vec<u64> {
        let blocks = BlockRange::new(BlockNumber(blocks.0), BlockNumber(blocks.1)).unwrap();
        leaves(100, blocks).map(|leaf| leaf.start().0).collect()
    }

    #[test]
    fn leaves_are_aligned_and_one_is_ahead() {
        assert_eq!(starts((0, 1)), [0, 100]);
        assert_eq!(starts((99, 100)), [0, 100]);
        assert_eq!(starts((99, 101)), [0, 100, 200]);
        assert_eq!(starts((250, 260)), [200, 300]);
    }
}
