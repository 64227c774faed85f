//! What an errand is asked, and what it answers, is written by nobody else inside. Who asks is outside, and has no role here.

use serde_json::{Value, json};

use super::{faults, stack, texts};
use crate::rendered::{ACCOUNT, REGION, rendered};
use crate::resources::Resources;

/// The role that answers.
const ERRAND: &str = "isotherm-migrate-operator";
/// What it may do there, with the right to end an upload of its own.
const WRITES: [&str; 2] = ["s3:AbortMultipartUpload", "s3:PutObject"];
/// Actions that leave objects as they are.
const HARMLESS: [&str; 2] = ["s3:GetObject", "s3:ListBucket"];

/// Request and answer, wherever they may lie in the folder. Source: `request_key` and `answer_key` of the errand.
fn objects() -> [String; 2] {
    ["request", "answer"].map(|name| format!("arn:aws:s3:::isotherm-results-{ACCOUNT}-{REGION}/deploy/1/{name}.json"))
}

/// Roles that may write such an object, and are not the errand's. A pattern that is not understood covers it.
pub(super) fn folder_faults(resources: &Resources) -> Vec<String> {
    let mut faults = Vec::new();
    for policy in resources.all("aws_iam_role_policy") {
        let role = policy.text("/role").unwrap_or(&policy.address);
        for statement in policy.json("/policy")["Statement"].as_array().into_iter().flatten() {
            for action in texts(&statement["Action"]).into_iter().filter(|_| statement["Effect"] == "Allow") {
                let is_own = role == ERRAND && WRITES.contains(&action);
                if is_write(action) && covers(statement) && !is_own {
                    faults.push(format!("{role}: {action} where an errand is asked and answers"));
                }
            }
        }
    }
    faults
}

fn is_write(action: &str) -> bool {
    let is_of_s3 = action.starts_with("s3:") || action.starts_with('*');
    is_of_s3 && !HARMLESS.contains(&action)
}

fn covers(statement: &Value) -> bool {
    let is_in = |pattern: &str| {
        let start = pattern.split(['*', '?']).next().unwrap_or(pattern);
        let is_plain = start.len() == pattern.len();
        objects().iter().any(|object| if is_plain { object == pattern } else { object.starts_with(start) })
    };
    !statement["NotResource"].is_null() || texts(&statement["Resource"]).into_iter().any(is_in)
}

#[test]
fn nobody_but_the_errand_writes_what_it_is_asked_and_answers() {
    for environment in ["dev", "prod"] {
        let Some(real) = rendered(environment) else { return };
        let none: [String; 0] = [];
        assert_eq!(folder_faults(&real), none, "{environment}");
        let own = real.at(r#"module.errand["migrate"].aws_iam_role_policy.task"#).json("/policy");
        let writes = |statement: &Value| texts(&statement["Action"]).contains(&"s3:PutObject") && covers(statement);
        assert!(own["Statement"].as_array().unwrap().iter().any(writes), "{environment}: the rule looks elsewhere");
    }
}

#[test]
fn a_role_that_could_forge_a_request_or_an_answer_is_named() {
    let Some(real) = rendered("dev") else { return };
    let bucket = format!("arn:aws:s3:::isotherm-results-{ACCOUNT}-{REGION}");
    let policies = [
        (r#"module.lambda_function["query"].aws_iam_role_policy.this"#, "isotherm-query"),
        (r#"module.fargate_operator["duckdb_query"].aws_iam_role_policy.task"#, "isotherm-duckdb-query-operator"),
        (r#"module.fargate_operator["noop"].aws_iam_role_policy.task"#, "isotherm-noop-operator"),
    ];
    for (address, role) in policies {
        let policy = real.at(address).json("/policy");
        let writes = |statement: &Value| texts(&statement["Action"]).contains(&"s3:PutObject");
        let place = policy["Statement"].as_array().unwrap().iter().position(writes).unwrap();
        let planted = |pattern: &str| {
            let resource = format!("/Statement/{place}/Resource");
            faults(&real.planted_in_json(address, "/policy", &resource, json!([pattern])), &stack())
        };
        let expected = format!("{role}: s3:PutObject where an errand is asked and answers");
        for pattern in [format!("{bucket}/*"), format!("{bucket}/deploy/*"), objects()[1].clone(), "*".to_owned()] {
            let found = planted(&pattern);
            assert!(found.contains(&expected), "{pattern}: {found:?}");
        }
        let elsewhere = planted(&format!("{bucket}/deployed/*"));
        assert!(!elsewhere.contains(&expected), "{elsewhere:?}");
    }
    let errand = r#"module.errand["migrate"].aws_iam_role_policy.task"#;
    let policy = real.at(errand).json("/policy");
    let writes = |statement: &Value| texts(&statement["Action"]).contains(&"s3:PutObject");
    let place = policy["Statement"].as_array().unwrap().iter().position(writes).unwrap();
    let more = json!(["s3:PutObject", "s3:DeleteObject"]);
    let found = folder_faults(&real.planted_in_json(errand, "/policy", &format!("/Statement/{place}/Action"), more));
    assert_eq!(found, [format!("{ERRAND}: s3:DeleteObject where an errand is asked and answers")]);
}
