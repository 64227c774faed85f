//! `isotherm chains`: the chains that are known, built in and by a file. `isotherm up` asks here too.

use std::path::Path;
use std::process::ExitCode;

use isotherm_chain::ChainProfile;
use isotherm_chain::chain_profile::{self, MAX_FILE_BYTES};
use serde_json::json;

use crate::args::{ChainsArguments, ChainsCommand};
use crate::output::say;
use crate::{output, yaml_file};

mod known;
mod view;

pub(crate) use known::{KnownChain, KnownChains, Source};

pub(crate) fn run(arguments: &ChainsArguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        ChainsCommand::List { file, printed } => {
            let known = match known(file.as_deref())? {
                Ok(known) => known,
                Err(refused) => return Ok(refused),
            };
            let json = known.all().iter().map(view::to_json).collect();
            output::show(printed.output, &json, || view::print_list(known.all()))?;
        }
        ChainsCommand::Check { file, printed } => {
            let chains = match read(file)? {
                Ok(chains) => chains.len(),
                Err(refused) => return Ok(refused),
            };
            output::show(printed.output, &json!({ "chains": chains }), || {
                say!("{}: no fault; chains: {chains}", file.display());
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The chains that are known with `file`; if that has faults, they are printed, and the exit code is given.
pub(crate) fn known(file: Option<&Path>) -> anyhow::Result<Result<KnownChains, ExitCode>> {
    let Some(file) = file else { return Ok(Ok(KnownChains::of(Vec::new()))) };
    Ok(read(file)?.map(KnownChains::of))
}

fn read(path: &Path) -> anyhow::Result<Result<Vec<ChainProfile>, ExitCode>> {
    let bytes = yaml_file::read(path, MAX_FILE_BYTES)?;
    Ok(chain_profile::parse_bytes(&bytes).map_err(|error| {
        error.faults.iter().for_each(|fault| yaml_file::print_fault(path, fault.line, fault.column, &fault.message));
        yaml_file::REFUSED
    }))
}
