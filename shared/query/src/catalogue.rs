//! What there is to ask: datasets, their columns, which blocks of which chains they have, and an example of each; and the
//! platform's own tables.
//!
//! Only what the asker's grants allow is told, the existence of a chain included.

use isotherm_cold_store::catalog::{self, ColdDataset};
use isotherm_hot_store::cursor::{self, Cursor};
use isotherm_types::{BlockNumber, ChainId, Dataset, DatasetGrants};
use serde::Serialize;
use sqlx::PgPool;

use crate::boundary;
use crate::error::QueryError;
use crate::platform_tables::{self, PlatformColumn, PlatformTable};

/// A dataset as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatasetEntry {
    /// Its name in SQL.
    pub name: &'static str,
    /// Its columns, in order.
    pub columns: Vec<ColumnEntry>,
    /// Where it has rows.
    pub chains: Vec<ChainEntry>,
    /// A statement that runs as it is.
    pub example: String,
}

/// One of the platform's own tables as people see it. Of its rows each organisation sees its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableEntry {
    /// Its name in SQL.
    pub name: String,
    /// What one row is.
    pub description: &'static str,
    /// Its columns, in order.
    pub columns: Vec<ColumnEntry>,
    /// A statement that runs as it is.
    pub example: String,
}

/// A column of a dataset or a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnEntry {
    /// Its name.
    pub name: &'static str,
    /// Its type in SQL.
    #[serde(rename = "type")]
    pub sql_type: &'static str,
    /// Whether a value may be absent.
    pub nullable: bool,
    /// What it holds.
    pub description: &'static str,
}

/// The rows of a dataset that a chain has. A query over all of them sees those of `cold` and `hot` once each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainEntry {
    /// The chain.
    pub chain_id: ChainId,
    /// Its name.
    pub chain: String,
    /// Blocks that are read from cold storage; null if none are.
    pub cold: Option<BlockSpan>,
    /// Blocks that are read from hot storage; null if none are.
    pub hot: Option<BlockSpan>,
}

/// Blocks from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BlockSpan {
    /// The first.
    pub first_block: BlockNumber,
    /// The last.
    pub last_block: BlockNumber,
}

/// The datasets that `grants` allow, in one state of all chains.
///
/// # Errors
/// What Postgres reports.
pub async fn datasets(pool: &PgPool, grants: &DatasetGrants) -> Result<Vec<DatasetEntry>, QueryError> {
    let mut snapshot = boundary::open_snapshot(pool).await?;
    let cursors = cursor::all(&mut snapshot).await?;
    let cold = catalog::datasets(&mut snapshot).await?;
    snapshot.rollback().await?;
    Ok(entries(&cursors, &cold, grants))
}

/// The platform's own tables: the same for everybody.
pub fn tables() -> Vec<TableEntry> {
    let entry = |table: &&PlatformTable| TableEntry {
        name: table.to_string(),
        description: table.doc,
        columns: table.columns.iter().map(column).collect(),
        example: format!("SELECT * FROM {table} LIMIT 10"),
    };
    platform_tables::ALL.iter().map(entry).collect()
}

fn column(column: &PlatformColumn) -> ColumnEntry {
    ColumnEntry {
        name: column.name,
        sql_type: column.column_type.sql(),
        nullable: column.nullable,
        description: column.doc,
    }
}

fn entries(cursors: &[Cursor], cold: &[ColdDataset], grants: &DatasetGrants) -> Vec<DatasetEntry> {
    let of_dataset = |dataset: Dataset| {
        let granted = cursors.iter().filter(|cursor| grants.allows(cursor.chain_id, dataset));
        let chains: Vec<ChainEntry> = granted.filter_map(|cursor| chain(cursor, dataset, cold)).collect();
        let columns = dataset.columns().iter().map(|column| ColumnEntry {
            name: column.name,
            sql_type: column.column_type.sql(),
            nullable: column.nullable,
            description: column.doc,
        });
        let (name, columns, example) = (dataset.as_str(), columns.collect(), example(dataset, chains.first()));
        DatasetEntry { name, columns, chains, example }
    };
    // Columns are told before the first chain is there.
    let before_the_first = cursors.is_empty() && *grants != DatasetGrants::default();
    let is_told =
        |dataset: &Dataset| before_the_first || cursors.iter().any(|cursor| grants.allows(cursor.chain_id, *dataset));
    Dataset::ALL.into_iter().filter(is_told).map(of_dataset).collect()
}

/// What `cursor`'s chain has of a dataset; `None` if it has nothing.
fn chain(cursor: &Cursor, dataset: Dataset, cold: &[ColdDataset]) -> Option<ChainEntry> {
    let own = cold.iter().find(|cold| cold.chain_id == cursor.chain_id && cold.dataset == dataset);
    let cold = own.map(|own| BlockSpan { first_block: own.head.first_block, last_block: own.head.watermark });
    // A chain without traces has rows of its other datasets only.
    let first_stored = match dataset {
        Dataset::Traces => cursor.first_traced_block,
        Dataset::Blocks | Dataset::Transactions | Dataset::Logs => cursor.first_block,
    };
    let hot = first_stored.zip(cursor.tip).and_then(|(first_stored, tip)| {
        let first_block = cold.map_or(first_stored, |cold| cold.last_block.next());
        (first_block <= tip.number).then_some(BlockSpan { first_block, last_block: tip.number })
    });
    let is_there = cold.is_some() || hot.is_some();
    is_there.then(|| ChainEntry { chain_id: cursor.chain_id, chain: cursor.chain.clone(), cold, hot })
}

