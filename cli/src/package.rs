//! `isotherm package`: a folder with all that goes to AWS.
//!
//! Zips of functions, contexts of operators' images, a bill of materials and the checksums of every file. The same programs
//! make the same files. It talks to nobody: what is made here is sent by who deploys.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use isotherm_lab::tools;
use isotherm_local_stack::package::Sources;
use isotherm_local_stack::package::release::{self, RECIPE};
use isotherm_local_stack::{Stack, names};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::args::PackageArguments;
use crate::output::{self, say};

mod bill;

/// Folder of the functions' zips; the bucket has one of the same name.
const FUNCTIONS: &str = "functions";
/// Folder of the images' contexts.
const IMAGES: &str = "images";
/// The bill of materials.
const BILL: &str = "bill-of-materials.cdx.json";
/// The checksums, as `sha256sum --check` reads them.
const CHECKSUMS: &str = "SHA256SUMS";

/// A file that was made.
struct Made {
    /// Its place in the folder.
    name: String,
    size_bytes: u64,
    sha256: [u8; 32],
    /// Of a function: what its zip holds.
    unzipped_bytes: Option<u64>,
    /// Of a function: whether its zip is too large for a call, and must go through a bucket.
    needs_bucket: bool,
}

pub(crate) fn run(arguments: &PackageArguments) -> anyhow::Result<ExitCode> {
    let root = tools::repository_root().context("could not find the repository")?;
    let stack = Stack::read(&root.join("terraform/stack.yaml")).context("could not read the stack file")?;
    let duckdb = match &arguments.duckdb {
        Some(folder) => folder.clone(),
        None => tools::tools_folder().context("could not find the pinned DuckDB")?.join("duckdb"),
    };
    let sources = Sources { programs: arguments.programs.clone(), duckdb };
    let out = &arguments.out;
    clear(out)?;
    let mut made = functions(&stack, &sources, arguments)?;
    made.extend(images(&stack, &sources, &root, arguments)?);
    let bill = bill_of_materials(&root, arguments)?;
    made.push(put(out, BILL, bill.as_bytes())?);
    made.sort_by(|one, other| one.name.cmp(&other.name));
    put(out, CHECKSUMS, checksums(&made).as_bytes())?;
    output::show(arguments.printed.output, &as_json(&made), || print(out, &made))?;
    Ok(ExitCode::SUCCESS)
}

/// Removes what an earlier run made, and nothing else.
fn clear(out: &Path) -> anyhow::Result<()> {
    for name in [FUNCTIONS, IMAGES] {
        let folder = out.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("could not remove {}", folder.display()))?;
        }
    }
    for name in [BILL, CHECKSUMS] {
        let file = out.join(name);
        if file.exists() {
            std::fs::remove_file(&file).with_context(|| format!("could not remove {}", file.display()))?;
        }
    }
    Ok(())
}

fn functions(stack: &Stack, sources: &Sources, arguments: &PackageArguments) -> anyhow::Result<Vec<Made>> {
    let mut made = Vec::new();
    for (key, function) in &stack.functions {
        let released = release::function(key, function, sources, &arguments.hidden)?;
        let name = format!("{FUNCTIONS}/{}.zip", names::function(key));
        let file = put(&arguments.out, &name, &released.zip.bytes)?;
        let (unzipped_bytes, needs_bucket) = (Some(released.unzipped_bytes), !released.is_direct());
        made.push(Made { unzipped_bytes, needs_bucket, ..file });
    }
    Ok(made)
}

fn images(stack: &Stack, sources: &Sources, root: &Path, arguments: &PackageArguments) -> anyhow::Result<Vec<Made>> {
    let mut made = Vec::new();
    let place = |key: &str| {
        let recipe = root.join("fargate-operators").join(key).join(RECIPE);
        let name = format!("{IMAGES}/{}", names::task_definition(key));
        (recipe, arguments.out.join(&name), name)
    };
    let mut contexts = Vec::new();
    for (key, operator) in &stack.operators {
        let (recipe, folder, name) = place(key);
        contexts.push((name, release::image(key, operator, &recipe, sources, &arguments.hidden, &folder)?));
    }
    for key in stack.errands.keys() {
        let (recipe, folder, name) = place(key);
        contexts.push((name, release::errand_image(key, &recipe, sources, &arguments.hidden, &folder)?));
    }
    for (name, files) in contexts {
        made.extend(files.into_iter().map(|file| Made {
            name: format!("{name}/{}", file.name),
            size_bytes: file.size_bytes,
            sha256: file.sha256,
            unzipped_bytes: None,
            needs_bucket: false,
        }));
    }
    Ok(made)
}

fn bill_of_materials(root: &Path, arguments: &PackageArguments) -> anyhow::Result<String> {
    let text =
        |path: PathBuf| std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()));
    let bill = bill::of(&bill::Sources {
        metadata: &text(arguments.metadata.clone())?,
        tree: &text(arguments.tree.clone())?,
        lock: &text(root.join("Cargo.lock"))?,
        pieces: &text(root.join(".tools.lock"))?,
        built_with: &arguments.built_with,
    })?;
    let mut text = serde_json::to_string_pretty(&bill).context("could not write the bill of materials")?;
    text.push('\n');
    Ok(text)
}

fn put(out: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<Made> {
    let path = out.join(name);
    let parent = path.parent().unwrap_or(out);
    std::fs::create_dir_all(parent).with_context(|| format!("could not create {}", parent.display()))?;
    std::fs::write(&path, bytes).with_context(|| format!("could not write {}", path.display()))?;
    Ok(Made {
        name: name.to_owned(),
        size_bytes: bytes.len() as u64,
        sha256: Sha256::digest(bytes).into(),
        unzipped_bytes: None,
        needs_bucket: false,
    })
}

pub(crate) fn hex(sha256: &[u8; 32]) -> String {
    sha256.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn checksums(made: &[Made]) -> String {
    made.iter().map(|file| format!("{}  {}\n", hex(&file.sha256), file.name)).collect()
}

fn as_json(made: &[Made]) -> Value {
    let files = made.iter().map(|file| {
        json!({
            "name": file.name,
            "size_bytes": file.size_bytes,
            "unzipped_bytes": file.unzipped_bytes,
            "sha256": hex(&file.sha256),
        })
    });
    json!({ "files": files.collect::<Vec<_>>() })
}

fn print(out: &Path, made: &[Made]) {
    let mut table = output::table(&["file", "bytes", "unpacked", "SHA-256"], &["bytes", "unpacked"]);
    for file in made {
        let unzipped = file.unzipped_bytes.map_or_else(String::new, output::grouped);
        table.add_row([file.name.clone(), output::grouped(file.size_bytes), unzipped, hex(&file.sha256)]);
    }
    say!("{table}");
    for file in made.iter().filter(|file| file.needs_bucket) {
        say!(
            "{} is larger than the {} bytes that a call of Lambda takes: it goes through the bucket, as Terraform has it",
            file.name,
            output::grouped(release::MOST_DIRECT_BYTES)
        );
    }
    say!("all in {}; `sha256sum --check {CHECKSUMS}` there checks it", out.display());
}

#[cfg(test)]
mod tests;
