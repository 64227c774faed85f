//! What a sandbox may hold: the real program, killed by its parent, refused by the system, or let be.

#[path = "support/limits.rs"]
mod limits;
#[path = "support/sandbox_program.rs"]
mod sandbox_program;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use isotherm_query::sandbox_process::{HandedOn, SandboxProcess, Step, StepError};
use isotherm_query::{QueryError, RowSink, SandboxMemory};
use isotherm_types::sandbox::{FailureReason, Limits, RelationColumn, Request, Response, Spill};
use limits::limits;

/// Texts of 700 MB at a time, four times over, of which DuckDB counts nothing.
const UNCOUNTED: &str = "select max(length(repeat(repeat('x', 100000), 3 + (i % 2)::integer))) from range(8192) t(i)";

/// Limits that nothing here comes near, with a DuckDB of 128 MiB.
const WIDE: SandboxMemory = SandboxMemory {
    duckdb_bytes: 128 << 20,
    resident_bytes: 16 << 30,
    writable_bytes: 16 << 30,
    address_space_bytes: 32 << 30,
};

async fn open(memory: SandboxMemory, spill: Option<Spill>) -> SandboxProcess {
    let mut sandbox = SandboxProcess::start(&sandbox_program::path(), memory.resident_bytes).unwrap();
    let limits = Limits {
        writable_bytes: memory.writable_bytes,
        address_space_bytes: memory.address_space_bytes,
        cpu_seconds: 600,
        spill,
        ..limits(memory.duckdb_bytes)
    };
    let opened = sandbox.ask(&Request::Open(limits)).await;
    assert!(matches!(opened, Ok(Response::Opened { .. })), "{opened:?}");
    sandbox
}

/// The first value of what comes.
#[derive(Default)]
struct First(Option<i64>);

impl RowSink for First {
    fn begin(&mut self, _: &[RelationColumn], _: &SchemaRef) -> Result<(), QueryError> {
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        self.0 = self.0.or_else(|| batch.column(0).as_primitive::<Int64Type>().values().first().copied());
        Ok(())
    }
}

async fn run(sandbox: &mut SandboxProcess, sql: &str, first: &mut First) -> Step<HandedOn> {
    let parsed = sandbox.ask(&Request::Parse { sql: sql.to_owned() }).await?;
    let Response::Parsed { tree } = parsed else { panic!("{parsed:?}") };
    sandbox.ask(&Request::Prepare { sources: vec![] }).await?;
    sandbox.run(&Request::Run { tree, max_rows: 10, max_bytes: 1 << 20, timeout_ms: 120_000 }, first).await
}

#[tokio::test]
async fn a_sandbox_that_holds_too_much_is_killed_and_its_asker_told() {
    let mut sandbox = open(SandboxMemory { resident_bytes: 320 << 20, ..WIDE }, None).await;
    let outcome = run(&mut sandbox, UNCOUNTED, &mut First::default()).await;
    let Err(StepError::Broken(QueryError::OutOfMemory { message })) = outcome else { panic!("{outcome:?}") };
    assert!(message.starts_with("its process held ") && message.contains("more than the 320 that it may"), "{message}");
    assert!(message.contains("bound block_number"), "{message}");
}

#[tokio::test]
async fn what_duckdb_does_not_count_is_refused_by_the_system() {
    let mut sandbox = open(SandboxMemory { writable_bytes: 320 << 20, ..WIDE }, None).await;
    let outcome = run(&mut sandbox, UNCOUNTED, &mut First::default()).await;
    let Err(StepError::Failure(failure)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.reason, FailureReason::OutOfMemory, "{failure:?}");
}

#[tokio::test]
async fn a_sandbox_that_dies_of_want_of_memory_is_told_as_such() {
    let mut sandbox = open(SandboxMemory { writable_bytes: 240 << 20, ..WIDE }, None).await;
    let prepared = sandbox.ask(&Request::Prepare { sources: vec![] }).await;
    assert!(matches!(prepared, Ok(Response::Prepared {})), "{prepared:?}");
    // There is no room for a frame of this length, and a Rust program aborts then.
    let error = sandbox.send_rows("blocks", &vec![0u8; 240 << 20]).await.unwrap_err();
    let QueryError::OutOfMemory { message } = error else { panic!("{error:?}") };
    assert!(message.starts_with("its process got no more"), "{message}");
}

#[tokio::test]
async fn a_query_that_fills_duckdbs_memory_is_let_be() {
    let folder = tempfile::tempdir().unwrap();
    let spill = Spill { folder: folder.path().display().to_string(), bytes: 1 << 30 };
    let mut sandbox = open(SandboxMemory::around(64 << 20), Some(spill)).await;
    let sql = "select count(distinct i::varchar || 'xxxxxxxxxxxxxxxxxxxx') from range(3000000) t(i)";
    let mut first = First::default();
    let outcome = run(&mut sandbox, sql, &mut first).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(first.0, Some(3_000_000));
}
