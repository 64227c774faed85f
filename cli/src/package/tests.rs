use std::os::unix::fs::PermissionsExt;

use clap::Parser;

use super::*;
use crate::args::{Arguments, Command};

/// Folders as the script hands them over, with a file of its own name's bytes in place of each program.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        let root = tools::repository_root().unwrap();
        let stack = Stack::read(&root.join("terraform/stack.yaml")).unwrap();
        let functions = stack.functions.keys().map(|key| format!("lambda-{key}"));
        let operators = stack.operators.keys().chain(stack.errands.keys()).map(|key| format!("operator-{key}"));
        let others = ["operator-worker", "isotherm-sql-sandbox"].map(str::to_owned);
        for name in functions.chain(operators).chain(others) {
            put(&scene.path("programs"), &name, name.as_bytes()).unwrap();
        }
        for name in ["lib/libduckdb.so", "extensions/httpfs.duckdb_extension"] {
            put(&scene.path("duckdb"), name, name.as_bytes()).unwrap();
        }
        let id = "path+file:///a#lambda-query@0.1.0";
        let metadata = json!({
            "packages": [{ "id": id, "name": "lambda-query", "version": "0.1.0", "license": "MIT" }],
            "workspace_members": [id],
            "resolve": { "nodes": [{ "id": id, "deps": [] }] },
        });
        put(&scene.path(""), "metadata.json", metadata.to_string().as_bytes()).unwrap();
        put(&scene.path(""), "tree.txt", b"lambda-query v0.1.0 (/a)\n").unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Packages into the folder `out`.
    fn package(&self, out: &str, hidden: &str) -> anyhow::Result<ExitCode> {
        let [out, programs, duckdb, metadata, tree] =
            [out, "programs", "duckdb", "metadata.json", "tree.txt"].map(|name| self.path(name).display().to_string());
        let words = ["isotherm", "package", "--out", &out, "--programs", &programs, "--metadata", &metadata];
        let words =
            words.into_iter().chain(["--duckdb", &duckdb, "--tree", &tree, "--hide", hidden, "--output", "json"]);
        let Command::Package(arguments) = Arguments::try_parse_from(words)?.command else { panic!("another command") };
        run(&arguments)
    }

    fn checksums(&self, out: &str) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.path(out).join(CHECKSUMS)).unwrap();
        let line = |line: &str| line.split_once("  ").map(|(sum, name)| (sum.to_owned(), name.to_owned())).unwrap();
        text.lines().map(line).collect()
    }
}

/// Every file below `folder`, by its name there, in order.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_that_is_made_has_its_checksum() {
    let scene = Scene::new();
    scene.package("out", "/home/ana").unwrap();
    let sums = scene.checksums("out");
    let mut named: Vec<String> = sums.iter().map(|(_, name)| name.clone()).collect();
    for name in ["functions/isotherm-trigger-cron.zip", "images/isotherm-noop/Dockerfile", BILL] {
        assert!(named.iter().any(|found| found == name), "{name} is missing: {named:?}");
    }
    for (sum, name) in &sums {
        let bytes = std::fs::read(scene.path("out").join(name)).unwrap();
        assert_eq!(*sum, hex(&Sha256::digest(bytes).into()), "{name}");
    }
    named.push(CHECKSUMS.to_owned());
    named.sort();
    assert_eq!(files(&scene.path("out")), named);
    let worker = std::fs::metadata(scene.path("out/images/isotherm-noop/worker")).unwrap();
    assert_eq!(worker.permissions().mode() & 0o777, 0o755);
}

#[test]
fn the_same_programs_make_the_same_files_and_others_do_not() {
    let scene = Scene::new();
    scene.package("first", "/home/ana").unwrap();
    scene.package("second", "/home/ana").unwrap();
    assert_eq!(scene.checksums("first"), scene.checksums("second"));
    put(&scene.path("programs"), "lambda-api", b"another").unwrap();
    scene.package("second", "/home/ana").unwrap();
    let (first, second) = (scene.checksums("first"), scene.checksums("second"));
    let changed: Vec<&str> =
        first.iter().zip(&second).filter(|(one, other)| one != other).map(|((_, name), _)| name.as_str()).collect();
    assert_eq!(changed, ["functions/isotherm-api.zip"]);
}

#[test]
fn what_an_earlier_run_made_goes_and_what_others_put_there_stays() {
    let scene = Scene::new();
    put(&scene.path("out"), "images/isotherm-gone/worker", b"old").unwrap();
    put(&scene.path("out"), "notes.txt", b"mine").unwrap();
    scene.package("out", "/home/ana").unwrap();
    let files = files(&scene.path("out"));
    assert!(!files.iter().any(|name| name.contains("isotherm-gone")), "{files:?}");
    assert!(files.iter().any(|name| name == "notes.txt"), "{files:?}");
}

#[test]
fn a_program_that_names_a_hidden_folder_ends_it_without_checksums() {
    let scene = Scene::new();
    scene.package("out", "/home/ana").unwrap();
    put(&scene.path("programs"), "operator-worker", b"\0/home/ana/a.rs").unwrap();
    let error = scene.package("out", "/home/ana").unwrap_err();
    assert!(format!("{error:#}").contains("operator-worker cannot be released"), "{error:#}");
    assert!(!scene.path("out").join(CHECKSUMS).exists(), "what is left of it must not look whole");
}
