//! What a person has to write down before the first plan is shown to them.

use std::collections::BTreeSet;
use std::fs;

use crate::rendered::terraform_folder;

/// Variables without a default.
fn required(declarations: &str) -> BTreeSet<&str> {
    let blocks = declarations.split("variable \"").skip(1);
    let without = blocks.filter(|block| !block.lines().any(|line| line.starts_with("  default ")));
    without.filter_map(|block| Some(block.split_once('"')?.0)).collect()
}

/// What the document gives a value in its indented lines.
fn shown(document: &str) -> BTreeSet<&str> {
    let lines = document.lines().filter_map(|line| line.strip_prefix("    "));
    lines.filter_map(|line| Some(line.split_once('=')?.0.trim_end())).collect()
}

#[test]
fn the_example_has_every_variable_that_must_be_given() {
    let read = |name: &str| fs::read_to_string(terraform_folder().join(name)).unwrap();
    let (declarations, document) = (read("environment/variables.tf"), read("README.md"));
    let required = required(&declarations);
    assert!(required.contains("token_issuers"), "without issuers neither `api` nor `query` starts: {required:?}");
    let missing: Vec<_> = required.difference(&shown(&document)).copied().collect();
    assert!(missing.is_empty(), "terraform/README.md does not show {missing:?}");
}

#[test]
fn a_variable_that_has_a_default_need_not_be_given() {
    let declarations = "variable \"a\" {\n  default     = null\n}\n\nvariable \"b\" {\n  type = string\n}\n";
    assert_eq!(required(declarations), BTreeSet::from(["b"]));
    assert_eq!(shown("text = 1\n\n    b    = 2 # = 3\n"), BTreeSet::from(["b"]));
}
