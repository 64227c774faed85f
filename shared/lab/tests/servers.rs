//! Each server starts, works, and leaves neither a process nor a folder behind.

use std::path::{Path, PathBuf};

use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::folder::memory_scratch;
use isotherm_lab::ministack::{Ministack, MinistackOptions};
use isotherm_lab::postgres::{Data, Postgres, StartOptions, TestDatabase};
use isotherm_lab::process::{Process, eventually};
use sqlx::Connection;

/// What must be gone after the end.
struct Traces {
    pids: Vec<i32>,
    folder: PathBuf,
}

impl Traces {
    fn of(process: &Process) -> Self {
        let guardian = i32::try_from(process.guardian_pid()).unwrap();
        Self { pids: vec![process.pid().as_raw(), guardian], folder: process.folder().to_path_buf() }
    }

    fn remain(&self) -> bool {
        self.folder.exists() || self.pids.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists())
    }
}

#[tokio::test]
async fn postgres_serves_databases_and_leaves_nothing_behind() {
    let server = Postgres::start(StartOptions::default()).await.unwrap();
    server.create_database("first").await.unwrap();
    server.create_database("first").await.unwrap();
    let mut conn = sqlx::PgConnection::connect(&server.database_url("first")).await.unwrap();
    let answer: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut conn).await.unwrap();
    assert_eq!(answer, 1);
    let traces = Traces::of(server.process());
    assert!(traces.remain());
    drop(server);
    assert!(!traces.remain());
}

#[tokio::test]
async fn postgres_refuses_a_database_name_that_needs_quoting() {
    let server = isotherm_lab::postgres::shared().await.unwrap();
    assert!(server.create_database("a\"; DROP DATABASE postgres; --").await.is_err());
}

#[tokio::test]
async fn durable_postgres_keeps_its_data_and_wants_its_password() {
    let scratch = memory_scratch().unwrap_or_else(std::env::temp_dir);
    let home = tempfile::tempdir_in(scratch).unwrap();
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let options = || StartOptions { data: Data::Durable(home.path().join("postgres")), ..StartOptions::default() };
    let server = Postgres::start(options()).await.unwrap();
    server.create_database("kept").await.unwrap();
    let url = server.database_url("kept");
    let mut conn = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE notes AS SELECT 7 AS number").execute(&mut conn).await.unwrap();
    let wrong = url.replace("@", "x@");
    assert!(sqlx::PgConnection::connect(&wrong).await.is_err());
    drop(server);

    let server = Postgres::start(options()).await.unwrap();
    let mut conn = sqlx::PgConnection::connect(&server.database_url("kept")).await.unwrap();
    let number: i32 = sqlx::query_scalar("SELECT number FROM notes").fetch_one(&mut conn).await.unwrap();
    assert_eq!(number, 7);
}

#[tokio::test]
async fn test_databases_do_not_see_each_other() {
    let first = TestDatabase::empty().await.unwrap();
    let second = TestDatabase::empty().await.unwrap();
    let mut conn = first.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE only_here (id int)").execute(&mut conn).await.unwrap();
    let mut conn = second.connect().await.unwrap();
    assert!(sqlx::raw_sql("SELECT * FROM only_here").execute(&mut conn).await.is_err());
}

#[tokio::test]
async fn ministack_answers_and_leaves_nothing_behind() {
    let server = Ministack::start(MinistackOptions::default()).await.unwrap();
    assert!(server.is_healthy().await);
    server.inspect("/_ministack/ses/messages").await.unwrap();
    let traces = Traces::of(server.process());
    drop(server);
    assert!(!traces.remain());
}

#[tokio::test]
async fn ministack_with_a_state_folder_keeps_its_objects() {
    let home = tempfile::tempdir().unwrap();
    let options = || MinistackOptions { state: Some(home.path().join("aws")), ..MinistackOptions::default() };
    let http = reqwest::Client::new();
    let server = Ministack::start(options()).await.unwrap();
    for (path, body) in [("kept", ""), ("kept/key", "content")] {
        let url = format!("{}/{path}", server.endpoint_url());
        http.put(url).body(body).send().await.unwrap().error_for_status().unwrap();
    }
    drop(server);
    let server = Ministack::start(options()).await.unwrap();
    let object = http.get(format!("{}/kept/key", server.endpoint_url())).send().await.unwrap();
    assert_eq!(object.text().await.unwrap(), "content");
}

#[tokio::test]
async fn anvil_mines_when_told_and_leaves_nothing_behind() {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    chain.mine(3).await.unwrap();
    assert_eq!(chain.block_number().await.unwrap(), 3);
    let traces = Traces::of(chain.process());
    drop(chain);
    assert!(!traces.remain());
}

#[tokio::test]
async fn anvil_mines_by_itself_at_its_block_time() {
    let block_time = std::time::Duration::from_millis(50);
    let chain = Anvil::start(AnvilOptions { block_time: Some(block_time), ..AnvilOptions::default() }).await.unwrap();
    eventually("block 3", async || chain.block_number().await.unwrap() >= 3).await.unwrap();
}

#[tokio::test]
async fn reorg_rollback_and_snapshot_change_the_chain() {
    let chain = Anvil::start(AnvilOptions::deterministic()).await.unwrap();
    let hash = async |number: u64| {
        let number = format!("{number:#x}");
        chain.call("eth_getBlockByNumber", serde_json::json!([number, false])).await.unwrap()["hash"].clone()
    };
    chain.mine(5).await.unwrap();
    let before = (hash(3).await, hash(4).await);
    chain.reorg(2, &[]).await.unwrap();
    assert_eq!(chain.block_number().await.unwrap(), 5);
    assert_eq!(hash(3).await, before.0);
    assert_ne!(hash(4).await, before.1);
    chain.rollback(2).await.unwrap();
    assert_eq!(chain.block_number().await.unwrap(), 3);
    let snapshot = chain.snapshot().await.unwrap();
    chain.mine(2).await.unwrap();
    chain.revert(snapshot).await.unwrap();
    assert_eq!(chain.block_number().await.unwrap(), 3);
}

#[tokio::test]
async fn migrated_database_has_every_migration_of_the_repository() {
    let folder = isotherm_lab::tools::repository_root().unwrap().join("migrations");
    let files = std::fs::read_dir(folder).unwrap();
    let expected =
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "sql")).count();
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let applied: i64 =
        sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success").fetch_one(&mut conn).await.unwrap();
    assert_eq!(usize::try_from(applied).unwrap(), expected);
}

#[tokio::test]
async fn what_a_server_writes_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Ministack::start(MinistackOptions::default()).await.unwrap();
    let log = server.process().folder().join("ministack.stderr");
    let mode = std::fs::metadata(log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
}
