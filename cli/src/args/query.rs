//! Words of `isotherm query`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use uuid::Uuid;

use crate::query::{AsOf, Parameter};

#[derive(Debug, Args)]
pub(crate) struct QueryArguments {
    /// Statements, separated by `;`. `-` reads them from standard input; without any there is a prompt
    #[arg(value_name = "SQL", conflicts_with_all = ["file", "resume", "cancel"])]
    pub(crate) sql: Option<String>,
    /// File with the statements; `-` is standard input
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["resume", "cancel"])]
    pub(crate) file: Option<PathBuf>,
    /// Parameter of the statements: `$NAME`, or the first, second … `?` if the names are 1, 2 …; JSON, else text
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE")]
    pub(crate) parameters: Vec<Parameter>,
    /// Block that the answer is as of: a number, 0x and the block's hash, or CHAIN:NUMBER
    #[arg(long, value_name = "BLOCK")]
    pub(crate) as_of: Option<AsOf>,
    /// How answers are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// File for the answer, there once it is whole; parquet needs one
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Answer at once, as a task that may take long, or whatever fits
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub(crate) mode: Mode,
    /// Seconds after which a statement is stopped; if absent, 30, and what the server has for a batch
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout_seconds: Option<u64>,
    /// Only rows: neither progress nor the line below a table
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Wait for a query that runs as a batch, and fetch its answer
    #[arg(long, value_name = "ID", conflicts_with = "cancel")]
    pub(crate) resume: Option<Uuid>,
    /// Cancel a query that runs
    #[arg(long, value_name = "ID")]
    pub(crate) cancel: Option<Uuid>,
    /// Program that `\e` of the prompt starts
    #[arg(long, env = "EDITOR", value_name = "PROGRAM", default_value = "vi", hide_env_values = true)]
    pub(crate) editor: String,
}

/// How answers to SQL are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people
    Table,
    /// A line a value, for rows with many columns
    Expanded,
    /// The whole answer, for programs
    Json,
    /// The rows, RFC 4180 with a header
    Csv,
    /// A Parquet file
    Parquet,
}

impl Format {
    /// As it is typed.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Expanded => "expanded",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// How a query is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The server decides
    Auto,
    /// The answer comes with the call, or not at all
    Interactive,
    /// A task on its own
    Batch,
}

impl Mode {
    /// As the request has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Interactive => "interactive",
            Self::Batch => "batch",
        }
    }
}
