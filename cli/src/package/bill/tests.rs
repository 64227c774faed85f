use std::path::{Path, PathBuf};
use std::process::Command;

use boon::{Compiler, Schemas};

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The bill of this workspace.
fn bill() -> Value {
    let cargo = |words: &[&str]| {
        let asked = Command::new(env!("CARGO")).args(words).arg("--locked").current_dir(root()).output().unwrap();
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        String::from_utf8(asked.stdout).unwrap()
    };
    let read = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let sources = Sources {
        metadata: &cargo(&["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]),
        tree: &cargo(&["tree", "--workspace", "--edges", "normal", "--prefix", "none", "--format", "{p}"]),
        lock: &read("Cargo.lock"),
        pieces: &read(".tools.lock"),
        built_with: &["rustc 1.95.0".to_owned()],
    };
    of(&sources).unwrap()
}

/// What CycloneDX 1.6 demands of the parts that the bill has; nothing else may be in it.
fn schema() -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    let hash = json!({
        "type": "object",
        "required": ["alg", "content"],
        "additionalProperties": false,
        "properties": { "alg": { "const": "SHA-256" }, "content": { "type": "string", "pattern": "^[0-9a-f]{64}$" } },
    });
    let component = json!({
        "type": "object",
        "required": ["type", "name"],
        "additionalProperties": false,
        "properties": {
            "type": { "enum": ["application", "library"] },
            "bom-ref": text,
            "name": text,
            "version": text,
            "hashes": { "type": "array", "items": hash },
            "licenses": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1,
                "items": {
                    "type": "object",
                    "required": ["expression"],
                    "additionalProperties": false,
                    "properties": { "expression": { "type": "string", "pattern": "^[A-Za-z0-9 .()-]+$" } },
                },
            },
            "purl": { "type": "string", "pattern": "^pkg:(cargo|npm|pypi)/[^@]+@[^@]+$" },
        },
    });
    let property = json!({
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": { "name": text, "value": { "type": "string" } },
    });
    let dependency = json!({
        "type": "object",
        "required": ["ref"],
        "additionalProperties": false,
        "properties": { "ref": text, "dependsOn": { "type": "array", "uniqueItems": true, "items": text } },
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["bomFormat", "specVersion", "version", "metadata", "components", "dependencies"],
        "additionalProperties": false,
        "properties": {
            "bomFormat": { "const": "CycloneDX" },
            "specVersion": { "const": "1.6" },
            "version": { "type": "integer", "minimum": 1 },
            "metadata": {
                "type": "object",
                "required": ["component"],
                "additionalProperties": false,
                "properties": { "component": component, "properties": { "type": "array", "items": property } },
            },
            "components": { "type": "array", "uniqueItems": true, "items": component },
            "dependencies": { "type": "array", "uniqueItems": true, "items": dependency },
        },
    })
}

fn found<'a>(bill: &'a Value, name: &str) -> Option<&'a Value> {
    bill["components"].as_array().unwrap().iter().find(|component| component["name"] == name)
}

#[test]
fn the_bill_has_the_form_of_cyclonedx() {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("bill.json", schema()).unwrap();
    let schema = compiler.compile("bill.json", &mut schemas).unwrap();
    let bill = bill();
    if let Err(error) = schemas.validate(&bill, schema) {
        panic!("{error:#}");
    }
    let mut broken = bill.clone();
    broken["components"][0].as_object_mut().unwrap().remove("name");
    assert!(schemas.validate(&broken, schema).is_err(), "the schema looks at components");
}

#[test]
fn the_bill_has_all_that_programs_link_and_nothing_else() {
    let bill = bill();
    let tokio = found(&bill, "tokio").unwrap();
    assert_eq!(tokio["purl"], format!("pkg:cargo/tokio@{}", tokio["version"].as_str().unwrap()));
    assert_eq!(tokio["hashes"][0]["content"].as_str().unwrap().len(), 64);
    assert_eq!(tokio["licenses"][0]["expression"], "MIT");
    assert_eq!(found(&bill, "lambda-query").unwrap()["type"], "application");
    assert_eq!(found(&bill, "isotherm-types").unwrap()["type"], "library");
    assert_eq!(found(&bill, "isotherm-types").unwrap().get("purl"), None);
    for name in ["operator-noop", "isotherm-sql-sandbox", "sqlx-postgres", "duckdb", "duckdb-extension-httpfs"] {
        assert!(found(&bill, name).is_some(), "{name} is missing");
    }
    // Of the tests, of the command line, of a build script.
    for name in ["proptest", "boon", "isotherm-lab", "isotherm-local-stack", "rustyline", "cc"] {
        assert!(found(&bill, name).is_none(), "{name} is not in the programs");
    }
}

#[test]
fn what_depends_on_what_is_closed_and_starts_at_the_programs() {
    let bill = bill();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let components: BTreeSet<String> =
        bill["components"].as_array().unwrap().iter().map(|component| text(&component["bom-ref"])).collect();
    assert_eq!(components.len(), bill["components"].as_array().unwrap().len(), "every reference is one component's");
    let uses: BTreeMap<String, Vec<String>> = bill["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (text(&one["ref"]), one["dependsOn"].as_array().unwrap().iter().map(text).collect()))
        .collect();
    let mut reached = BTreeSet::new();
    let mut waiting = vec![SUBJECT.to_owned()];
    while let Some(reference) = waiting.pop() {
        if reached.insert(reference.clone()) {
            waiting.extend(uses[&reference].iter().cloned());
        }
    }
    reached.remove(SUBJECT);
    assert_eq!(reached, components);
}

#[test]
fn the_bill_says_neither_when_nor_where_it_was_made() {
    let bill = bill();
    assert_eq!(bill, self::bill());
    let text = bill.to_string();
    assert!(!text.contains(root().to_str().unwrap()), "it names the folder of the workspace");
    assert!(!text.contains("file://") && !text.contains("timestamp") && !text.contains("serialNumber"));
}

#[test]
fn old_forms_of_licences_become_expressions() {
    for (written, expected) in [("MIT/Apache-2.0", "MIT OR Apache-2.0"), ("Apache-2.0 / MIT", "Apache-2.0 OR MIT")] {
        assert_eq!(expression(written), expected);
    }
    assert_eq!(expression("(MIT OR Apache-2.0) AND Unicode-3.0"), "(MIT OR Apache-2.0) AND Unicode-3.0");
}
