//! An environment, planned and applied to the stand-in, once for each state of the files.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use isotherm_lab::tools;
use isotherm_local_stack::provision::EMAIL_FROM;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::resources::Resources;

/// Account of the stand-in.
pub(crate) const ACCOUNT: &str = "123456789012";
/// Region of the stand-in.
pub(crate) const REGION: &str = "eu-west-1";
/// What `ISOTHERM_TOKEN_ISSUERS` has to be, members in the order in which Terraform writes them.
pub(crate) const TOKEN_ISSUERS: &str =
    r#"[{"audience":"isotherm","issuer":"https://id.example.com","jwks_url":"https://id.example.com/keys"}]"#;
/// What vouches for the database, below the folder of Terraform.
pub(crate) const CERTIFICATES: &str = "environment/certificates_of_tests.pem";
/// Hosts that may be reached.
pub(crate) const ALLOWED_HOSTS: [&str; 3] = ["*.example.org", "id.example.com", "rpc.example.com"];

fn variables(files: &BTreeMap<PathBuf, Vec<u8>>) -> Value {
    let certificates = &files[Path::new(CERTIFICATES)];
    json!({
        "account_id": ACCOUNT,
        "region": REGION,
        "release": "1.2.3",
        "allowed_hosts": ALLOWED_HOSTS,
        "token_issuers": serde_json::from_str::<Value>(TOKEN_ISSUERS).unwrap(),
        "email_from": EMAIL_FROM,
        "alarm_emails": ["ops@example.com"],
        "chains": ["monad"],
        // Seen from the environment's folder.
        "database_ca": { "file": format!("../../{CERTIFICATES}"), "sha256": hex::encode(Sha256::digest(certificates)) },
    })
}

/// The folder of this repository's Terraform.
pub(crate) fn terraform_folder() -> PathBuf {
    tools::repository_root().unwrap().join("terraform")
}

/// The program that runs Terraform with the stand-in. `None`, and a word about it, where one of the two is missing; in CI that fails.
fn stand_in() -> Option<PathBuf> {
    let wrapper = tools::repository_root().unwrap().join("../shared/terraform-offline/tf");
    let is_installed = Command::new("terraform").arg("version").output().is_ok_and(|answer| answer.status.success());
    if !(wrapper.exists() && is_installed) {
        #[expect(clippy::disallowed_methods, reason = "a test asks whether it runs in CI")]
        let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        let missing = format!("terraform, or {}, is not there", wrapper.display());
        assert!(!is_ci, "{missing}, and CI must not skip what needs it");
        eprintln!("NOT RUN: {missing}");
        return None;
    }
    Some(wrapper)
}

/// All resources of `environment`; `None` as [`stand_in`] says.
pub(crate) fn rendered(environment: &str) -> Option<Resources> {
    let wrapper = stand_in()?;
    let files = files(&terraform_folder());
    let key = key(environment, &files);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let kept = folder.join(format!("terraform-{environment}.json"));
    // Tests are processes of their own: the first one does the work, the others wait for it.
    let lock = File::create(folder.join(format!("terraform-{environment}.lock"))).unwrap();
    lock.lock().unwrap();
    let found = fs::read(&kept).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    if let Some(found) = found.filter(|found| found["key"] == key.as_str()) {
        return Some(Resources::of(&found["applied"]));
    }
    let applied = apply(&wrapper, environment, &files);
    let part = kept.with_extension("part");
    fs::write(&part, json!({ "key": key, "applied": &applied }).to_string()).unwrap();
    fs::rename(&part, &kept).unwrap();
    Some(Resources::of(&applied))
}

/// Addresses of what a first plan of `environment` makes that has these further `words`, such as targets; `None` as [`stand_in`] says.
pub(crate) fn planned(environment: &str, words: &[&str]) -> Option<BTreeSet<String>> {
    let wrapper = stand_in()?;
    let copy = tempfile::tempdir().unwrap();
    let folder = plan(&wrapper, environment, &files(&terraform_folder()), copy.path(), words);
    let shown: Value = serde_json::from_slice(&terraform(&wrapper, &folder, &["show", "-json", "plan.bin"])).unwrap();
    let changes = shown["resource_changes"].as_array().unwrap();
    Some(changes.iter().map(|change| change["address"].as_str().unwrap().to_owned()).collect())
}

/// Configuration, stack file and certificates, by path. Without the backends: they would ask for a bucket.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != ".terraform" {
                    folders.push(path);
                }
            } else if name != "backend.tf" && path.extension().and_then(OsStr::to_str).is_some_and(is_read) {
                files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Whether Terraform reads files whose names end so.
fn is_read(end: &str) -> bool {
    matches!(end, "tf" | "yaml" | "pem")
}

fn key(environment: &str, files: &BTreeMap<PathBuf, Vec<u8>>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(environment);
    hasher.update(variables(files).to_string());
    for (path, bytes) in files {
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update(Sha256::digest(bytes));
    }
    hex::encode(hasher.finalize())
}

/// Plans on a copy in the folder `place`; returns the environment's folder in it, which has the plan as `plan.bin`.
fn plan(
    wrapper: &Path,
    environment: &str,
    files: &BTreeMap<PathBuf, Vec<u8>>,
    place: &Path,
    words: &[&str],
) -> PathBuf {
    for (path, bytes) in files {
        let path = place.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let folder = place.join("environments").join(environment);
    fs::write(folder.join("terraform.tfvars.json"), variables(files).to_string()).unwrap();
    terraform(wrapper, &folder, &["init", "-input=false", "-no-color"]);
    terraform(wrapper, &folder, &[&["plan", "-input=false", "-no-color", "-out=plan.bin"], words].concat());
    folder
}

/// Plans and applies on a copy; returns what `terraform show -json` says of it.
fn apply(wrapper: &Path, environment: &str, files: &BTreeMap<PathBuf, Vec<u8>>) -> Value {
    let copy = tempfile::tempdir().unwrap();
    let folder = plan(wrapper, environment, files, copy.path(), &[]);
    terraform(wrapper, &folder, &["apply", "-input=false", "-no-color", "plan.bin"]);
    serde_json::from_slice(&terraform(wrapper, &folder, &["show", "-json"])).unwrap()
}

fn terraform(wrapper: &Path, folder: &Path, words: &[&str]) -> Vec<u8> {
    let run = Command::new(wrapper).arg(folder).args(words).output().unwrap();
    let said = [run.stdout.as_slice(), run.stderr.as_slice()].map(String::from_utf8_lossy).concat();
    assert!(run.status.success(), "terraform {words:?} failed: {said}");
    run.stdout
}
