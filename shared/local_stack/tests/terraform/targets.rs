//! What `isotherm deploy` makes of a part of the plan suffices for what it does next.

use std::fs;

use isotherm_lab::tools;

use crate::rendered::planned;

/// What every right to use the key is held to. Without it the errand reads no secret, and no migration runs.
const ALIAS: &str = "module.platform.module.encryption.aws_kms_alias.this";

/// `-target=…` of a step of `isotherm deploy`, as its dry run prints them.
fn targets(step: &str) -> Vec<String> {
    let path = tools::repository_root().unwrap().join("events-fixtures/cli/deploy_dry_run.json");
    let lines: Vec<String> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let heading = lines.iter().position(|line| line.contains(&format!(". {step}: "))).unwrap();
    let words = lines[heading + 1].split(' ').map(|word| word.trim_matches('\''));
    words.filter(|word| word.starts_with("-target=")).map(str::to_owned).collect()
}

#[test]
fn what_is_made_before_migrations_has_the_key_under_its_name() {
    let base = targets("base");
    let base: Vec<&str> = base.iter().map(String::as_str).collect();
    for environment in ["dev", "prod"] {
        let Some(made) = planned(environment, &base) else { return };
        let database = "module.platform.module.database.aws_db_instance.this";
        for needed in [ALIAS, database] {
            assert!(made.contains(needed), "{environment}: {needed} is made after the migrations that need it");
        }
    }
    let Some(buckets) = planned("dev", &["-target=module.platform.module.storage"]) else { return };
    assert!(!buckets.contains(ALIAS), "a target brings what it needs and nothing else");
}
