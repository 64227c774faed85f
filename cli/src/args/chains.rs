//! The words of `isotherm chains`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Printed;

#[derive(Debug, Args)]
pub(crate) struct ChainsArguments {
    #[command(subcommand)]
    pub(crate) command: ChainsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChainsCommand {
    /// The chains that are known: those of a file, and the built-in ones that it does not replace
    List {
        /// A chains file, as `isotherm up --chains` takes it; docs/operations.md explains it
        file: Option<PathBuf>,
        #[command(flatten)]
        printed: Printed,
    },
    /// Check a chains file; every fault is printed with its line and column
    Check {
        /// The chains file; docs/operations.md explains it
        file: PathBuf,
        #[command(flatten)]
        printed: Printed,
    },
}
