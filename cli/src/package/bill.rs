//! The bill of materials: what is in the released programs, by name, version, licence and checksum.
//!
//! Source: CycloneDX 1.6, JSON. It has neither a time nor a serial number, so that the same build has the same bill.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

/// Pieces of `.tools.lock` that lie beside programs.
const PIECES: [&str; 2] = ["duckdb", "httpfs"];
/// What the bill is of.
const SUBJECT: &str = "isotherm";

/// The parts of `cargo metadata`'s answer that are needed. Source: `cargo metadata`, format version 1.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// Absent for what is linked; `dev` or `build` for the rest.
    kind: Option<String>,
}

/// What the bill is made from.
pub(super) struct Sources<'a> {
    /// The answer of `cargo metadata`: who depends on whom.
    pub(super) metadata: &'a str,
    /// The answer of `cargo tree --edges normal --prefix none`. `cargo metadata` also follows features that only tests
    /// switch on; this names what is linked, a line each.
    pub(super) tree: &'a str,
    /// `Cargo.lock`: checksums.
    pub(super) lock: &'a str,
    /// `.tools.lock`: what lies beside programs.
    pub(super) pieces: &'a str,
    /// Compiler and the like.
    pub(super) built_with: &'a [String],
}

/// Makes the bill.
///
/// It has what functions, workers, operators and the sandbox link, and nothing that only builds, tests or the command line need.
///
/// # Errors
/// If an answer or a file is not as expected.
pub(super) fn of(sources: &Sources<'_>) -> anyhow::Result<Value> {
    let metadata: Metadata =
        serde_json::from_str(sources.metadata).context("could not read what `cargo metadata` says")?;
    let packages: BTreeMap<&str, &Package> = metadata.packages.iter().map(|one| (one.id.as_str(), one)).collect();
    let members: BTreeSet<&str> = metadata.workspace_members.iter().map(String::as_str).collect();
    let in_tree = in_tree(sources.tree);
    let is_built = |id: &&str| packages.get(*id).is_some_and(|package| in_tree.contains(&name_of(package)));
    let links = metadata.resolve.nodes.iter().map(linked);
    let links: BTreeMap<&str, Vec<&str>> =
        links.map(|(id, used)| (id, used.into_iter().filter(is_built).collect())).collect();
    let is_program = |id: &&str| packages.get(*id).is_some_and(|package| is_released(&package.name));
    let programs: Vec<&str> = members.iter().copied().filter(is_program).collect();
    ensure!(!programs.is_empty(), "`cargo metadata` names no function and no operator");
    let sums = checksums(sources.lock);

    let mut components = BTreeMap::new();
    let mut uses = BTreeMap::new();
    for id in reached(&programs, &links) {
        let package = packages.get(id).with_context(|| format!("`cargo metadata` does not describe {id}"))?;
        let reference = name_of(package);
        let used: BTreeSet<String> =
            links.get(id).into_iter().flatten().filter_map(|id| packages.get(id)).map(|used| name_of(used)).collect();
        let sum = sums.get(&(package.name.as_str(), package.version.as_str())).copied();
        components.insert(reference.clone(), component(package, members.contains(id), sum));
        uses.insert(reference, used);
    }
    let mut parts: BTreeSet<String> = programs.iter().map(|id| name_of(packages[id])).collect();
    for piece in PIECES {
        let (reference, component) = third_party(piece, sources.pieces)?;
        components.insert(reference.clone(), component);
        uses.insert(reference.clone(), BTreeSet::new());
        parts.insert(reference);
    }
    uses.insert(SUBJECT.to_owned(), parts);

    let built_with = sources.built_with.iter();
    let built_with: Vec<Value> =
        built_with.map(|tool| json!({ "name": "isotherm:built_with", "value": tool })).collect();
    let dependencies: Vec<Value> =
        uses.into_iter().map(|(reference, used)| json!({ "ref": reference, "dependsOn": used })).collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": SUBJECT,
                "name": SUBJECT,
                "version": env!("CARGO_PKG_VERSION"),
            },
            "properties": built_with,
        },
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": dependencies,
    }))
}

/// Names and versions of `cargo tree`'s lines, which begin `name vVERSION`.
fn in_tree(tree: &str) -> BTreeSet<String> {
    let words = tree.lines().filter_map(|line| line.split_once(" v"));
    words.map(|(name, rest)| format!("{name}@{}", rest.split(' ').next().unwrap_or(rest))).collect()
}

/// Whether a program of this package goes to AWS.
fn is_released(package: &str) -> bool {
    package.starts_with("lambda-") || package.starts_with("operator-") || package == "isotherm-sql-sandbox"
}

/// A package and what it links.
fn linked(node: &Node) -> (&str, Vec<&str>) {
    let is_linked = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|one| one.kind.is_none());
    (node.id.as_str(), node.deps.iter().filter(is_linked).map(|dependency| dependency.pkg.as_str()).collect())
}

/// `programs` and all that they link, directly or not.
fn reached<'a>(programs: &[&'a str], links: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting = programs.to_vec();
    while let Some(id) = waiting.pop() {
        if reached.insert(id) {
            waiting.extend(links.get(id).into_iter().flatten().copied());
        }
    }
    reached
}

/// Checksums of `Cargo.lock` by name and version. Each package is a run of lines `key = "value"`, in this order.
fn checksums(lock: &str) -> BTreeMap<(&str, &str), &str> {
    let mut sums = BTreeMap::new();
    let (mut name, mut version) = ("", "");
    for line in lock.lines() {
        let Some((key, value)) = line.split_once(" = ") else { continue };
        let value = value.trim_matches('"');
        match key {
            "name" => name = value,
            "version" => version = value,
            "checksum" => {
                sums.insert((name, version), value);
            }
            _ => {}
        }
    }
    sums
}

fn name_of(package: &Package) -> String {
    format!("{}@{}", package.name, package.version)
}

/// A package of the workspace has no address: it is nowhere to be had but here.
fn component(package: &Package, is_ours: bool, sha256: Option<&str>) -> Value {
    let kind = if is_ours && is_released(&package.name) { "application" } else { "library" };
    let mut component = json!({
        "type": kind,
        "bom-ref": name_of(package),
        "name": package.name,
        "version": package.version,
    });
    if let Some(license) = &package.license {
        component["licenses"] = json!([{ "expression": expression(license) }]);
    }
    if let Some(sha256) = sha256 {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
    }
    if !is_ours {
        component["purl"] = json!(format!("pkg:cargo/{}@{}", package.name, package.version));
    }
    component
}

/// Older packages write `A/B` where SPDX has `A OR B`.
fn expression(license: &str) -> String {
    license.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

/// The archive that a piece of `.tools.lock` is unpacked from.
fn third_party(piece: &str, pieces: &str) -> anyhow::Result<(String, Value)> {
    let mut lines = pieces.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.find(|words| words.first() == Some(&piece));
    let line = line.with_context(|| format!(".tools.lock has no {piece}"))?;
    let &[_, client, package, version, sha256, ..] = line.as_slice() else {
        anyhow::bail!(".tools.lock does not say client, package, version and SHA-256 of {piece}");
    };
    let reference = format!("{package}@{version}");
    let component = json!({
        "type": "library",
        "bom-ref": reference,
        "name": package,
        "version": version,
        "hashes": [{ "alg": "SHA-256", "content": sha256 }],
        "purl": format!("pkg:{client}/{}@{version}", package.replace('@', "%40")),
    });
    Ok((reference, component))
}

#[cfg(test)]
mod tests;
