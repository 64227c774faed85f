//! A zip as it goes to AWS, on the emulator: it is unpacked, started and answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use isotherm_access::LocalIssuer;
use isotherm_lab::ministack::{self, Ministack};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::tools;
use isotherm_local_stack::aws::DEFAULT_ACCOUNT;
use isotherm_local_stack::package::{Sources, release};
use isotherm_local_stack::provision::{Options, provision};
use isotherm_local_stack::{LocalAws, Stack};
use serde_json::json;

/// 32 zero bytes.
const SEALING_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Folder of the built programs; tests are built into a folder inside it.
fn programs() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let programs = test.parent().and_then(Path::parent).unwrap().to_path_buf();
    assert!(programs.join("lambda-reaper").exists(), "build the programs: `cargo build --workspace --bins`");
    programs
}

/// The reaper as a release build leaves it, without symbols.
fn released_reaper(stack: &Stack, folder: &Path) -> release::ReleasedFunction {
    let program = folder.join("lambda-reaper");
    let strip = Command::new("strip").arg("-o").args([&program, &programs().join("lambda-reaper")]).status().unwrap();
    assert!(strip.success());
    let sources = Sources { programs: folder.to_path_buf(), duckdb: PathBuf::new() };
    release::function("reaper", &stack.functions["reaper"], &sources, &[]).unwrap()
}

#[tokio::test]
async fn end_to_end_a_released_zip_runs_in_place_of_the_local_one() {
    let database = TestDatabase::migrated().await.unwrap();
    let emulator = Ministack::shared().await.unwrap();
    let aws = LocalAws::new(&emulator.endpoint_url(), ministack::REGION, DEFAULT_ACCOUNT).await;
    let stack = Stack::read(&tools::repository_root().unwrap().join("terraform/stack.yaml")).unwrap();
    let options = Options {
        sources: Sources { programs: programs(), duckdb: tools::tools_folder().unwrap().join("duckdb") },
        bucket_suffix: "packaged".to_owned(),
        secrets: BTreeMap::from([
            ("database".to_owned(), json!({ "url": database.url }).to_string()),
            ("alerts".to_owned(), json!({ "keys": [{ "id": "k1", "key": SEALING_KEY }] }).to_string()),
        ]),
        token_issuers: LocalIssuer::generate().unwrap().issuers().to_string(),
    };
    provision(&stack, &aws, &options, &mut |_| {}).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let released = released_reaper(&stack, folder.path());
    assert!(released.is_direct(), "{} bytes", released.zip.bytes.len());
    let call = aws.lambda().update_function_code().function_name("isotherm-reaper");
    let updated = call.zip_file(released.zip.bytes.into()).send().await.unwrap();
    assert_eq!(updated.code_sha256(), Some(STANDARD.encode(released.zip.sha256).as_str()), "it has our code");

    let call = aws.lambda().invoke().function_name("isotherm-reaper");
    let answer = call.payload(json!({ "version": 1, "kind": "reap" }).to_string().into_bytes().into()).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.function_error(), None, "{answer:?}");
    assert_eq!(answer.status_code(), 200);
}
