//! The words of `isotherm deploy`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct DeployArguments {
    /// Environment to deploy: a folder under terraform/environments
    #[arg(long, value_name = "NAME")]
    pub(crate) env: String,
    /// Terraform's variables, account, region and release among them; NAME.tfvars if absent
    #[arg(long, value_name = "FILE")]
    pub(crate) var_file: Option<PathBuf>,
    /// Folder of what `isotherm package` makes
    #[arg(long, default_value = "dist", value_name = "FOLDER")]
    pub(crate) dist: PathBuf,
    /// Pipeline file to apply, of the organisation `default` or of ORG; several times for several organisations
    #[arg(long = "pipeline", value_name = "[ORG=]FILE")]
    pub(crate) pipelines: Vec<String>,
    /// Build and push no images: they are in their repositories already, or somebody else pushes them
    #[arg(long)]
    pub(crate) skip_images: bool,
    /// Do this step only; several times for several, done in the order of the list
    #[arg(long = "step", value_enum, value_name = "STEP")]
    pub(crate) steps: Vec<DeployStep>,
    /// Print every step and what it would do, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Have Terraform apply without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

/// A step, in the order in which they are done. Each can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum DeployStep {
    /// Build and put together what is released
    Package,
    /// Prepare Terraform, with the state's bucket of the account
    Init,
    /// Buckets, and the images' repositories
    Storage,
    /// Put the functions' zips into their bucket
    Upload,
    /// Build the images and push them
    Images,
    /// Network, database, secrets, and what runs migrations
    Base,
    /// Migrate the database, from inside the network
    Migrate,
    /// Show what Terraform would change, and keep it
    Plan,
    /// Apply it
    Apply,
    /// Apply pipeline files, from inside the network, and set their schedules
    Pipelines,
}
