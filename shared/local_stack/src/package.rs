//! Code zips of functions and what lies beside an operator in its image, made from built programs.
//!
//! Here for one machine: programs are stripped of debug symbols on a copy, which takes most of a debug build's size away,
//! and zips are not compressed, since nothing is carried anywhere. [`release`] makes what is carried to AWS, by the same
//! writer. Same files, same bytes, in both. The build folder is never written to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::error::LocalStackError;
use crate::stack_file::{Function, Stack};

mod archive;
mod portable;
pub mod recipe;
pub mod release;

use archive::Compression;

/// Where programs and libraries are.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Folder of the built programs, such as `target/debug`.
    pub programs: PathBuf,
    /// Folder that holds `lib/libduckdb.so` and `extensions/`.
    pub duckdb: PathBuf,
}

/// A code zip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeZip {
    /// The zip.
    pub bytes: Vec<u8>,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
}

/// A file for a zip or an image.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    path: PathBuf,
    is_program: bool,
}

/// Makes the code zip of the function `key`.
///
/// # Errors
/// [`LocalStackError::FileMissing`] for a program that was not built; else what the file system reports.
pub fn code_zip(key: &str, function: &Function, sources: &Sources) -> Result<CodeZip, LocalStackError> {
    archive::zip(key, entries(key, function, sources), Compression::None, |entry| {
        if entry.is_program { stripped(&entry.path) } else { read(&entry.path) }
    })
}

/// Makes a folder in `folder` for each operator that has a bundle, with links to what belongs there; returns them by
/// operator. What is there of a run before is replaced.
///
/// # Errors
/// [`LocalStackError::FileMissing`] for what was not built or fetched; else what the file system reports.
pub fn operator_bundles(
    stack: &Stack,
    sources: &Sources,
    folder: &Path,
) -> Result<BTreeMap<String, PathBuf>, LocalStackError> {
    let mut bundles = BTreeMap::new();
    for (key, operator) in stack.operators.iter().filter(|(_, operator)| !operator.bundle.is_empty()) {
        let bundle = folder.join(key);
        for entry in operator.bundle.iter().map(|name| bundled(name, sources)) {
            link(&entry, &bundle)?;
        }
        bundles.insert(key.clone(), bundle);
    }
    Ok(bundles)
}

fn link(entry: &Entry, bundle: &Path) -> Result<(), LocalStackError> {
    let missing = |_error| LocalStackError::FileMissing { path: entry.path.clone() };
    let target = entry.path.canonicalize().map_err(missing)?;
    let link = bundle.join(&entry.name);
    let parent = link.parent().unwrap_or(bundle);
    std::fs::create_dir_all(parent).map_err(LocalStackError::io("create", parent))?;
    // Nothing to remove the first time.
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(&target, &link).map_err(LocalStackError::io("create", &link))
}

/// `bootstrap` and the function's bundle.
fn entries(key: &str, function: &Function, sources: &Sources) -> Vec<Entry> {
    let bootstrap = sources.programs.join(format!("lambda-{key}"));
    let mut entries = vec![Entry { name: "bootstrap".to_owned(), path: bootstrap, is_program: true }];
    entries.extend(function.bundle.iter().map(|name| bundled(name, sources)));
    entries
}

/// A program, or a file of DuckDB: those lie in folders.
fn bundled(name: &str, sources: &Sources) -> Entry {
    let is_program = !name.contains('/');
    let folder = if is_program { &sources.programs } else { &sources.duckdb };
    Entry { name: name.to_owned(), path: folder.join(name), is_program }
}

fn read(path: &Path) -> Result<Vec<u8>, LocalStackError> {
    std::fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => LocalStackError::FileMissing { path: path.to_path_buf() },
        _ => LocalStackError::io("read", path)(source),
    })
}

