//! `duckdb_query`, started by the worker: a task on standard input, its result on standard output.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    isotherm_platform::operator_main::run("duckdb_query", operator_duckdb_query::run).await
}
