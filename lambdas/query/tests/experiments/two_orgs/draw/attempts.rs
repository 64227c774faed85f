//! Attempts at what is the other organisation's.

use isotherm_query::platform_tables::ALL;
use rand::Rng;
use serde_json::json;

use super::{Draw, Question};

/// What organisations have and the platform shows in no relation.
const HIDDEN: [&str; 6] = ["attempts", "channels", "dataset_grants", "orgs", "saved_queries", "users"];

/// Catalogues of the engine and tables of the platform, as they can stand in `FROM`.
const CATALOGUES: [&str; 27] = [
    "information_schema.tables",
    "information_schema.schemata",
    "information_schema.columns",
    "system.information_schema.tables",
    "pg_catalog.pg_class",
    "pg_catalog.pg_tables",
    "sqlite_master",
    "duckdb_tables()",
    "duckdb_schemas()",
    "duckdb_columns()",
    "duckdb_databases()",
    "duckdb_views()",
    "duckdb_settings()",
    "pragma_database_list()",
    "main.logs",
    "memory.main.logs",
    "isotherm_stub.logs",
    "hot.logs",
    "hot.cursors",
    "cold.datasets",
    "cold.data_partitions",
    "control.jobs",
    "control.audit_log",
    "access.users",
    "access.dataset_grants",
    "query.queries",
    "query.saved_queries",
];

impl Draw {
    /// Rows by a value that only the other has, or should have.
    pub(super) fn their_value(&mut self) -> Question {
        let mark = self.other.mark;
        let place = self.place_of_the_other();
        let number = mark.number + place;
        let (dataset, condition) = match self.random.random_range(0..9) {
            0 => ("logs", format!("chain_id = {}", mark.chain_id())),
            1 => ("blocks", format!("chain_id in ({}, 1)", mark.chain_id())),
            2 => ("transactions", format!("nonce = {number}")),
            3 => ("transactions", format!("value_string = '{}{number}'", mark.word)),
            4 => ("transactions", format!("value_string like '{}%'", mark.word)),
            5 => ("transactions", format!("from_address = {}", self.bytes_of_the_other(20))),
            6 => ("logs", format!("address = {}", self.bytes_of_the_other(20))),
            7 => ("blocks", format!("block_hash = 0x{}", hex::encode(mark.bytes(self.block(), 32)))),
            _ => ("logs", format!("topic0 = {}", self.bytes_of_the_other(32))),
        };
        let columns = self.pick(&["*", "count(*)", "min(block_number), max(chain_id)", "block_hash, chain_id"]);
        Question::of(format!("select {columns} from {dataset} where {condition}"))
    }

    pub(super) fn their_relation(&mut self) -> Question {
        let (theirs, (own, dataset)) = (self.relation_of_the_other(), self.own_relation());
        let column = self.column(dataset);
        let sql = match self.random.random_range(0..16) {
            0 | 1 => format!("select * from {theirs}"),
            2 => format!("select count(*) from {theirs}"),
            3 => format!("from {theirs} select block_number limit 3"),
            4 => format!("with theirs as (select * from {theirs}) select count(*) from theirs"),
            5 => format!("select a.block_number from {own} a join {theirs} b using (block_number)"),
            6 => format!("select a.{column} from {own} a, {theirs} b"),
            7 => format!("select (select max(block_number) from {theirs}) as newest"),
            8 => format!(
                "select a.{column} from {own} a \
                 where exists (select 1 from {theirs} b where a.block_number = b.block_number)"
            ),
            9 => format!("select block_number from {own} union all select block_number from {theirs}"),
            10 => format!("select block_number from {own} except select block_number from {theirs}"),
            11 => format!("select no_such_column from {theirs}"),
            12 => format!("select cast(block_hash as integer) from {theirs}"),
            13 => format!(
                "select a.n from {own} b, \
                 lateral (select count(*) as n from {theirs} c where c.block_number = b.block_number) a"
            ),
            14 => format!("select block_number from {theirs} where block_number = {} order by 1", self.block()),
            _ => format!("select {column} from {own} where block_number in (select block_number from {theirs})"),
        };
        Question::of(sql)
    }

    /// What tells of tables rather than of rows.
    pub(super) fn catalogue(&mut self) -> Question {
        let (chain, id) = (self.other.mark.chain(), self.other.mark.chain_id());
        let catalogue = match self.random.random_range(0..8) {
            0 => format!("isotherm_hot.logs_{id}"),
            1 => format!("pragma_table_info('{chain}.logs')"),
            2 => format!("read_parquet('s3://cold/cold/{chain}/logs/logs_0000000000_0000000009.parquet')"),
            3 => format!("query_table('{chain}.logs')"),
            _ => self.pick(&CATALOGUES).to_owned(),
        };
        let sql = match self.random.random_range(0..4) {
            0 => format!("select count(*) from {catalogue}"),
            1 => format!("select * from (select * from {catalogue}) as inner_query"),
            2 => format!("with named as (from {catalogue}) select * from named"),
            _ => format!("select * from {catalogue}"),
        };
        Question::of(sql)
    }