/// The program without debug symbols; as it is where `strip` is missing or does not know the format.
fn stripped(path: &Path) -> Result<Vec<u8>, LocalStackError> {
    if !path.exists() {
        return Err(LocalStackError::FileMissing { path: path.to_path_buf() });
    }
    let copy = std::env::temp_dir().join(format!("isotherm-strip-{}-{}", std::process::id(), unique_name(path)));
    let done = Command::new("strip")
        .args(["--strip-debug", "-o"])
        .args([&copy, path])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let bytes = if done { read(&copy) } else { read(path) };
    // Nothing to remove where `strip` could not run.
    let _ = std::fs::remove_file(&copy);
    bytes
}

/// A file name that no other path has.
fn unique_name(path: &Path) -> String {
    hex::encode(Sha256::digest(path.as_os_str().as_encoded_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A build folder with fake programs; returns the stack and the sources.
    fn fixture(folder: &Path) -> (Stack, Sources) {
        let stack = Stack::parse(include_str!("../../../terraform/stack.yaml"), "stack.yaml").unwrap();
        let sources = Sources { programs: folder.join("programs"), duckdb: folder.join("duckdb") };
        for path in [
            "programs/lambda-query",
            "programs/isotherm-sql-sandbox",
            "duckdb/lib/libduckdb.so",
            "duckdb/extensions/httpfs.duckdb_extension",
        ] {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
        }
        (stack, sources)
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (stack, sources) = fixture(folder.path());
        let first = code_zip("query", &stack.functions["query"], &sources).unwrap();
        // A new time stamp must not show.
        let program = sources.programs.join("lambda-query");
        let times = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        std::fs::File::options().write(true).open(&program).unwrap().set_times(times).unwrap();
        assert_eq!(code_zip("query", &stack.functions["query"], &sources).unwrap(), first);
        std::fs::write(&program, "other").unwrap();
        assert_ne!(code_zip("query", &stack.functions["query"], &sources).unwrap().sha256, first.sha256);
    }

    #[test]
    fn the_bundle_lies_beside_the_bootstrap() {
        let folder = tempfile::tempdir().unwrap();
        let (stack, sources) = fixture(folder.path());
        let made = code_zip("query", &stack.functions["query"], &sources).unwrap();
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(made.bytes)).unwrap();
        let mut found = Vec::new();
        for i in 0..archive.len() {
            let file = archive.by_index(i).unwrap();
            found.push((file.name().unwrap().into_owned(), file.unix_mode().unwrap() & 0o777));
        }
        assert_eq!(
            found,
            [
                ("bootstrap".to_owned(), 0o755),
                ("extensions/httpfs.duckdb_extension".to_owned(), 0o644),
                ("isotherm-sql-sandbox".to_owned(), 0o755),
                ("lib/libduckdb.so".to_owned(), 0o644),
            ]
        );
    }

    #[test]
    fn an_operators_bundle_is_a_folder_of_its_own_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let (stack, sources) = fixture(folder.path());
        let bundles = folder.path().join("bundles");
        for _ in 0..2 {
            let made = operator_bundles(&stack, &sources, &bundles).unwrap();
            assert_eq!(made, BTreeMap::from([("duckdb_query".to_owned(), bundles.join("duckdb_query"))]));
            for name in ["isotherm-sql-sandbox", "lib/libduckdb.so", "extensions/httpfs.duckdb_extension"] {
                let read = std::fs::read_to_string(bundles.join("duckdb_query").join(name)).unwrap();
                assert!(name.ends_with(&read), "{name}: {read}");
            }
        }
        std::fs::remove_file(sources.programs.join("isotherm-sql-sandbox")).unwrap();
        let error = operator_bundles(&stack, &sources, &bundles).unwrap_err();
        assert!(error.to_string().contains("isotherm-sql-sandbox is missing"), "{error}");
    }

    #[test]
    fn a_program_that_was_not_built_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (stack, sources) = fixture(folder.path());
        let error = code_zip("reaper", &stack.functions["reaper"], &sources).unwrap_err();
        assert!(error.to_string().contains("lambda-reaper is missing"), "{error}");
    }
}
