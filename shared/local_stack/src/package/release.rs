//! What goes to AWS: a code zip for each function, and for each operator the folder that its image is made of.
//!
//! It takes programs of a release build as they are. It must never let through what would not run there: each file is
//! looked at ([`LocalStackError::Unportable`]), each function's size and each operator's recipe.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::archive::{self, Compression};
use super::recipe::Recipe;
use super::{CodeZip, Entry, Sources, bundled, entries, portable, read};
use crate::error::LocalStackError;
use crate::stack_file::{Function, Operator};

/// Most that the files of a function may have together. Source: Lambda quotas, deployment package, unzipped: 250 MB.
pub const MOST_UNZIPPED_BYTES: u64 = 250 << 20;

/// Largest zip that a call of Lambda takes itself; larger ones go through a bucket. Source: Lambda quotas: 50 MB zipped.
pub const MOST_DIRECT_BYTES: u64 = 50 << 20;

/// Name of the recipe in an operator's folder and in its image's context.
pub const RECIPE: &str = "Dockerfile";

/// A function's code as it goes to AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedFunction {
    /// The zip.
    pub zip: CodeZip,
    /// What its files have together.
    pub unzipped_bytes: u64,
}

impl ReleasedFunction {
    /// Whether a call of Lambda takes the zip itself.
    pub fn is_direct(&self) -> bool {
        self.zip.bytes.len() as u64 <= MOST_DIRECT_BYTES
    }
}

/// A file of an image's context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextFile {
    /// Its name in the context.
    pub name: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
}

/// Makes the code zip of the function `key`, which may not name any of the folders `hidden`.
///
/// # Errors
/// [`LocalStackError::FileMissing`] for what was not built or fetched, [`LocalStackError::Unportable`],
/// [`LocalStackError::TooLarge`]; else what the file system reports.
pub fn function(
    key: &str,
    function: &Function,
    sources: &Sources,
    hidden: &[PathBuf],
) -> Result<ReleasedFunction, LocalStackError> {
    let entries = entries(key, function, sources);
    let unzipped_bytes = entries.iter().map(size_bytes).sum::<Result<u64, _>>()?;
    if unzipped_bytes > MOST_UNZIPPED_BYTES {
        let (size_bytes, most_bytes) = (unzipped_bytes, MOST_UNZIPPED_BYTES);
        return Err(LocalStackError::TooLarge { key: key.to_owned(), size_bytes, most_bytes });
    }
    let zip = archive::zip(key, entries, Compression::Deflate, |entry| checked(entry, hidden))?;
    Ok(ReleasedFunction { zip, unzipped_bytes })
}

/// Puts the context of the image of the operator `key` into `folder`, which is made: the recipe and what it copies.
///
/// # Errors
/// [`LocalStackError::Recipe`] if the recipe does not copy exactly these files or has another fault, before anything is
/// written; [`LocalStackError::FileMissing`], [`LocalStackError::Unportable`]; else what the file system reports.
pub fn image(
    key: &str,
    operator: &Operator,
    recipe: &Path,
    sources: &Sources,
    hidden: &[PathBuf],
    folder: &Path,
) -> Result<Vec<ContextFile>, LocalStackError> {
    image_of(&context(key, operator, sources), recipe, hidden, folder)
}

/// As [`image`], of the errand `key`: the recipe and the errand itself.
///
/// # Errors
/// As [`image`].
pub fn errand_image(
    key: &str,
    recipe: &Path,
    sources: &Sources,
    hidden: &[PathBuf],
    folder: &Path,
) -> Result<Vec<ContextFile>, LocalStackError> {
    let path = sources.programs.join(format!("operator-{key}"));
    image_of(&[Entry { name: "errand".to_owned(), path, is_program: true }], recipe, hidden, folder)
}

fn image_of(
    entries: &[Entry],
    recipe: &Path,
    hidden: &[PathBuf],
    folder: &Path,
) -> Result<Vec<ContextFile>, LocalStackError> {
    let text = read(recipe)?;
    let faulty = |faults| LocalStackError::Recipe { path: recipe.to_path_buf(), faults };
    let parsed = Recipe::parse(&String::from_utf8_lossy(&text)).map_err(faulty)?;
    let faults = parsed.faults(entries.iter().map(|entry| entry.name.as_str()));
    if !faults.is_empty() {
        return Err(faulty(faults.join("; ")));
    }
    let mut files = vec![put(folder, RECIPE, &text, false)?];
    for entry in entries {
        files.push(put(folder, &entry.name, &checked(entry, hidden)?, entry.is_program)?);
    }
    Ok(files)
}

