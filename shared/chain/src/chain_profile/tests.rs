//! The tables, the structs, the schema, the example and the built-in values agree; and what a slip is answered with.

use std::collections::BTreeSet;

use boon::{Compiler, Schemas};
use isotherm_types::BlockNumber;
use serde_json::Value;

use super::keys::{CHAIN, FINALITY, Presence, Shape};
use super::*;
use crate::verify::{Check, UnknownFormats};

fn docs(name: &str) -> String {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const MINIMAL: &str = "\
version: 1
chains:
  - { chain_id: 5, name: five, block_time_ms: 250, finality: { kind: tags } MORE }
";

fn file(more: &str) -> String {
    MINIMAL.replace(" MORE", more)
}

#[test]
fn the_example_says_what_is_built_in() {
    let text = docs("examples/chains.yaml");
    assert!(text.starts_with("# yaml-language-server: $schema=../chains.schema.json\n"));
    let read = parse(&text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read, ChainProfile::all_built_in());
    assert_eq!(ChainProfile::built_in(ChainId(143)).unwrap().name, "monad");
    assert_eq!(ChainProfile::built_in(ChainId(5)), None);
    // Each by itself, as a job's config has it.
    for profile in read {
        let written = serde_json::to_string(&profile).unwrap();
        assert_eq!(serde_json::from_str::<ChainProfile>(&written).unwrap(), profile);
    }
}

#[test]
fn a_file_says_as_much_as_it_likes() {
    let five = |more| parse(&file(more)).unwrap_or_else(|error| panic!("{error}")).remove(0);
    let unknown = ChainProfile::unknown(ChainId(5), "five".to_owned(), Finality::Tags {});
    assert_eq!(five(""), ChainProfile { block_time_ms: 250, ..unknown });
    let more = five(", max_reorg_depth: 7, trace_method: trace_block, checks: { receipts_root: 900, gas_used: never }");
    assert_eq!((more.max_reorg_depth, more.trace_method), (7, TraceMethod::TraceBlock));
    let checks = Checks { receipts_root: Check::From(BlockNumber(900)), gas_used: Check::Never, ..Checks::ALL };
    assert_eq!(more.checks, checks);
    let unknown_formats = UnknownFormats::Accept;
    let lenient = Checks { sender: Check::Never, unknown_formats, ..Checks::ALL };
    assert_eq!(five(", checks: { sender: never, unknown_formats: accept }").checks, lenient);
    let by_depth = file("").replace("kind: tags", "kind: depth, blocks: 12");
    assert_eq!(parse(&by_depth).unwrap()[0].finality, Finality::Depth { blocks: 12 });
    assert!(parse("version: 1\nchains: []\n").unwrap().is_empty());
}

#[test]
fn a_client_keeps_to_the_profile() {
    let limits = |block_time_ms| {
        let unknown = ChainProfile::unknown(ChainId(5), "five".to_owned(), Finality::Tags {});
        let profile = ChainProfile { block_time_ms, ..unknown };
        (profile.limits().failover_timeout.as_millis(), profile.poll_interval().as_millis())
    };
    let found = [100, 300, 1000, 12_000].map(limits);
    assert_eq!(found, [(500, 100), (600, 100), (2000, 250), (2000, 1000)]);
    let monad = ChainProfile::built_in(ChainId(143)).unwrap();
    let checks = Checks { receipts_root: Check::Never, ..Checks::ALL };
    let limits = ChainProfile { batch_calls: 10, checks, ..monad }.limits();
    assert_eq!((limits.batch_calls, limits.checks, limits.answer_bytes), (10, checks, 32 << 20));
}

/// `LINE:COLUMN message` of each fault.
fn faults(text: &str) -> Vec<String> {
    let faults = parse(text).expect_err(text).faults;
    faults.iter().map(|fault| format!("{}:{} {}", fault.line, fault.column, fault.message)).collect()
}

#[test]
fn each_fault_is_told_with_its_place() {
    let keys = "chain_id, name, block_time_ms, finality, max_reorg_depth, partition_blocks, batch_calls, answer_bytes, \
                log_range_blocks, trace_method, checks";
    let checks = "header_hash, parent_hash, transactions_root, receipts_root, logs_bloom, gas_used, sender, \
                  effective_gas_price, contract_address, unknown_formats";
    let calls = "it must be a whole number from 1 to 10000";
    let methods = "it must be trace_block, debug_trace_block or none";
    let check = "it must be never or the number of the first block that it is made on";
    let slips = [
        (", finalty: 1", format!("3:78 unknown key \"finalty\" of chain \"five\"; it may have {keys}")),
        (", batch_calls: 0", format!("3:91 batch_calls of chain \"five\" is 0; {calls}")),
        (", batch_calls: 010", format!("3:91 batch_calls of chain \"five\" is 010; {calls}")),
        (", batch_calls: \"9\"", format!("3:91 batch_calls of chain \"five\" is \"9\"; {calls}")),
        (", batch_calls: null", format!("3:91 batch_calls of chain \"five\" is empty; {calls}")),
        (", trace_method: all", format!("3:92 trace_method of chain \"five\" is all; {methods}")),
        (", checks: { gas: 0 }", format!("3:88 unknown key \"gas\" of checks of chain \"five\"; it may have {checks}")),
        (", checks: { gas_used: always }", format!("3:98 gas_used of checks of chain \"five\" is always; {check}")),
        (
            ", checks: { unknown_formats: never }",
            "3:105 unknown_formats of checks of chain \"five\" is never; it must be refuse or accept".to_owned(),
        ),
        (", checks: []", "3:86 checks of chain \"five\" is a list; it must be a mapping".to_owned()),
        (", name: six", "3:78 key \"name\" stands twice".to_owned()),
    ];
    for (more, expected) in slips {
        assert_eq!(faults(&file(more)), [expected], "{more}");
    }
    let whole = [
        ("version: 2\nchains: []\n", "1:10 version of the file is 2; it must be 1"),
        ("chains: []\n", "1:1 the file has no `version`, which it needs"),
        ("version: 1\nchains: {}\n", "2:9 chains of the file is a mapping; it must be a list"),
        ("version: 1\nchains: &a []\n", "2:9 anchors (`&name`) and tags (`!name`) are not read; write the value out"),
        ("version: 1\n---\nchains: []\n", "2:1 a second document begins here; a file holds one"),
        ("", "1:1 the file is empty"),
        ("version: 1\0", "1:1 the file holds a NUL character"),
    ];
    for (text, expected) in whole {
        assert_eq!(faults(text), [expected], "{text:?}");
    }
    assert!(faults("version: [1\n")[0].contains("this is no YAML"));
    assert!(faults(&"[".repeat(100))[0].contains("nested more than"));
    assert!(faults(&" ".repeat(MAX_FILE_BYTES + 1))[0].contains("has more than"));
    let foreign = parse_bytes(b"version: 1\n# \xc3\xa4\xff").unwrap_err().faults;
    assert_eq!(foreign[0].to_string(), "line 2, column 4: the file is no UTF-8 from here on");
}

#[test]
fn all_faults_are_told_at_once() {
    let text = "\
version: 1
chains:
  - chain_id: 5
    name: Five
    block_time_ms: 0
    finality: { kind: depth }
  - chain_id: 5
    name: six
    finality: { kind: tags, blocks: 3 }
";
    let name = "1 to 54 of lower-case letters, digits, - and _, beginning with a letter or digit, and not isotherm";
    assert_eq!(
        faults(text),
        [
            format!("4:11 name of chain \"Five\" is Five; it must be {name}"),
            "5:20 block_time_ms of chain \"Five\" is 0; it must be a whole number from 1 to 3600000".to_owned(),
            "6:15 finality by depth needs `blocks`".to_owned(),
            "7:5 chain \"six\" has no `block_time_ms`, which it needs".to_owned(),
            "7:15 two chains have the chain_id 5".to_owned(),
            "9:37 finality by tags takes no `blocks`".to_owned(),
        ]
    );
}

#[test]
fn no_chain_is_called_like_the_schema_of_the_platforms_own_tables() {
    let of_job = |name| ChainProfile::of_job(ChainId(143), name, None, None, None);
    assert!(of_job("monad").is_ok());
    assert_eq!(of_job("isotherm"), Err(JobProfileError::NameTaken { chain_id: ChainId(143) }));
}

#[test]
fn the_structs_know_the_keys_of_the_tables_and_their_defaults() {
    let unknown = ChainProfile::unknown(ChainId(5), "five".to_owned(), Finality::Depth { blocks: 1 });
    let written = serde_json::to_value(&unknown).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    let named = |keys: &[super::keys::Key]| keys.iter().map(|key| key.name.to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(keys(&written), named(CHAIN.keys));
    assert_eq!(keys(&written["finality"]), named(FINALITY.keys));
    for key in CHAIN.keys {
        if let Shape::Table(table) = key.shape {
            assert_eq!(keys(&written[key.name]), named(table.keys));
            for inner in table.keys {
                if let Presence::Default(default) = inner.presence {
                    let default: Value = serde_json::from_str(default).unwrap();
                    assert_eq!(written[key.name][inner.name], default, "{}.{}", key.name, inner.name);
                }
            }
        } else if let Presence::Default(default) = key.presence {
            assert_eq!(written[key.name], serde_json::from_str::<Value>(default).unwrap(), "{}", key.name);
        }
    }
}

#[test]
fn the_schema_in_docs_is_the_one_that_follows_from_the_tables() {
    let wanted = format!("{:#}\n", json_schema());
    let hint = "run `cargo run -p isotherm-chain --example chains_schema > docs/chains.schema.json`";
    assert!(docs("chains.schema.json") == wanted, "docs/chains.schema.json is not up to date: {hint}");
}

#[test]
fn the_schema_and_the_reader_judge_alike() {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("chains.schema.json", json_schema()).unwrap();
    let schema = compiler.compile("chains.schema.json", &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
    let accepts = |text: &str| {
        let value: Value = serde_yaml_ng::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        schemas.validate(&value, schema).is_ok()
    };
    let finality = |text: &str| file("").replace("{ kind: tags }", text);
    let good = [
        docs("examples/chains.yaml"),
        file(""),
        file(", max_reorg_depth: 9223372036854775807, partition_blocks: 10000000, batch_calls: 10000"),
        file(", checks: { header_hash: never, logs_bloom: 5 }, trace_method: none"),
        file(", checks: { header_hash: \"never\" }, trace_method: \"none\""),
        file(", checks: { sender: never, effective_gas_price: 7, contract_address: 0, unknown_formats: accept }"),
        finality("{ kind: depth, blocks: 1 }"),
        "{ version: 1, chains: [] }".to_owned(),
    ];
    let bad = [
        "[]".to_owned(),
        "{ version: 1 }".to_owned(),
        "{ version: 2, chains: [] }".to_owned(),
        "{ version: 1, chains: [], more: 1 }".to_owned(),
        "{ version: 1, chains: [1] }".to_owned(),
        file(", more: 1"),
        file(", max_reorg_depth: 0"),
        file(", max_reorg_depth: null"),
        file(", partition_blocks: 0"),
        file(", partition_blocks: 10000001"),
        file(", batch_calls: 10001"),
        file(", batch_calls: 1.5"),
        file(", answer_bytes: 1073741825"),
        file(", trace_method: debug_traceBlockByNumber"),
        file(", checks: { header_hash: -1 }"),
        file(", checks: { header_hash: always }"),
        file(", checks: { state_root: 0 }"),
        file(", checks: { unknown_formats: 0 }"),
        file(", checks: { unknown_formats: never }"),
        file("").replace("name: five", "name: Five"),
        file("").replace("name: five", "name: isotherm"),
        file("").replace("name: five, ", ""),
        file("").replace("chain_id: 5", "chain_id: 0"),
        finality("{ kind: depth }"),
        finality("{ kind: tags, blocks: 1 }"),
        finality("{ kind: depth, blocks: 0 }"),
        finality("{ blocks: 5 }"),
        finality("tags"),
    ];
    for text in &good {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(accepts(text), "the schema refuses {text}");
    }
    for text in &bad {
        assert!(parse(text).is_err(), "the reader takes {text}");
        assert!(!accepts(text), "the schema takes {text}");
    }
}
