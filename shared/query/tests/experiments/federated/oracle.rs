//! The judge: a database of its own that holds every block there ever was, and answers for the chain of any tip.
//!
//! It is told of a block before the platform is, in SQL, and knows nothing of hot, cold or watermarks.

use isotherm_lab::postgres::TestDatabase;
use isotherm_types::{B256, Dataset};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row as _};
use tokio::sync::Mutex;

use super::cells::Cell;
use super::chain::Block;
use super::dialect;
use super::question::Query;
use super::reading::Rows;

/// The blocks between a tip and its first ancestor.
const STAND_ON: &str = "
    WITH RECURSIVE lineage AS (
        SELECT block_hash, parent_hash, block_number FROM oracle.blocks WHERE block_hash = $1
        UNION ALL
        SELECT parent.block_hash, parent.parent_hash, parent.block_number
          FROM lineage JOIN oracle.blocks parent ON parent.block_hash = lineage.parent_hash
    )
    INSERT INTO canonical SELECT block_hash FROM lineage WHERE block_number <= $2";

#[derive(Debug)]
pub(crate) struct Oracle {
    url: String,
    writer: Mutex<PgConnection>,
    /// Connections that nobody uses.
    idle: Mutex<Vec<Session>>,
}

impl Oracle {
    pub(crate) async fn create() -> Self {
        let database = TestDatabase::empty().await.unwrap();
        let mut writer = database.connect().await.unwrap();
        let tables = Dataset::ALL.map(table).join("\n");
        let sql = format!("CREATE SCHEMA oracle; {tables}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut writer).await.unwrap();
        Self { url: database.url, writer: Mutex::new(writer), idle: Mutex::default() }
    }

    /// Takes in blocks of any branch.
    pub(crate) async fn add(&self, blocks: &[Block]) {
        let mut sql = String::new();
        for dataset in Dataset::ALL {
            let rows = blocks.iter().flat_map(|block| block.rows(dataset));
            let rows: Vec<String> = rows.map(|row| values(row)).collect();
            if !rows.is_empty() {
                sql.push_str(&format!("INSERT INTO oracle.{dataset} VALUES {};\n", rows.join(", ")));
            }
        }
        let mut writer = self.writer.lock().await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *writer).await.unwrap();
    }

    /// A connection to ask on; to be given back.
    pub(crate) async fn borrow(&self) -> Session {
        match self.idle.lock().await.pop() {
            Some(session) => session,
            None => Session::open(&self.url).await,
        }
    }

    pub(crate) async fn give_back(&self, session: Session) {
        self.idle.lock().await.push(session);
    }
}

fn table(dataset: Dataset) -> String {
    let columns = dataset.columns().iter().map(|column| format!("{} {}", column.name, column.column_type.postgres()));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let place = dataset.sort_columns().get(1).map(|column| format!(", {column}")).unwrap_or_default();
    format!("CREATE TABLE oracle.{dataset} ({columns}, PRIMARY KEY (block_hash{place}));")
}

fn values(row: &[Cell]) -> String {
    format!("({})", row.iter().map(Cell::literal).collect::<Vec<_>>().join(", "))
}

/// A connection on which `blocks`, `transactions`, `logs` and `traces` are those of one chain.
#[derive(Debug)]
pub(crate) struct Session {
    conn: PgConnection,
    stands_on: Option<(B256, Option<u64>)>,
}

impl Session {
    async fn open(url: &str) -> Self {
        let mut conn = PgConnection::connect(url).await.unwrap();
        let view = |dataset: Dataset| {
            format!("CREATE TEMP VIEW {dataset} AS SELECT * FROM oracle.{dataset} JOIN canonical USING (block_hash);")
        };
        let views = Dataset::ALL.map(view).join("\n");
        let sql = format!(
            "SET max_parallel_workers_per_gather = 0; SET jit = off;
             CREATE TEMP TABLE canonical (block_hash bytea PRIMARY KEY); {views}"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
        Self { conn, stands_on: None }
    }

    /// Makes the relations those of the chain that ends in `tip`, up to block `last`; `false` if there never was such a
    /// block.
    pub(crate) async fn stand_on(&mut self, tip: B256, last: Option<u64>) -> bool {
        if self.stands_on == Some((tip, last)) {
            return true;
        }
        sqlx::raw_sql("TRUNCATE canonical").execute(&mut self.conn).await.unwrap();
        let inserted = sqlx::query(STAND_ON)
            .bind(tip.as_slice())
            .bind(last.map_or(i64::MAX, u64::cast_signed))
            .execute(&mut self.conn)
            .await
            .unwrap();
        self.stands_on = (inserted.rows_affected() > 0).then_some((tip, last));
        self.stands_on.is_some()
    }

    pub(crate) async fn answer(&mut self, query: &Query) -> Rows {
        let sql = dialect::for_postgres(query);
        let rows = sqlx::query(AssertSqlSafe(sql.as_str())).persistent(false).fetch_all(&mut self.conn).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.iter().map(|row| (0..query.width()).map(|i| row.get(i)).collect()).collect()
    }
}
