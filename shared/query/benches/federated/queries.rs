//! The five queries, in the words of DuckDB and in those of Postgres.

use crate::chain::{
    COLD_PARTITIONS, TRANSACTIONS_PER_BLOCK, blocks, cold_blocks, event, rare_sender, timestamp, transaction_hash,
};

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// What a query is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A few rows, for which an index would do.
    Lookup,
    /// All rows.
    Scan,
}

/// A query.
pub(crate) struct Query {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Its text with bytes as `{0x…}`.
    text: String,
}

impl Query {
    /// For the engine and for DuckDB.
    pub(crate) fn for_duckdb(&self) -> String {
        self.text.replace("{0x", "unhex('").replace('}', "')")
    }

    /// For Postgres, whose tables are in the schema `hot`.
    pub(crate) fn for_postgres(&self) -> String {
        self.text.replace("{0x", "decode('").replace('}', "', 'hex')")
    }
}

/// The queries, lookups first.
pub(crate) fn all() -> Vec<Query> {
    let in_the_middle = cold_blocks(COLD_PARTITIONS / 2).start().0 + 17;
    let hash = transaction_hash(in_the_middle, TRANSACTIONS_PER_BLOCK / 3);
    let since = timestamp(blocks().last().0) - DAY_SECONDS;
    let (sender, event) = (hex::encode(rare_sender()), event());
    let lookup = |name, text| Query { name, kind: Kind::Lookup, text };
    let scan = |name, text| Query { name, kind: Kind::Scan, text };
    vec![
        lookup(
            "one block",
            format!(
                "select transaction_index, transaction_hash, from_address, to_address, value, gas_used \
                 from transactions where block_number = {in_the_middle} order by transaction_index"
            ),
        ),
        lookup(
            "one address in 24 h",
            format!(
                "select block_number, transaction_index, transaction_hash, to_address, value from transactions \
                 where from_address = {{0x{sender}}} and \"timestamp\" >= {since} \
                 order by block_number, transaction_index"
            ),
        ),
        lookup(
            "one transaction by hash",
            format!(
                "select block_number, transaction_index, from_address, to_address, value, gas_used \
                 from transactions where transaction_hash = {{{hash}}}"
            ),
        ),
        scan(
            "top addresses",
            "select address, count(*) as n, max(block_number) as newest from logs \
             group by address order by n desc, address limit 20"
                .to_owned(),
        ),
        scan(
            "logs with transactions",
            format!(
                "select t.to_address, count(*) as n, sum(t.gas_used) as gas from logs l join transactions t \
                 on t.block_number = l.block_number and t.transaction_index = l.transaction_index \
                 where l.topic0 = {{{event}}} group by t.to_address order by n desc, t.to_address limit 20"
            ),
        ),
    ]
}
