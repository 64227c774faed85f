//! `isotherm chains`, and what `isotherm up` says of a chains file before anything is started.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const FILE: &str = "\
version: 1
chains:
  - chain_id: 5
    name: five
    block_time_ms: 250
    finality: { kind: depth, blocks: 9 }
    checks: { sender: never }
";

/// [`FILE`] with two faults.
fn bad_file() -> String {
    FILE.replace("block_time_ms: 250", "block_time_ms: 0").replace("sender", "sendr")
}

const BAD: [&str; 2] = [
    "bad.yaml:5:20: block_time_ms of chain \"five\" is 0; it must be a whole number from 1 to 3600000",
    "bad.yaml:7:15: unknown key \"sendr\" of checks of chain \"five\"; it may have header_hash, parent_hash, \
     transactions_root, receipts_root, logs_bloom, gas_used, sender, effective_gas_price, contract_address, \
     unknown_formats",
];

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("chains.yaml"), FILE).unwrap();
    fs::write(folder.path().join("bad.yaml"), bad_file()).unwrap();
    folder
}

fn isotherm(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
    command.arg("--data").arg(folder.path().join("data")).args(arguments).current_dir(folder.path()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_demo_is_given_a_file_that_has_its_chain_before_anything_is_started() {
    let folder = folder();
    let absent = isotherm(&folder, &["demo", "--chains", "chains.yaml"]);
    assert_eq!(absent.status.code(), Some(1), "{absent:?}");
    assert!(text(&absent.stderr).contains("chains.yaml has no chain with the id 31337"), "{absent:?}");
    let bad = isotherm(&folder, &["demo", "--chains", "bad.yaml"]);
    assert!(BAD.iter().all(|fault| text(&bad.stderr).contains(fault)), "{bad:?}");
    assert!(!folder.path().join("data").exists());
}

#[test]
fn the_known_chains_are_those_of_the_file_and_the_built_in_ones() {
    let folder = folder();
    let listed = isotherm(&folder, &["chains", "list", "chains.yaml", "--output", "json"]);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let words: Vec<Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|chain| json!([chain["name"], chain["chain_id"], chain["source"], chain["checks"]["sender"]]))
        .collect();
    assert_eq!(
        words,
        [
            json!(["five", 5, "file", "never"]),
            json!(["monad", 143, "built_in", 0]),
            json!(["monad-testnet", 10143, "built_in", 0]),
            json!(["ethereum", 1, "built_in", 0]),
            json!(["anvil", 31337, "built_in", 0]),
        ]
    );
    let table = isotherm(&folder, &["chains", "list"]);
    assert_eq!(table.status.code(), Some(0), "{table:?}");
    let ethereum = text(&table.stdout).lines().find(|line| line.contains("ethereum")).unwrap();
    assert!(ethereum.contains("12,000") && ethereum.contains("built in"), "{ethereum}");
    assert!(!text(&table.stdout).contains("five"), "{table:?}");
}

#[test]
fn a_chains_file_is_checked_and_every_fault_has_a_line_and_a_column() {
    let folder = folder();
    let good = isotherm(&folder, &["chains", "check", "chains.yaml"]);
    assert_eq!((good.status.code(), text(&good.stdout)), (Some(0), "chains.yaml: no fault; chains: 1\n"), "{good:?}");
    let good = isotherm(&folder, &["chains", "check", "chains.yaml", "--output", "json"]);
    assert_eq!(serde_json::from_slice::<Value>(&good.stdout).unwrap(), json!({ "chains": 1 }));
    for command in [["chains", "check", "bad.yaml"], ["chains", "list", "bad.yaml"]] {
        let bad = isotherm(&folder, &command);
        assert_eq!((bad.status.code(), text(&bad.stdout)), (Some(1), ""), "{bad:?}");
        assert_eq!(text(&bad.stderr).lines().collect::<Vec<_>>(), BAD);
    }
    let missing = isotherm(&folder, &["chains", "check", "none.yaml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("could not open none.yaml"), "{missing:?}");
}

#[test]
fn up_starts_nothing_with_a_bad_file_or_a_chain_that_is_not_known() {
    let folder = folder();
    let up = |more: &[&str]| isotherm(&folder, &[&["up", "--rpc-url", "http://127.0.0.1:1"][..], more].concat());
    let bad = up(&["--chains", "bad.yaml", "--chain", "five"]);
    assert_eq!((bad.status.code(), text(&bad.stdout)), (Some(1), ""), "{bad:?}");
    assert_eq!(text(&bad.stderr).lines().collect::<Vec<_>>(), BAD);

    let unknown = up(&["--chains", "chains.yaml", "--chain", "six"]);
    assert_eq!((unknown.status.code(), text(&unknown.stdout)), (Some(1), ""), "{unknown:?}");
    assert_eq!(
        text(&unknown.stderr),
        "isotherm: there is no chain called \"six\"; there are: five (5), monad (143), monad-testnet (10143), \
         ethereum (1), anvil (31337)\n"
    );
    let other = up(&["--chains", "chains.yaml", "--chain", "five", "--chain-id", "6"]);
    assert_eq!(
        text(&other.stderr),
        "isotherm: --chain five stands for chain id 5, but --chain-id says 6\n",
        "the file says what five is"
    );
    let missing = up(&["--chains", "none.yaml", "--chain", "five"]);
    assert!(text(&missing.stderr).contains("could not open none.yaml"), "{missing:?}");
    assert!(!folder.path().join("data").exists(), "nothing was left behind");
}
