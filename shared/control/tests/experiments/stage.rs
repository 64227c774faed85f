//! A database with jobs, and short ways to run plain SQL in it.

use isotherm_control::{jobs, pipeline};
use isotherm_lab::postgres::TestDatabase;
use sqlx::{AssertSqlSafe, PgConnection};

pub(crate) struct Stage {
    database: TestDatabase,
    pub(crate) conn: PgConnection,
}

impl Stage {
    /// A fresh database with the pipeline `jobs` applied.
    pub(crate) async fn new(yaml: &str) -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let mut conn = database.connect().await.unwrap();
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        let pipeline = pipeline::parse(yaml).unwrap_or_else(|error| panic!("{error}"));
        pipeline::apply(&mut conn, org, &pipeline, "lab").await.unwrap();
        Self { database, conn }
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        self.database.connect().await.unwrap()
    }

    /// Runs statements of the experiment's own.
    pub(crate) async fn run(&mut self, statements: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(statements.into())).execute(&mut self.conn).await.unwrap();
    }

    pub(crate) async fn count(&mut self, query: &'static str) -> i64 {
        count(&mut self.conn, query).await
    }
}

pub(crate) async fn count(conn: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(conn).await.unwrap()
}
