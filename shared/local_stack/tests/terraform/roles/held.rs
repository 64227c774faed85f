//! What grants are held to beside action and resource: conditions, denials, and who holds a role.

use std::collections::{BTreeMap, BTreeSet};

use isotherm_local_stack::names;
use isotherm_local_stack::stack_file::Stack;
use serde_json::{Value, json};

use super::{ON_ANYTHING, arn, texts};
use crate::resources::Resources;

/// Actions on patterns are held to the cluster, the key and the service that they are for.
pub(super) fn condition_faults(resources: &Resources) -> Vec<String> {
    let cluster = json!({ "ArnEquals": { "ecs:cluster": [arn("ecs", &format!("cluster/{}", names::cluster()))] } });
    let passed = json!({ "StringEquals": { "iam:PassedToService": ["ecs-tasks.amazonaws.com"] } });
    let mut faults = Vec::new();
    for policy in resources.all("aws_iam_role_policy") {
        for statement in policy.json("/policy")["Statement"].as_array().into_iter().flatten() {
            let condition = &statement["Condition"];
            for action in texts(&statement["Action"]).into_iter().filter(|_| statement["Effect"] == "Allow") {
                let is_held = match action {
                    // RDS's own name for it has six random characters, and could be another database's.
                    "secretsmanager:GetSecretValue"
                        if statement["Resource"].as_str().is_some_and(|at| at.contains("rds!")) =>
                    {
                        let of = arn("rds", "db:isotherm");
                        *condition == json!({ "StringEquals": { "aws:ResourceTag/aws:rds:primaryDBInstanceArn": of } })
                    }
                    "ecs:RunTask" | "ecs:StopTask" => *condition == cluster,
                    "iam:PassRole" => *condition == passed,
                    _ if action.starts_with("kms:") => {
                        let aliases = &condition["ForAnyValue:StringEquals"]["kms:ResourceAliases"];
                        *aliases == json!(["alias/isotherm"])
                            && condition["StringEquals"]["kms:ViaService"].as_array().is_some_and(|via| !via.is_empty())
                    }
                    _ => true,
                };
                if !is_held {
                    faults.push(format!("{}: {action} is not held to what it is for", policy.address));
                }
            }
        }
    }
    faults
}

/// What Lambda may do with a function's role and the function's own code may not: nothing is denied but this, on everything,
/// and to that function. Source: AWS Lambda developer guide, "Giving Lambda functions access to resources in an Amazon VPC".
pub(super) fn denial_faults(resources: &Resources, stack: &Stack) -> Vec<String> {
    let mut faults = Vec::new();
    let interfaces: BTreeSet<&str> =
        ON_ANYTHING.iter().map(|(action, _)| *action).filter(|action| action.starts_with("ec2:")).collect();
    for policy in resources.all("aws_iam_role_policy") {
        let document = policy.json("/policy");
        let statements = document["Statement"].as_array().into_iter().flatten();
        let denials: Vec<&Value> = statements.filter(|statement| statement["Effect"] != "Allow").collect();
        let mut functions = stack.functions.keys().map(|key| names::function(key));
        let Some(function) = functions.find(|name| policy.text("/role") == Some(name.as_str())) else {
            if !denials.is_empty() {
                faults.push(format!("{}: it denies, and is no function's", policy.address));
            }
            continue;
        };
        let is_held = |denial: &Value| {
            let function = arn("lambda", &format!("function:{function}"));
            let held = json!({ "ArnEquals": { "lambda:SourceFunctionArn": [function] } });
            denial["Effect"] == "Deny"
                && texts(&denial["Action"]).into_iter().collect::<BTreeSet<_>>() == interfaces
                && denial["Resource"] == "*"
                && denial["Condition"] == held
                && ["Principal", "NotPrincipal", "NotAction", "NotResource"].iter().all(|key| denial[*key].is_null())
        };
        if denials.len() != 1 || !is_held(denials[0]) {
            faults.push(format!("{}: its code may make network interfaces", policy.address));
        }
    }
    faults
}

/// No two processes share a role, and each role is taken by the one service that it is for.
pub(super) fn holder_faults(resources: &Resources) -> Vec<String> {
    let mut faults = Vec::new();
    let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
    let functions = resources.all("aws_lambda_function").map(|found| (found, "/role"));
    let tasks = resources.all("aws_ecs_task_definition").map(|found| (found, "/task_role_arn"));
    let executions = resources.all("aws_ecs_task_definition").map(|found| (found, "/execution_role_arn"));
    for (process, pointer) in functions.chain(tasks).chain(executions) {
        let Some(role) = process.text(pointer) else {
            faults.push(format!("{}: it has no role", process.address));
            continue;
        };
        if let Some(other) = holders.insert(role, &process.address) {
            faults.push(format!("{}: it has the role of {other}", process.address));
        }
    }
    for role in resources.all("aws_iam_role") {
        let trust = role.json("/assume_role_policy");
        let statements = trust["Statement"].as_array().map_or(0, Vec::len);
        if statements != 1 || !trust["Statement"][0]["Principal"]["Service"].is_string() {
            faults.push(format!("{}: others than one service may take it", role.address));
        }
    }
    faults
}
