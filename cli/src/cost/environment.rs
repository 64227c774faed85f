//! What an environment is made of: `terraform/environments/<name>/figures.yaml`, which Terraform reads too.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::connected::unknown;

/// The figures that cost depends on; the file has more.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Figures {
    pub(crate) network: Network,
    pub(crate) database: Database,
    pub(crate) scratch_gb: u32,
    pub(crate) log_retention_days: u32,
    pub(crate) monthly_budget_usd: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Network {
    pub(crate) mode: Mode,
    pub(crate) zones: u32,
}

/// How one gets out, and to AWS services; docs/adr/0031-one-way-out.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// One NAT gateway.
    Lean,
    /// Interface endpoints, and a firewall in each zone.
    Full,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Database {
    pub(crate) instance_class: String,
    pub(crate) storage_gb: u32,
    pub(crate) storage_limit_gb: u32,
    pub(crate) multi_az: bool,
}

impl Database {
    /// Instances that are paid for.
    pub(crate) fn copies(&self) -> f64 {
        if self.multi_az { 2.0 } else { 1.0 }
    }
}

/// Reads the figures of the environment `name` below `root`.
pub(crate) fn read(root: &Path, name: &str) -> anyhow::Result<Figures> {
    let folder = root.join("terraform/environments");
    let mut there = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("could not list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("could not list {}", folder.display()))?;
        if entry.path().join("figures.yaml").is_file() {
            there.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    there.sort();
    if !there.iter().any(|found| found == name) {
        return Err(unknown("environment", name, &there));
    }
    let path = folder.join(name).join("figures.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    serde_yaml_ng::from_str(&text).with_context(|| format!("could not read {}", path.display()))
}
