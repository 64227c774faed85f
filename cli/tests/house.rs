//! The house rules that a machine can check: which crate may use which, sizes, names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Every crate under `shared/` by level: a crate uses lower levels only, and crates of one level never each other.
const LEVELS: [(&str, u32); 13] = [
    ("isotherm-types", 0),
    ("isotherm-chain", 1),
    ("isotherm-hot-store", 1),
    ("isotherm-cold-store", 1),
    ("isotherm-control", 1),
    ("isotherm-access", 1),
    ("isotherm-alerts", 1),
    ("isotherm-outbound", 1),
    ("isotherm-sql-sandbox", 1),
    ("isotherm-query", 2),
    ("isotherm-platform", 2),
    ("isotherm-local-stack", 3),
    ("isotherm-lab", 0),
];

/// Level of every Lambda and operator.
const SHELL_LEVEL: u32 = 3;
/// Level of the `isotherm` command.
const CLI_LEVEL: u32 = 4;
/// Only the command line links the laboratory; every crate's tests may.
const LAB: &str = "isotherm-lab";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn level(package: &str) -> u32 {
    match LEVELS.iter().find(|(name, _)| *name == package) {
        Some((_, level)) => *level,
        None if package.starts_with("lambda-") || package.starts_with("operator-") => SHELL_LEVEL,
        None if package == "isotherm" => CLI_LEVEL,
        None => panic!("{package} has no level: add it to LEVELS, or give it a shell's name"),
    }
}

/// Pairs (crate, crate it uses outside tests) within the workspace.
fn uses() -> Vec<(String, String)> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--locked"];
    let listed = stdout(Command::new(env!("CARGO")).args(arguments).current_dir(root()));
    let metadata: Value = serde_json::from_str(&listed).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let mut uses = Vec::new();
    for package in packages {
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            if ours.contains(name) && dependency["kind"] != "dev" {
                uses.push((package["name"].as_str().unwrap().to_owned(), name.to_owned()));
            }
        }
    }
    uses
}

/// The pairs that break the rule.
fn breaches(uses: &[(String, String)]) -> Vec<String> {
    let forbidden = |user: &str, used: &str| level(used) >= level(user) || (used == LAB && user != "isotherm");
    uses.iter().filter(|(user, used)| forbidden(user, used)).map(|(user, used)| format!("{user} uses {used}")).collect()
}

#[test]
fn crates_use_lower_levels_only() {
    let uses = uses();
    assert!(uses.len() > 20, "the workspace's own dependencies were read: {uses:?}");
    assert_eq!(breaches(&uses), Vec::<String>::new());
}

#[test]
fn a_breach_of_the_levels_is_found() {
    let planted = |user: &str, used: &str| breaches(&[(user.to_owned(), used.to_owned())]).len();
    assert_eq!(planted("isotherm-chain", "isotherm-hot-store"), 1, "same level");
    assert_eq!(planted("isotherm-types", "isotherm-query"), 1, "upwards");
    assert_eq!(planted("lambda-query", "lambda-reaper"), 1, "shell on shell");
    assert_eq!(planted("operator-worker", LAB), 1, "the laboratory in a shell");
    assert_eq!(planted("isotherm", "isotherm-local-stack"), 0);
}

#[test]
fn the_sandbox_holds_neither_a_database_driver_nor_an_aws_client() {
    let arguments = ["tree", "--package", "isotherm-sql-sandbox", "--edges", "normal", "--prefix", "none", "--locked"];
    let tree = stdout(Command::new(env!("CARGO")).args(arguments).current_dir(root()));
    let used: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(used.contains("duckdb") && used.len() > 20, "the tree was read: {used:?}");
    let forbidden = |name: &&&str| {
        name.starts_with("aws-") || name.contains("postgres") || ["sqlx", "hyper", "reqwest"].contains(name)
    };
    let found: Vec<_> = used.iter().filter(forbidden).collect();
    assert!(found.is_empty(), "{found:?}");
}

fn tracked(extension: &str) -> Vec<PathBuf> {
    let listed = stdout(Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(root()));
    let files: Vec<_> = listed.lines().map(|line| root().join(line)).filter(|path| path.exists()).collect();
    assert!(files.len() > 50, "files were listed");
    files.into_iter().filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

#[test]
fn no_rust_file_is_large() {
    let large: Vec<_> = tracked("rs")
        .into_iter()
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            text.len() > 20_000 || text.lines().count() > 500
        })
        .collect();
    assert!(large.is_empty(), "over 20 kB or 500 lines: {large:?}");
}

#[test]
fn main_of_a_shell_is_short() {
    let mains: Vec<_> = tracked("rs")
        .into_iter()
        .filter(|path| {
            path.ends_with("src/main.rs")
                && path
                    .components()
                    .any(|part| part.as_os_str() == "lambdas" || part.as_os_str() == "fargate-operators")
        })
        .collect();
    assert!(mains.len() >= 9, "{mains:?}");
    for path in mains {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() < 40, "{} has 40 lines or more", path.display());
        assert!(!text.contains("query("), "{} holds SQL", path.display());
    }
}

#[test]
fn nothing_is_called_utils_common_or_helpers() {
    for path in tracked("rs").into_iter().chain(tracked("toml")) {
        for part in path.strip_prefix(root()).unwrap().components() {
            let name = Path::new(part.as_os_str()).file_stem().unwrap().to_string_lossy().into_owned();
            assert!(!["util", "utils", "common", "helper", "helpers"].contains(&name.as_str()), "{}", path.display());
        }
    }
}

#[test]
fn the_top_level_is_as_designed() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "lambdas",
        "fargate-operators",
        "shared",
        "terraform",
        "migrations",
        "events-fixtures",
        "docs",
        "cli",
        "isotherm",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "rustfmt.toml",
        "clippy.toml",
        "deny.toml",
    ];
    let listed = stdout(Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(root()));
    let top: BTreeSet<_> = listed.lines().map(|line| line.split('/').next().unwrap()).collect();
    let strange: Vec<_> = top.into_iter().filter(|name| !name.starts_with('.') && !allowed.contains(name)).collect();
    assert!(strange.is_empty(), "{strange:?}");
}
