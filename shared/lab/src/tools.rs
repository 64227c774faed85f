//! Finds the pinned third-party programs that `./isotherm tools` unpacks, and the repository they belong to.
//!
//! The only module of the laboratory that reads the environment. It never downloads anything.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::LabError;

/// Folder of the workspace: `ISOTHERM_ROOT`, else the nearest folder above this crate's sources, else above the
/// current folder, that holds a `Cargo.toml` with a `[workspace]`.
///
/// # Errors
/// [`LabError::NoRepositoryRoot`] if there is none.
pub fn repository_root() -> Result<PathBuf, LabError> {
    if let Some(root) = environment("ISOTHERM_ROOT") {
        return Ok(PathBuf::from(root));
    }
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    if let Some(root) = workspace_above(&sources) {
        return Ok(root);
    }
    let current = std::env::current_dir().map_err(LabError::io("find the current folder below", "."))?;
    workspace_above(&current).ok_or(LabError::NoRepositoryRoot { start: current })
}

/// Folder of the unpacked tools: `ISOTHERM_TOOLS`, else `.tools` in the repository.
///
/// # Errors
/// [`LabError::NoRepositoryRoot`] if neither is to be found.
pub fn tools_folder() -> Result<PathBuf, LabError> {
    match environment("ISOTHERM_TOOLS") {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => Ok(repository_root()?.join(".tools")),
    }
}

/// Folder with `initdb` and `postgres`.
///
/// In order: `ISOTHERM_TEST_POSTGRES_BIN` (a system's Postgres, such as `/usr/lib/postgresql/15/bin`), the `bin` of
/// `ISOTHERM_POSTGRES_DIR`, the `postgres/bin` of the tools.
///
/// # Errors
/// [`LabError::ToolMissing`] if the folder has no `postgres`.
pub fn postgres_bin() -> Result<PathBuf, LabError> {
    let bin = if let Some(bin) = environment("ISOTHERM_TEST_POSTGRES_BIN") {
        PathBuf::from(bin)
    } else if let Some(folder) = environment("ISOTHERM_POSTGRES_DIR") {
        PathBuf::from(folder).join("bin")
    } else {
        tools_folder()?.join("postgres/bin")
    };
    existing("Postgres", bin.join("postgres"))?;
    Ok(bin)
}

/// The `anvil` program: an EVM chain in one process.
///
/// # Errors
/// [`LabError::ToolMissing`] if it is not there.
pub fn anvil() -> Result<PathBuf, LabError> {
    existing("anvil", tools_folder()?.join("anvil/bin/anvil"))
}

/// The Python of the AWS emulator's virtual environment; the emulator is its module `ministack.app`.
///
/// # Errors
/// [`LabError::ToolMissing`] if it is not there.
pub fn ministack_python() -> Result<PathBuf, LabError> {
    existing("the AWS emulator (ministack)", tools_folder()?.join("ministack/bin/ministack"))?;
    existing("the AWS emulator's Python", tools_folder()?.join("ministack/bin/python"))
}

/// A Python that has DuckDB, pyarrow and pandas, as the users of cold storage have them.
///
/// # Errors
/// [`LabError::ToolMissing`] if it is not there.
pub fn readers_python() -> Result<PathBuf, LabError> {
    existing("Python with DuckDB, pyarrow and pandas", tools_folder()?.join("readers/bin/python"))
}

/// A Python that has boto3, as programs have it that invoke functions directly, and Standard Webhooks, as receivers have it.
///
/// # Errors
/// [`LabError::ToolMissing`] if it is not there.
pub fn callers_python() -> Result<PathBuf, LabError> {
    existing("Python with boto3 and Standard Webhooks", tools_folder()?.join("callers/bin/python"))
}

/// Schemathesis, which calls an HTTP API with data made from its description.
///
/// # Errors
/// [`LabError::ToolMissing`] if it is not there.
pub fn schemathesis() -> Result<PathBuf, LabError> {
    existing("Schemathesis", tools_folder()?.join("callers/bin/schemathesis"))
}

/// DuckDB's extension for reading objects over HTTP.
///
/// # Errors
/// [`LabError::ToolMissing`] if it is not there.
pub fn httpfs() -> Result<PathBuf, LabError> {
    existing("DuckDB's extension httpfs", tools_folder()?.join("duckdb/extensions/httpfs.duckdb_extension"))
}

/// DuckDB's extension for reading Postgres, with which benchmarks compare.
///
/// # Errors
/// [`LabError::ToolMissing`] if it is not there.
pub fn postgres_scanner() -> Result<PathBuf, LabError> {
    let path = tools_folder()?.join("duckdb/peers/postgres_scanner.duckdb_extension");
    existing("DuckDB's extension postgres_scanner", path)
}

fn existing(tool: &'static str, path: PathBuf) -> Result<PathBuf, LabError> {
    if path.exists() { Ok(path) } else { Err(LabError::ToolMissing { tool, path }) }
}

/// `PATH` of the caller, which the processes started here get too.
pub(crate) fn search_path() -> OsString {
    environment("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

#[expect(clippy::disallowed_methods, reason = "the laboratory is not part of the product and finds its own tools")]
pub(crate) fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn workspace_above(start: &Path) -> Option<PathBuf> {
    start
        .ancestors()
        .find(|folder| {
            std::fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|manifest| manifest.contains("[workspace]"))
        })
        .map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_root_holds_this_crate() {
        assert!(repository_root().unwrap().join("shared/lab/src/tools.rs").exists());
    }

    #[test]
    fn missing_tool_says_how_to_get_it() {
        let message = existing("anvil", PathBuf::from("/nowhere/anvil")).unwrap_err().to_string();
        assert_eq!(message, "anvil is not at /nowhere/anvil; run `./isotherm tools` to fetch it");
    }
}
