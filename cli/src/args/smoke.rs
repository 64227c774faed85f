//! The words of `isotherm smoke`.

use std::path::PathBuf;

use clap::Args;

use super::Printed;

#[derive(Debug, Args)]
pub(crate) struct SmokeArguments {
    /// Environment on AWS, a folder under terraform/environments; if absent, the stack that runs on this machine
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Terraform's variables, account and region among them; NAME.tfvars if absent
    #[arg(long, value_name = "FILE", requires = "env")]
    pub(crate) var_file: Option<PathBuf>,
    /// An address on the list of allowed hosts; if absent, the first of the list on AWS, and one of its own here
    #[arg(long, value_name = "URL")]
    pub(crate) allowed: Option<String>,
    /// An address that is not on the list and answers from here; if absent, that of example.com on AWS, and one of its own
    /// here
    #[arg(long, value_name = "URL")]
    pub(crate) refused: Option<String>,
    /// How long a task, a log line and a metric are waited for, each
    #[arg(long, default_value_t = 180, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout_seconds: u64,
    /// As `--output json`
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) printed: Printed,
}
