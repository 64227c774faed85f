//! The words of `isotherm package`, most of which `./isotherm package` fills in.

use std::path::PathBuf;

use clap::Args;

use super::Printed;

#[derive(Debug, Args)]
pub(crate) struct PackageArguments {
    /// Folder for what is made; what an earlier run made there is replaced
    #[arg(long, default_value = "dist", value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Folder of the programs
    #[arg(long, value_name = "FOLDER")]
    pub(crate) programs: PathBuf,
    /// Folder with DuckDB's `lib` and `extensions`; if absent, the pinned ones
    #[arg(long, value_name = "FOLDER")]
    pub(crate) duckdb: Option<PathBuf>,
    /// What `cargo metadata` prints of the workspace
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata: PathBuf,
    /// What `cargo tree --edges normal --prefix none` prints of it
    #[arg(long, value_name = "FILE")]
    pub(crate) tree: PathBuf,
    /// A folder of this machine that no released file may name; several times for several
    #[arg(long = "hide", value_name = "FOLDER")]
    pub(crate) hidden: Vec<PathBuf>,
    /// What the programs were built with, for the bill of materials; several times for several
    #[arg(long, value_name = "TEXT")]
    pub(crate) built_with: Vec<String>,
    #[command(flatten)]
    pub(crate) printed: Printed,
}
