//! No secret passes through Terraform, and no account is written down.

use std::fs;

use serde_json::json;

use crate::rendered::{rendered, terraform_folder};
use crate::resources::{Resource, Resources};

/// Kinds that would bring a secret's text into the state.
const CARRIERS: [&str; 4] =
    ["aws_secretsmanager_secret_version", "aws_ssm_parameter", "random_password", "aws_iam_access_key"];

fn faults(resources: &Resources) -> Vec<String> {
    let mut faults = Vec::new();
    for kind in CARRIERS {
        faults.extend(resources.all(kind).map(|found| format!("{}: it carries a secret", found.address)));
    }
    for database in resources.all("aws_db_instance") {
        if !database.is("/manage_master_user_password") || database.text("/password").is_some() {
            faults.push(format!("{}: Terraform knows its password", database.address));
        }
    }
    let functions = resources.all("aws_lambda_function");
    let functions = functions.map(|function| (function, function.values["environment"].to_string()));
    let operators = resources.all("aws_ecs_task_definition");
    let operators = operators.map(|operator| (operator, operator.values["container_definitions"].to_string()));
    for (process, text) in functions.chain(operators) {
        faults.extend(variable_fault(process, &text));
    }
    faults
}

/// Addresses with a user in them, keys of accounts and of webhooks: what must never be a variable's value.
fn variable_fault(process: &Resource, variables: &str) -> Option<String> {
    let signs = ["postgres://", "postgresql://", "PASSWORD", "AKIA", "whsec_", "BEGIN PRIVATE KEY"];
    let sign = signs.into_iter().find(|sign| variables.contains(sign))?;
    Some(format!("{}: `{sign}` in its variables", process.address))
}

#[test]
fn no_secret_is_in_the_state() {
    for environment in ["dev", "prod"] {
        let Some(real) = rendered(environment) else { return };
        let none: [String; 0] = [];
        assert_eq!(faults(&real), none, "{environment}");
    }
}

#[test]
fn a_secret_that_would_be_in_the_state_is_named() {
    let Some(real) = rendered("dev") else { return };
    let database = "module.database.aws_db_instance.this";
    let function = r#"module.lambda_function["query"].aws_lambda_function.this"#;
    let variable = "/environment/0/variables/ISOTHERM_LOG";
    let cases = [
        (
            real.with_new("aws_secretsmanager_secret_version", json!({ "secret_string": "x" })),
            "aws_secretsmanager_secret_version.planted: it carries a secret".to_owned(),
        ),
        (
            real.planted(database, "/manage_master_user_password", false),
            format!("{database}: Terraform knows its password"),
        ),
        (real.planted(database, "/password", "hunter2"), format!("{database}: Terraform knows its password")),
        (
            real.planted(function, variable, "postgres://user:word@host/db"),
            format!("{function}: `postgres://` in its variables"),
        ),
    ];
    for (planted, expected) in cases {
        assert_eq!(faults(&planted), [expected]);
    }
}

/// Words of twelve digits, as account ids are.
fn accounts(text: &str) -> Vec<&str> {
    let words = text.split(|one: char| !one.is_ascii_alphanumeric());
    words.filter(|word| word.len() == 12 && word.bytes().all(|one| one.is_ascii_digit())).collect()
}

#[test]
fn no_account_is_written_down() {
    assert_eq!(accounts("arn:aws:iam::210987654321:root, 4294967296, 1209600"), ["210987654321"]);
    let mut folders = vec![terraform_folder()];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let is_own = path.file_name().is_some_and(|name| name != ".terraform" && name != "tests");
            if path.is_dir() && is_own {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "tf" || end == "yaml" || end == "md") {
                let found = fs::read_to_string(&path).unwrap();
                assert_eq!(accounts(&found), Vec::<&str>::new(), "{}", path.display());
                read += 1;
            }
        }
    }
    assert!(read > 50, "only {read} files");
}
