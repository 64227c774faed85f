//! `isotherm verify` as a command, over the emulated S3 and over a copy of the bucket in a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use isotherm_cold_store::layout::manifest_key;
use isotherm_cold_store::{ChainName, Manifest};
use isotherm_lab::ministack::{Ministack, REGION};
use isotherm_types::{B256, Dataset};
use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "../../shared/cold_store/tests/cold_store/bucket.rs"]
#[allow(dead_code, reason = "the tests of cold storage use all of it")]
mod bucket;
#[path = "../../shared/cold_store/tests/cold_store/rows.rs"]
#[allow(dead_code, reason = "the tests of cold storage use all of it")]
mod rows;
#[path = "../../shared/cold_store/tests/cold_store/integrity/sealed.rs"]
#[allow(dead_code, reason = "the tests of cold storage use all of it")]
mod sealed;

use sealed::{BLOCKS, World};

/// Version of the newest manifest of every dataset but `transactions`.
const NEWEST: u64 = 4;

fn key(dataset: Dataset, version: u64) -> String {
    manifest_key(&ChainName::new("made").unwrap(), dataset, version)
}

/// A folder with everything that is in the bucket.
async fn copied(world: &World) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for key in world.bucket.keys().await {
        let path = folder.path().join(&key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, world.read(&key).await).unwrap();
    }
    folder
}

fn flip_a_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The last line that was printed.
    fn verdict(&self) -> &str {
        self.stdout.lines().last().unwrap_or_default()
    }

    /// That the check was not made, and why.
    fn failure(&self) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        &self.stderr
    }
}

