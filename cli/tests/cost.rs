//! `isotherm cost`, without a stack and without an account.

use std::process::{Command, Output};

use serde_json::{Value, json};

fn isotherm(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
    command.args(arguments).env("ISOTHERM_DATA", folder.path()).current_dir(folder.path()).output().unwrap()
}

fn said(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn bill(arguments: &[&str]) -> Value {
    let output = isotherm(&[&["cost", "--format", "json"][..], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn people_are_told_the_lines_the_services_and_that_prices_are_to_be_checked() {
    let output = isotherm(&["cost", "--env", "dev", "--tps", "10000"]);
    assert!(output.status.success(), "{output:?}");
    let text = said(&output.stdout);
    for words in ["List prices of us-east-1", "to be checked", "NAT gateway", "total", "note: hot rows need"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("assumed"), "{text}");
}

#[test]
fn options_change_the_load() {
    let of = bill(&["--env", "prod", "--tps", "200", "--chain", "ethereum", "--rules", "5", "--history-months", "12"]);
    let words = json!([of["environment"], of["chain"], of["block_time_ms"]]);
    assert_eq!(words, json!(["prod", "ethereum", 12_000]));
    let one = bill(&["--env", "prod", "--tps", "200", "--chain", "ethereum", "--rules", "5"]);
    let more = bill(&["--env", "prod", "--tps", "400", "--chain", "1", "--rules", "5"]);
    let usd = |bill: &Value| bill["total"]["usd"].as_f64().unwrap();
    assert!(usd(&of) > usd(&one) && usd(&more) > usd(&one), "{} {} {}", usd(&of), usd(&one), usd(&more));
}

#[test]
fn explaining_names_the_origin_of_each_count_and_the_page_of_each_price() {
    assert!(bill(&[])["explained"].is_null());
    let explained = &bill(&["--explain"])["explained"];
    let origin = explained["counts"]["rpc_bytes_per_transaction"]["from"].as_str().unwrap();
    assert!(origin.starts_with("measured"), "{origin}");
    assert_eq!(explained["prices"]["s3_puts"]["source"], "https://aws.amazon.com/s3/pricing/");
}

#[test]
fn an_unknown_environment_or_chain_is_answered_with_those_that_are_there() {
    for (arguments, words) in [
        (["cost", "--env", "../dev"], "there is no environment called \"../dev\"; there are: dev, prod"),
        (["cost", "--chain", "no"], "there is no chain called \"no\"; there are: monad (143)"),
        (["cost", "--prices", "absent.yaml"], "could not read absent.yaml"),
    ] {
        let output = isotherm(&arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said(&output.stderr).contains(words), "{output:?}");
    }
}