/// A statement about the newest blocks of `chain`, bounded by constants: only those are seen before rows are fetched.
fn example(dataset: Dataset, chain: Option<&ChainEntry>) -> String {
    let last = chain.and_then(|chain| chain.hot.or(chain.cold)).map_or(0, |span| span.last_block.0);
    let newest = match chain {
        Some(chain) => format!("chain_id = {} AND block_number > {}", chain.chain_id, last.saturating_sub(100)),
        None => "block_number < 100".to_owned(),
    };
    match dataset {
        Dataset::Blocks => format!(
            "SELECT block_number, block_hash, transaction_count, gas_used FROM blocks WHERE {newest} \
             ORDER BY block_number DESC LIMIT 10"
        ),
        Dataset::Transactions => format!(
            "SELECT from_address, count(*) AS transactions, sum(value) AS value_wei FROM transactions WHERE {newest} \
             GROUP BY from_address ORDER BY transactions DESC LIMIT 10"
        ),
        Dataset::Logs => format!(
            "SELECT address, topic0, count(*) AS logs FROM logs WHERE {newest} \
             GROUP BY address, topic0 ORDER BY logs DESC LIMIT 10"
        ),
        Dataset::Traces => format!(
            "SELECT action_type, count(*) AS traces, count(error) AS failed FROM traces WHERE {newest} \
             GROUP BY action_type ORDER BY traces DESC"
        ),
    }
}

#[cfg(test)]
mod tests {
    use isotherm_cold_store::Sha256Digest;
    use isotherm_cold_store::catalog::DatasetHead;
    use isotherm_types::{B256, BlockRef};

    use super::*;

    fn cursor(chain_id: u64, tip: Option<u64>) -> Cursor {
        Cursor {
            chain_id: ChainId(chain_id),
            chain: format!("chain-{chain_id}"),
            partition_blocks: 10,
            first_block: tip.map(|_| BlockNumber(5)),
            first_traced_block: None,
            tip: tip.map(|number| BlockRef { number: BlockNumber(number), hash: B256::ZERO }),
            finalized: None,
            halted: None,
            updated_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    fn cold(chain_id: u64, dataset: Dataset, watermark: u64) -> ColdDataset {
        let head = DatasetHead {
            first_block: BlockNumber(0),
            first_parent_hash: None,
            watermark: BlockNumber(watermark),
            manifest_version: 1,
            manifest_key: "m".to_owned(),
            manifest_sha256: Sha256Digest::of(b""),
        };
        ColdDataset { chain_id: ChainId(chain_id), dataset, head }
    }

    fn span(first: u64, last: u64) -> Option<BlockSpan> {
        Some(BlockSpan { first_block: BlockNumber(first), last_block: BlockNumber(last) })
    }

    #[test]
    fn hot_begins_where_cold_ends() {
        let cold = [cold(1, Dataset::Blocks, 7), cold(1, Dataset::Logs, 9)];
        let of = |dataset| chain(&cursor(1, Some(9)), dataset, &cold).map(|entry| (entry.cold, entry.hot));
        assert_eq!(of(Dataset::Blocks), Some((span(0, 7), span(8, 9))));
        assert_eq!(of(Dataset::Logs), Some((span(0, 9), None)));
        assert_eq!(of(Dataset::Transactions), Some((None, span(5, 9))));
        assert_eq!(of(Dataset::Traces), None, "the chain has none");
        assert_eq!(chain(&cursor(2, None), Dataset::Blocks, &cold), None);
    }

    #[test]
    fn what_is_not_granted_is_not_told() {
        let cursors = [cursor(1, Some(9)), cursor(2, Some(9))];
        let told = |grants: &DatasetGrants| -> Vec<(&str, Vec<u64>)> {
            let entries = super::entries(&cursors, &[], grants).into_iter();
            let chains =
                |entry: &DatasetEntry| -> Vec<u64> { entry.chains.iter().map(|chain| chain.chain_id.0).collect() };
            entries.map(|entry| (entry.name, chains(&entry))).collect()
        };
        assert_eq!(told(&DatasetGrants::default()), []);
        let logs_of_two = DatasetGrants::of([(Some(ChainId(2)), Some(Dataset::Logs))]);
        assert_eq!(told(&logs_of_two), [("logs", vec![2])]);
        let all = told(&DatasetGrants::everything());
        assert_eq!(all.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["blocks", "transactions", "logs", "traces"]);
        assert_eq!(all[0].1, [1, 2]);
        assert_eq!(super::entries(&[], &[], &DatasetGrants::everything()).len(), 4, "before the first chain");
        assert_eq!(super::entries(&[], &[], &DatasetGrants::default()), []);
    }
}