/// Runs the command with these variables and no others that begin with `AWS_`.
fn verify(variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
    for name in ["AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).arg("verify").args(arguments).output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the command over the bucket.
async fn verify_bucket(world: &World, arguments: &[&str]) -> Ended {
    let endpoint_url = Ministack::shared().await.unwrap().endpoint_url();
    let account = world.bucket.objects.bucket().strip_prefix("cold-").unwrap();
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint_url.as_str()),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", account),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    verify(&variables, arguments)
}

/// Runs the command over a copy; its last word is the manifest's key.
fn verify_folder(folder: &TempDir, key: &str, arguments: &[&str]) -> Ended {
    let manifest: PathBuf = folder.path().join(key);
    verify(&[], &[&[manifest.to_str().unwrap()][..], arguments].concat())
}

/// What is wrong, by object, run of blocks and fault.
fn findings(ended: &Ended) -> Value {
    let json = ended.json();
    let findings = json["findings"].as_array().unwrap().iter();
    findings.map(|finding| json!([finding["object"], finding["blocks"], finding["fault"]])).collect()
}

/// Runs of blocks that could not be checked, by dataset.
fn unverifiable(ended: &Ended) -> Value {
    let json = ended.json();
    json["unverifiable"].as_array().unwrap().iter().map(|told| json!([told["dataset"], told["blocks"]])).collect()
}

#[tokio::test]
async fn sound_storage_is_sound_in_the_bucket_and_in_a_copy() {
    let world = World::whole().await;
    let folder = copied(&world).await;
    let key = key(Dataset::Blocks, NEWEST);
    let url = format!("s3://{}/{key}", world.bucket.objects.bucket());
    for level in ["file", "chain"] {
        let arguments = ["--level", level, "--output", "json"];
        let bucket = verify_bucket(&world, &[&[url.as_str()][..], &arguments].concat()).await;
        let copy = verify_folder(&folder, &key, &arguments);
        for (ended, manifest) in [(&bucket, &url), (&copy, &folder.path().join(&key).display().to_string())] {
            assert_eq!(ended.code, Some(0), "{ended:?}");
            let json = ended.json();
            let (files, blocks) = if level == "file" { (4, 0) } else { (11, BLOCKS) };
            assert_eq!(json["manifest"], json!(manifest));
            assert_eq!((&json["sound"], &json["level"], &json["files"]), (&json!(true), &json!(level), &json!(files)));
            assert_eq!((&json["blocks"], &json["unverifiable"]), (&json!(blocks), &json!([])));
        }
    }
    let people = verify_bucket(&world, &[&url]).await;
    assert_eq!(people.code, Some(0), "{people:?}");
    assert!(people.verdict().starts_with("sound; level chain, manifests 11, files 11, bytes "), "{people:?}");
    assert!(people.verdict().contains(", blocks 40, blocks/s "), "{people:?}");
}

#[tokio::test]
async fn a_flipped_byte_is_found_by_object_and_blocks() {
    let world = World::whole().await;
    let folder = copied(&world).await;
    let file = &world.newest[&Dataset::Logs].files[1];
    flip_a_byte(&folder.path().join(&file.key));
    let expected = json!([[file.key, { "start": 10, "end": 20 }, "digest_differs"]]);
    for (dataset, level) in [(Dataset::Logs, "file"), (Dataset::Logs, "chain"), (Dataset::Blocks, "chain")] {
        let arguments = ["--level", level, "--output", "json"];
        let ended = verify_folder(&folder, &key(dataset, NEWEST), &arguments);
        assert_eq!((ended.code, findings(&ended)), (Some(3), expected.clone()), "{dataset} {level}");
        assert_eq!(ended.json()["sound"], json!(false));
    }
    let people = verify_folder(&folder, &key(Dataset::Logs, NEWEST), &[]);
    assert_eq!(people.code, Some(3), "{people:?}");
    let row = people.stdout.lines().find(|line| line.contains("digest_differs")).unwrap();
    assert!(row.contains(&file.key) && row.contains("10..20") && row.contains(&file.sha256.to_string()), "{row}");
    assert!(people.verdict().starts_with("NOT sound, findings: 1; "), "{people:?}");

    let elsewhere = verify_folder(&folder, &key(Dataset::Logs, NEWEST), &["--blocks", "20..40"]);
    assert_eq!(elsewhere.code, Some(0), "other blocks are sound: {elsewhere:?}");
}

#[tokio::test]
async fn a_manifest_before_the_trusted_one_must_be_the_one_that_it_names() {
    let world = World::whole().await;
    let folder = copied(&world).await;
    let older = key(Dataset::Logs, 2);
    let altered = {
        let mut manifest = Manifest::parse(&world.read(&older).await).unwrap();
        manifest.files[0].row_count += 1;
        manifest.to_bytes().unwrap()
    };
    fs::write(folder.path().join(&older), altered).unwrap();
    let newest = verify_folder(&folder, &key(Dataset::Logs, NEWEST), &["--level", "file", "--output", "json"]);
    assert_eq!((newest.code, findings(&newest)), (Some(3), json!([[older, null, "manifest_altered"]])), "{newest:?}");
}

#[tokio::test]
async fn a_trusted_hash_is_that_of_a_block_or_of_none() {
    let world = World::whole().await;
    let folder = copied(&world).await;
    let manifest = key(Dataset::Blocks, NEWEST);
    let anchored = |hash: B256| verify_folder(&folder, &manifest, &["--anchor", &hash.to_string(), "--output", "json"]);
    let equal = anchored(world.chain.hash(BLOCKS - 1));
    assert_eq!((equal.code, findings(&equal), unverifiable(&equal)), (Some(0), json!([]), json!([])), "{equal:?}");
    assert_eq!(equal.json()["level"], json!("anchor"));
    let lower = anchored(world.chain.hash(25));
    assert_eq!(lower.code, Some(0), "{lower:?}");
    assert_eq!(unverifiable(&lower), json!([["blocks", { "start": 26, "end": 40 }]]));

    let other = anchored(B256::repeat_byte(7));
    let last = &world.newest[&Dataset::Blocks].files[3].key;
    let expected = json!([[last, { "start": 0, "end": 40 }, "anchor_differs"]]);
    assert_eq!((other.code, findings(&other)), (Some(3), expected), "{other:?}");

    let without = verify_folder(&folder, &manifest, &["--level", "anchor"]);
    assert!(without.failure().contains("--anchor"), "{without:?}");
}

#[tokio::test]
async fn what_has_no_sibling_is_said_to_be_not_verifiable() {
    let world = World::whole().await;
    let folder = copied(&world).await;
    fs::remove_dir_all(folder.path().join("cold/made/blocks")).unwrap();
    let alone = verify_folder(&folder, &key(Dataset::Logs, NEWEST), &["--output", "json"]);
    assert_eq!((alone.code, findings(&alone)), (Some(0), json!([])), "{alone:?}");
    let all = json!({ "start": 0, "end": 40 });
    assert_eq!(unverifiable(&alone), json!([["transactions", all], ["logs", all]]));
    let people = verify_folder(&folder, &key(Dataset::Logs, NEWEST), &[]);
    assert!(people.verdict().starts_with("sound as far as it can be verified; "), "{people:?}");
    assert!(people.stdout.contains("no file of blocks holds these blocks"), "{people:?}");
}

#[tokio::test]
async fn an_older_manifest_and_a_run_of_blocks_bound_what_is_read() {
    let world = World::whole().await;
    let folder = copied(&world).await;
    let older = verify_folder(&folder, &key(Dataset::Logs, 2), &["--output", "json"]);
    assert_eq!((older.code, findings(&older), unverifiable(&older)), (Some(0), json!([]), json!([])), "{older:?}");
    assert_eq!(older.json()["blocks"], json!(20));
    let some = verify_folder(&folder, &key(Dataset::Blocks, NEWEST), &["--blocks", "12..14", "--output", "json"]);
    assert_eq!((some.code, unverifiable(&some)), (Some(0), json!([])), "{some:?}");
    assert_eq!((&some.json()["files"], &some.json()["blocks"]), (&json!(3), &json!(2)));
    let none = verify_folder(&folder, &key(Dataset::Logs, 2), &["--blocks", "20..30"]);
    assert!(none.failure().contains("the manifest lists blocks 0..20, which has none of 20..30"), "{none:?}");
}

#[tokio::test]
async fn what_could_not_be_checked_is_no_finding() {
    let world = World::empty().await;
    let folder = tempfile::tempdir().unwrap();
    let key = key(Dataset::Logs, 1);
    let missing = verify_folder(&folder, &key, &[]);
    assert!(missing.failure().contains("there is no manifest at "), "{missing:?}");
    let missing = verify_bucket(&world, &[&format!("s3://{}/{key}", world.bucket.objects.bucket())]).await;
    assert!(missing.failure().contains("there is no manifest at s3://cold-"), "{missing:?}");
    let nowhere = verify_bucket(&world, &[&format!("s3://cold-that-never-was/{key}")]).await;
    assert!(nowhere.failure().contains("could not read the manifest"), "{nowhere:?}");
    let wrong = verify(&[], &["logs.json"]);
    assert!(wrong.failure().contains("s3://BUCKET/cold/CHAIN/DATASET/manifests/VERSION.json"), "{wrong:?}");
}
