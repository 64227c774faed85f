//! The ways to an answer, and what one of them took.

use std::time::{Duration, Instant};

use arrow::array::ArrayRef;
use arrow::util::display::array_value_to_string;
use isotherm_lab::benchmark::cpu_of_tree;
use isotherm_query::{ColdServer, QueryAnswer, QueryEngine, QueryRequest, WaitingSandbox};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, ValueRef as _};

use crate::duckdb::DuckDb;
use crate::queries::Query;
use crate::stage::Stage;

/// Of a query; none takes nearly as long.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// A way to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leg {
    /// The engine over hot rows and cold storage, which has answered queries before.
    Engine,
    /// The same, which has none of cold storage in memory.
    EngineAnew,
    /// DuckDB over all rows in files on the local disk.
    DuckDb,
    /// DuckDB over the objects of cold storage, and the newer rows in local files.
    DuckDbOnS3,
    /// Postgres over all rows.
    Postgres,
}

/// The engine, then what it is compared with.
pub(crate) const LEGS: [Leg; 5] = [Leg::Engine, Leg::EngineAnew, Leg::DuckDb, Leg::DuckDbOnS3, Leg::Postgres];

/// What an engine keeps of cold files, as the function does.
pub(crate) const COLD_BYTES: u64 = 128 << 20;

/// Rows as text: bytes in hexadecimal digits, nothing where there is no value.
pub(crate) type Rows = Vec<Vec<String>>;

/// What a query took in one round, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) seconds: f64,
    /// Processor time of this process and its children, the sandbox and DuckDB for Python.
    pub(crate) client_cpu: f64,
    pub(crate) postgres_cpu: f64,
    pub(crate) emulator_cpu: f64,
}

/// Everything that answers.
pub(crate) struct Answerers<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) engine: QueryEngine,
    /// `None` where DuckDB for Python is not there.
    pub(crate) duckdb: Option<[DuckDb; 2]>,
    pub(crate) postgres: PgConnection,
}

impl Leg {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::EngineAnew => "engine anew",
            Self::DuckDb => "DuckDB",
            Self::DuckDbOnS3 => "DuckDB on S3",
            Self::Postgres => "Postgres",
        }
    }
}

impl Answerers<'_> {
    /// Runs a query one way; `None` if that way is not there.
    pub(crate) async fn take(&mut self, leg: Leg, query: &Query) -> Option<(Taken, Rows)> {
        let this = i32::try_from(std::process::id()).expect("process ids are small");
        // As between two queries of the function: what is opened then is no part of the next leg.
        self.engine.until_a_sandbox_waits().await;
        let anew = anew(&self.engine).await;
        let clocks = |stage: &Stage| (cpu_of_tree(this), stage.postgres_cpu(), stage.emulator_cpu());
        let (before, began) = (clocks(self.stage), Instant::now());
        let rows = match (leg, &mut self.duckdb) {
            (Leg::Engine, _) => text_of(&answer(&self.engine, query).await),
            (Leg::EngineAnew, _) => text_of(&answer(&anew, query).await),
            (Leg::DuckDb, Some([local, _])) => local.ask(&query.for_duckdb()).await,
            (Leg::DuckDbOnS3, Some([_, on_s3])) => on_s3.ask(&query.for_duckdb()).await,
            (Leg::DuckDb | Leg::DuckDbOnS3, None) => return None,
            (Leg::Postgres, _) => ask_postgres(&mut self.postgres, query).await,
        };
        let (seconds, after) = (began.elapsed().as_secs_f64(), clocks(self.stage));
        let taken = Taken {
            seconds,
            client_cpu: after.0 - before.0,
            postgres_cpu: after.1 - before.1,
            emulator_cpu: after.2 - before.2,
        };
        Some((taken, rows))
    }
}

/// An engine that has read none of cold storage; its sandbox waits too.
pub(crate) async fn anew(engine: &QueryEngine) -> QueryEngine {
    let (cold, waiting) = (ColdServer::keeping(COLD_BYTES), WaitingSandbox::default());
    let engine = QueryEngine { cold, waiting, ..engine.clone() };
    engine.keep_a_sandbox_waiting(TIMEOUT).await;
    engine.until_a_sandbox_waits().await;
    engine
}

/// The engine's answer.
pub(crate) async fn answer(engine: &QueryEngine, query: &Query) -> QueryAnswer {
    let request = QueryRequest::new(query.for_duckdb(), TIMEOUT);
    engine.run(request).await.unwrap_or_else(|error| panic!("{}: {error:?}", query.name))
}

fn text_of(answer: &QueryAnswer) -> Rows {
    let mut rows = Rows::new();
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            let cell = |column: &ArrayRef| array_value_to_string(column, row).expect("it is a type of the sandbox's");
            rows.push(batch.columns().iter().map(cell).collect());
        }
    }
    rows
}

/// In the protocol in which Postgres itself writes values as text.
async fn ask_postgres(conn: &mut PgConnection, query: &Query) -> Rows {
    let rows: Vec<PgRow> =
        sqlx::raw_sql(AssertSqlSafe(query.for_postgres())).fetch_all(conn).await.expect("Postgres answers");
    let cell = |row: &PgRow, column: usize| {
        let value = row.try_get_raw(column).expect("the column is there");
        if value.is_null() {
            return String::new();
        }
        let text = value.as_str().expect("values are text");
        text.strip_prefix("\\x").unwrap_or(text).to_owned()
    };
    rows.iter().map(|row| (0..row.len()).map(|column| cell(row, column)).collect()).collect()
}