    /// What is no plain query.
    pub(super) fn statement(&mut self) -> Question {
        let (relation, chain) = (self.relation_of_the_other(), self.other.mark.chain());
        let statements = [
            format!("explain select * from {relation}"),
            format!("explain analyze select * from logs where chain_id = {}", self.other.mark.chain_id()),
            format!("describe {relation}"),
            format!("summarize {relation}"),
            format!("select * from (describe {relation})"),
            format!("select * from (summarize {relation})"),
            "show tables".to_owned(),
            "show all tables".to_owned(),
            "show databases".to_owned(),
            "pragma database_list".to_owned(),
            "pragma show_tables".to_owned(),
            format!("pragma table_info('{chain}.logs')"),
            format!("use {chain}"),
            format!("set search_path = '{chain}'"),
            format!("create table copied as select * from {relation}"),
            format!("create view seen as select * from {relation}"),
            format!("copy {relation} to '/tmp/{chain}.csv'"),
            format!("insert into {relation} values (1)"),
            format!("delete from {relation}"),
            format!("prepare later as select * from {relation}"),
            format!("select 1; select * from {relation}"),
            format!("-- {chain}\nselect 1 /* from {relation} */ as one"),
            format!("values ('{chain}')"),
        ];
        Question::of(self.pick_text(&statements))
    }

    /// Values that come beside the statement.
    pub(super) fn parameter(&mut self) -> Question {
        let mark = self.other.mark;
        let (id, place) = (mark.chain_id(), self.place_of_the_other());
        let (address, word) = (self.bytes_of_the_other(20), format!("{}{}", mark.word, mark.number + place));
        let (sql, parameters) = match self.random.random_range(0..9) {
            0 => ("select * from logs where chain_id = $1".to_owned(), json!([id])),
            1 => ("select count(*) from logs where address = ?".to_owned(), json!([address])),
            2 => ("select * from transactions where value_string = $word".to_owned(), json!({ "word": word })),
            3 => ("select $1 as echo, count(*) as n from blocks".to_owned(), json!([word])),
            4 => ("select cast($1 as integer) as number".to_owned(), json!([word])),
            5 => (format!("select * from {} where block_number = $1", self.relation_of_the_other()), json!([3])),
            6 => ("select * from $relation".to_owned(), json!({ "relation": mark.chain() })),
            7 => ("select $missing as nothing".to_owned(), json!({ "chain": mark.chain() })),
            _ => (
                "select * from transactions where chain_id = $chain and from_address = $address".to_owned(),
                json!({ "chain": id, "address": address }),
            ),
        };
        Question::of(sql).with("parameters", parameters)
    }

    /// Answers that are pinned to a block of the other's chain.
    pub(super) fn as_of(&mut self) -> Question {
        let (own, other) = (self.own.mark, self.other.mark);
        let block = self.block();
        let hash = format!("0x{}", hex::encode(other.bytes(block, 32)));
        let relation = match self.random.random_range(0..3) {
            0 => self.relation_of_the_other(),
            1 => format!("{}.logs", own.chain()),
            _ => self.dataset().to_string(),
        };
        let pin = match self.random.random_range(0..5) {
            0 => json!({ "chain": other.chain(), "block": block }),
            1 => json!({ "chain": other.chain(), "block": hash }),
            2 => json!({ "chain": own.chain(), "block": hash }),
            3 => json!(hash),
            _ => json!(block),
        };
        Question::of(format!("select count(*) as n, max(block_number) as newest from {relation}"))
            .with("as_of_block", pin)
    }

    /// What the platform shows of itself, which is of one organisation.
    pub(super) fn platform(&mut self) -> Question {
        let (table, other, word) = (self.pick(ALL), self.pick(ALL), self.other.mark.word);
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let column = self.pick(&columns);
        let sql = match self.random.random_range(0..12) {
            0..3 => format!("select * from {table}"),
            3 => format!("select count(*) as n from {table}"),
            4 => format!("select * from {table} where cast({column} as varchar) like '{word}%'"),
            5 => format!("select * from {table} where org_id <> 0"),
            6 => format!("select cast(cast({column} as varchar) as integer) from {table}"),
            7 => format!("select * from {table} a, {other} b limit 100"),
            8 => format!("select * from (describe {table})"),
            9 => format!("select {column}, count(*) as n from {table} group by 1"),
            10 => format!("select * from isotherm.{}", self.pick(&HIDDEN)),
            _ => format!("select to_json(a) as whole from {table} a limit 100"),
        };
        Question { is_steady: false, has_twin: false, ..Question::of(sql) }
    }
}