/// The worker, the operator and the operator's bundle.
fn context(key: &str, operator: &Operator, sources: &Sources) -> Vec<Entry> {
    let program = |name: &str, built: String| Entry {
        name: name.to_owned(),
        path: sources.programs.join(built),
        is_program: true,
    };
    let own = [program("worker", "operator-worker".to_owned()), program("operator", format!("operator-{key}"))];
    own.into_iter().chain(operator.bundle.iter().map(|name| bundled(name, sources))).collect()
}

fn size_bytes(entry: &Entry) -> Result<u64, LocalStackError> {
    let found = std::fs::metadata(&entry.path).map(|metadata| metadata.len());
    found.map_err(|source| match source.kind() {
        ErrorKind::NotFound => LocalStackError::FileMissing { path: entry.path.clone() },
        _ => LocalStackError::io("look at", &entry.path)(source),
    })
}

fn checked(entry: &Entry, hidden: &[PathBuf]) -> Result<Vec<u8>, LocalStackError> {
    let bytes = read(&entry.path)?;
    let faults = portable::faults(&bytes, hidden);
    if faults.is_empty() {
        Ok(bytes)
    } else {
        Err(LocalStackError::Unportable { path: entry.path.clone(), faults: faults.join("; ") })
    }
}

fn put(folder: &Path, name: &str, bytes: &[u8], is_program: bool) -> Result<ContextFile, LocalStackError> {
    let path = folder.join(name);
    let parent = path.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).map_err(LocalStackError::io("create", parent))?;
    std::fs::write(&path, bytes).map_err(LocalStackError::io("write", &path))?;
    let mode = Permissions::from_mode(if is_program { 0o755 } else { 0o644 });
    std::fs::set_permissions(&path, mode).map_err(LocalStackError::io("change the mode of", &path))?;
    Ok(ContextFile { name: name.to_owned(), size_bytes: bytes.len() as u64, sha256: Sha256::digest(bytes).into() })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::Stack;

    struct Scene {
        folder: tempfile::TempDir,
        stack: Stack,
        sources: Sources,
    }

    impl Scene {
        /// The real stack file, with a file of its own name's bytes in place of each program and library.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let stack = Stack::parse(include_str!("../../../../terraform/stack.yaml"), "stack.yaml").unwrap();
            let sources = Sources { programs: folder.path().join("programs"), duckdb: folder.path().join("duckdb") };
            let functions = stack.functions.keys().map(|key| format!("programs/lambda-{key}"));
            let operators = stack.operators.keys().chain(stack.errands.keys());
            let operators = operators.map(|key| format!("programs/operator-{key}"));
            let others = [
                "programs/operator-worker",
                "programs/isotherm-sql-sandbox",
                "duckdb/lib/libduckdb.so",
                "duckdb/extensions/httpfs.duckdb_extension",
            ];
            for name in functions.chain(operators).chain(others.map(str::to_owned)) {
                put(folder.path(), &name, name.as_bytes(), false).unwrap();
            }
            Self { folder, stack, sources }
        }

        fn function(&self, key: &str) -> Result<ReleasedFunction, LocalStackError> {
            function(key, &self.stack.functions[key], &self.sources, &[PathBuf::from("/home/ana")])
        }

        fn image(&self, key: &str) -> Result<Vec<ContextFile>, LocalStackError> {
            let operators = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fargate-operators");
            self.image_of(key, &operators.join(key).join(RECIPE))
        }

        fn image_of(&self, key: &str, recipe: &Path) -> Result<Vec<ContextFile>, LocalStackError> {
            let folder = self.folder.path().join("images").join(key);
            image(key, &self.stack.operators[key], recipe, &self.sources, &[PathBuf::from("/home/ana")], &folder)
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            put(self.folder.path(), name, bytes, false).unwrap();
        }
    }

    fn names(files: &[ContextFile]) -> Vec<&str> {
        files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn a_functions_zip_has_what_the_local_stacks_has() {
        let scene = Scene::new();
        let released = scene.function("query").unwrap();
        let local = super::super::code_zip("query", &scene.stack.functions["query"], &scene.sources).unwrap();
        let files = |zip: &CodeZip| {
            let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zip.bytes.clone())).unwrap();
            (0..archive.len())
                .map(|index| {
                    let mut file = archive.by_index(index).unwrap();
                    let mut text = String::new();
                    std::io::Read::read_to_string(&mut file, &mut text).unwrap();
                    (file.name().unwrap().into_owned(), file.unix_mode(), text)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(files(&released.zip), files(&local));
        let bytes: usize = files(&local).iter().map(|(_, _, text)| text.len()).sum();
        assert_eq!(released.unzipped_bytes, bytes as u64);
        assert!(released.is_direct());
    }

    #[test]
    fn every_operators_recipe_copies_exactly_what_belongs_to_it() {
        let scene = Scene::new();
        assert!(scene.stack.operators.len() >= 6);
        for (key, operator) in &scene.stack.operators {
            let files = scene.image(key).unwrap();
            let bundle = operator.bundle.iter().map(String::as_str);
            let expected: Vec<&str> = [RECIPE, "worker", "operator"].into_iter().chain(bundle).collect();
            assert_eq!(names(&files), expected);
            let folder = scene.folder.path().join("images").join(key);
            for file in &files {
                let path = folder.join(&file.name);
                let is_program = !file.name.contains('/') && file.name != RECIPE;
                let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, if is_program { 0o755 } else { 0o644 }, "{}", path.display());
            }
            let operator = std::fs::read_to_string(folder.join("operator")).unwrap();
            assert_eq!(operator, format!("programs/operator-{key}"));
        }
    }

    #[test]
    fn an_errand_is_the_one_program_of_its_image() {
        let scene = Scene::new();
        let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fargate-operators");
        for key in scene.stack.errands.keys() {
            let folder = scene.folder.path().join("images").join(key);
            let files = errand_image(key, &recipes.join(key).join(RECIPE), &scene.sources, &[], &folder).unwrap();
            assert_eq!(names(&files), [RECIPE, "errand"]);
            let program = std::fs::read_to_string(folder.join("errand")).unwrap();
            assert_eq!(program, format!("programs/operator-{key}"));
        }
        let of_operator = recipes.join("noop").join(RECIPE);
        let error = errand_image("migrate", &of_operator, &scene.sources, &[], scene.folder.path()).unwrap_err();
        assert!(error.to_string().contains("the entry point must be [\"/app/errand\"]"), "{error}");
    }

    #[test]
    fn a_recipe_that_forgets_a_file_makes_no_image() {
        let scene = Scene::new();
        let short = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fargate-operators/noop").join(RECIPE);
        let error = scene.image_of("duckdb_query", &short).unwrap_err();
        assert!(matches!(error, LocalStackError::Recipe { .. }), "{error}");
        assert!(error.to_string().contains("isotherm-sql-sandbox is not copied"), "{error}");
        assert!(!scene.folder.path().join("images").exists(), "nothing was written");
    }

    #[test]
    fn a_program_with_a_folder_of_this_machine_in_it_is_not_released() {
        let scene = Scene::new();
        scene.write("programs/lambda-reaper", b"\0/home/ana/isotherm/shared/a.rs");
        let error = scene.function("reaper").unwrap_err();
        assert!(matches!(error, LocalStackError::Unportable { .. }), "{error}");
        assert!(error.to_string().contains("/home/ana"), "{error}");
        scene.write("programs/operator-noop", b"\0GLIBC_2.39\0");
        let error = scene.image("noop").unwrap_err();
        assert!(error.to_string().contains("GLIBC_2.39"), "{error}");
    }

    #[test]
    fn a_function_that_lambda_would_refuse_is_not_released() {
        let scene = Scene::new();
        // A hole: nothing is on the disk.
        let library = File::options().write(true).open(scene.sources.duckdb.join("lib/libduckdb.so")).unwrap();
        library.set_len(MOST_UNZIPPED_BYTES).unwrap();
        let error = scene.function("query").unwrap_err();
        assert!(matches!(error, LocalStackError::TooLarge { .. }), "{error}");
    }
}
