//! A YAML file that a person wrote: read up to a length, its faults told in the form that editors jump to.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

/// Reads the file; of one that is longer than `max_bytes`, a byte more than that, so that its reader sees it.
pub(crate) fn read(path: &Path, max_bytes: usize) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(max_bytes as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("could not read {}", path.display()))?;
    Ok(bytes)
}

/// Prints a fault at a line and a column.
pub(crate) fn print_fault(path: &Path, line: usize, column: usize, message: &str) {
    eprintln!("{}:{line}:{column}: {message}", path.display());
}

/// The exit code of a file with faults.
pub(crate) const REFUSED: ExitCode = ExitCode::FAILURE;
