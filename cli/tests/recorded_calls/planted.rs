//! Mistakes in roles are found. What is recorded here is what the roles grant, as if each had been used once, so that one mistake is
//! all there is to find.

use std::collections::BTreeSet;

use isotherm_lab::aws_calls::AwsCall;
use serde_json::{Value, json};

use crate::judge::{Judgement, grants, judge, roles};
use crate::policy::{Effect, Scope};
use crate::rendered::rendered;
use crate::resources::Resources;
use crate::reviewed::{self, Called, FILE, Grant, Reviewed};

const REAPER: &str = r#"module.lambda_function["reaper"].aws_iam_role_policy.this"#;

/// A call for everything that is granted, but for what the review says is never called.
fn everything_used(resources: &Resources, reviewed: &[Reviewed]) -> BTreeSet<AwsCall> {
    let is_never_called =
        |grant: &Grant| reviewed.iter().any(|entry| entry.called == Called::Never && entry.covers(grant));
    let mut calls = BTreeSet::new();
    for (role, statements) in &roles(resources).0 {
        for statement in statements.iter().filter(|statement| statement.effect == Effect::Allow) {
            let of_role = grants(role, statement).into_iter();
            for (grant, scope) in of_role.filter(|(grant, _)| !is_never_called(grant)) {
                let resource = match scope {
                    Scope::On(patterns) => patterns[0].replace(['*', '?'], "x"),
                    Scope::NotOn(_) => "+".to_owned(),
                };
                let context = statement.conditions.iter();
                calls.insert(AwsCall {
                    principal: grant.role,
                    action: grant.action,
                    resource,
                    context: context.map(|condition| (condition.key.clone(), condition.values[0].clone())).collect(),
                });
            }
        }
    }
    assert!(calls.len() > 100, "only {} calls", calls.len());
    calls
}

struct Scene {
    real: Resources,
    reviewed: Vec<Reviewed>,
    calls: BTreeSet<AwsCall>,
}

impl Scene {
    fn of(environment: &str) -> Option<Self> {
        let (real, reviewed) = (rendered(environment)?, reviewed::read());
        let calls = everything_used(&real, &reviewed);
        Some(Self { real, reviewed, calls })
    }

    fn judge(&self, resources: &Resources) -> Judgement {
        judge(resources, &self.calls, &self.reviewed)
    }

    /// The policy of the reaper with one statement changed: the one that has `action`.
    fn with_reaper(&self, action: &str, member: &str, value: Value) -> Resources {
        let policy = self.real.at(REAPER).json("/policy");
        let has = |statement: &Value| statement["Action"].as_array().is_some_and(|all| all.contains(&json!(action)));
        let place = policy["Statement"].as_array().unwrap().iter().position(has).unwrap();
        self.real.planted_in_json(REAPER, "/policy", &format!("/Statement/{place}/{member}"), value)
    }
}

#[test]
fn roles_without_a_mistake_are_passed() {
    for environment in ["dev", "prod"] {
        let Some(scene) = Scene::of(environment) else { return };
        let judgement = scene.judge(&scene.real);
        assert!(judgement.is_clean(), "{environment}:\n{judgement}");
    }
}

#[test]
fn a_permission_that_is_taken_away_is_named_with_its_role() {
    let Some(scene) = Scene::of("dev") else { return };
    let less = scene.judge(&scene.with_reaper("ecs:StopTask", "Action", json!([])));
    let task = "arn:aws:ecs:eu-west-1:123456789012:task/isotherm/x";
    assert_eq!(less.faults, [format!("isotherm-reaper: ecs:StopTask on {task} is called and not granted")]);
    let cluster = json!("arn:aws:ecs:eu-west-1:123456789012:cluster/other");
    let elsewhere = scene.judge(&scene.with_reaper("ecs:StopTask", "Condition/ArnEquals/ecs:cluster", cluster));
    assert_eq!(elsewhere.faults, less.faults);
    assert_eq!(elsewhere.unreviewed.len(), 1, "what is left of it is of no use");
}

#[test]
fn passing_on_a_role_and_using_a_key_are_needed_though_nobody_calls_them() {
    let Some(scene) = Scene::of("dev") else { return };
    let dispatcher = r#"module.lambda_function["dispatcher"].aws_iam_role_policy.this"#;
    let query = r#"module.lambda_function["query"].aws_iam_role_policy.this"#;
    for (address, action, expected) in [
        (
            dispatcher,
            "iam:PassRole",
            "isotherm-dispatcher: iam:PassRole on arn:aws:iam::123456789012:role/isotherm-noop-",
        ),
        (
            query,
            "kms:GenerateDataKey",
            "isotherm-query: kms:GenerateDataKey on arn:aws:kms:eu-west-1:123456789012:key/",
        ),
        (query, "kms:Decrypt", "isotherm-query: kms:Decrypt on arn:aws:kms:eu-west-1:123456789012:key/"),
    ] {
        let mut calls = scene.calls.clone();
        calls.retain(|call| call.action != action);
        let mut policy = scene.real.at(address).json("/policy");
        let statements = policy["Statement"].as_array_mut().unwrap();
        statements.retain(|statement| statement["Action"] != json!([action]));
        let less = scene.real.planted(address, "/policy", policy.to_string());
        let faults = judge(&less, &calls, &scene.reviewed).faults;
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{action}: {faults:#?}");
    }
}

#[test]
fn a_queue_that_is_called_otherwise_on_one_side_is_found() {
    let Some(scene) = Scene::of("dev") else { return };
    let rename = |text: &str| text.replace("isotherm-tasks-noop.fifo", "isotherm-tasks-nope.fifo");
    let queue = |name: &str| format!("arn:aws:sqs:eu-west-1:123456789012:isotherm-tasks-{name}.fifo");
    let receive =
        |name: &str| format!("isotherm-noop-operator: sqs:ReceiveMessage on {} is called and not granted", queue(name));

    // In the code.
    let calls = scene.calls.iter().map(|call| AwsCall { resource: rename(&call.resource), ..call.clone() });
    let of_code = judge(&scene.real, &calls.collect(), &scene.reviewed);
    assert!(of_code.faults.contains(&receive("nope")), "{of_code}");

    // In Terraform.
    let mut renamed = scene.real.clone();
    for policy in scene.real.all("aws_iam_role_policy") {
        let text = policy.text("/policy").unwrap();
        if text != rename(text) {
            renamed = renamed.planted(&policy.address, "/policy", rename(text));
        }
    }
    let of_terraform = scene.judge(&renamed);
    assert!(of_terraform.faults.contains(&receive("noop")), "{of_terraform}");
    let left_over = Grant {
        role: "isotherm-noop-operator".to_owned(),
        action: "sqs:ReceiveMessage".to_owned(),
        resource: "arn:aws:sqs:REGION:ACCOUNT:isotherm-tasks-nope.fifo".to_owned(),
    };
    assert!(of_terraform.unreviewed.contains(&left_over), "{of_terraform}");
}

#[test]
fn a_request_of_an_errand_that_others_write_is_not_granted() {
    let Some(mut scene) = Scene::of("dev") else { return };
    let request = "arn:aws:s3:::isotherm-results-123456789012-eu-west-1/deploy/1/request.json";
    let roles = ["isotherm-duckdb-query-operator", "isotherm-noop-operator", "isotherm-query"];
    let writes = roles.map(|role| {
        let is_write = |call: &&AwsCall| call.principal == role && call.action == "s3:PutObject";
        let found = scene.calls.iter().find(is_write).unwrap_or_else(|| panic!("{role} writes nothing"));
        AwsCall { resource: request.to_owned(), ..found.clone() }
    });
    scene.calls.extend(writes);
    let expected = roles.map(|role| format!("{role}: s3:PutObject on {request} is called and not granted"));
    assert_eq!(scene.judge(&scene.real).faults, expected);
}

#[test]
fn all_actions_of_a_service_are_too_many() {
    let Some(scene) = Scene::of("dev") else { return };
    for wide in ["ecs:*", "ecs:Stop*", "*"] {
        let judgement = scene.judge(&scene.with_reaper("ecs:StopTask", "Action", json!([wide])));
        let fault = format!("isotherm-reaper: {wide} is granted; name its actions one by one");
        assert!(judgement.faults.contains(&fault), "{judgement}");
    }
}

#[test]
fn what_nobody_uses_is_listed_as_the_lines_that_the_review_lacks() {
    let Some(scene) = Scene::of("dev") else { return };
    let more = scene.judge(&scene.with_reaper("ecs:StopTask", "Action", json!(["ecs:StopTask", "ecs:ListTasks"])));
    let said = more.to_string();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            format!("granted and not called: take it away, or add to {FILE}, with the reason:").as_str(),
            "  - { role: isotherm-reaper, action: \"ecs:ListTasks\", resource: \"arn:aws:ecs:REGION:ACCOUNT:task/isotherm/*\", \
             called: never, reason: \"\" }",
        ]
    );
}

#[test]
fn an_entry_of_the_review_that_is_not_needed_any_more_is_named() {
    let Some(mut scene) = Scene::of("dev") else { return };
    let entry = |action: &str, called: Called| Reviewed {
        role: "isotherm-reaper".to_owned(),
        action: action.to_owned(),
        resource: "*".to_owned(),
        called,
        reason: "once it was so".to_owned(),
    };
    let needed = scene.reviewed.clone();
    for (stale, expected) in [
        (entry("ecs:ListTasks", Called::Sometimes), "is granted nowhere; remove the entry"),
        (entry("ecs:StopTask", Called::Never), "is called, by isotherm-reaper: ecs:StopTask on"),
    ] {
        let start = format!("{FILE}: {} of isotherm-reaper on * {expected}", stale.action);
        scene.reviewed = [needed.clone(), vec![stale]].concat();
        let faults = scene.judge(&scene.real).faults;
        assert!(faults.len() == 1 && faults[0].starts_with(&start), "{faults:#?}");
    }
    scene.reviewed = [needed, vec![entry("ecs:StopTask", Called::Sometimes)]].concat();
    assert!(scene.judge(&scene.real).is_clean(), "what is used now and then may be used");
}

#[test]
fn a_caller_without_a_role_and_a_policy_that_nobody_understands_are_faults() {
    let Some(mut scene) = Scene::of("dev") else { return };
    let unknown = scene.judge(&scene.with_reaper("ecs:StopTask", "Condition", json!({ "Null": { "a": "true" } })));
    assert!(unknown.faults.contains(&"isotherm-reaper: the condition Null is not understood".to_owned()), "{unknown}");
    let found = scene.calls.iter().find(|call| call.action == "sqs:SendMessage").unwrap();
    let stranger = AwsCall { principal: "isotherm-stranger".to_owned(), ..found.clone() };
    let fault =
        format!("isotherm-stranger: there is no such role, and it calls sqs:SendMessage on {}", stranger.resource);
    scene.calls.insert(stranger);
    assert_eq!(scene.judge(&scene.real).faults, [fault]);
}

#[test]
fn objects_are_reached_only_where_the_endpoint_lets_them_through() {
    let Some(scene) = Scene::of("dev") else { return };
    let endpoint = "module.network.aws_vpc_endpoint.s3";
    let less = scene.real.planted_in_json(endpoint, "/policy", "/Statement/0/Action", json!(["s3:GetObject"]));
    let faults = scene.judge(&less).faults;
    let cold = "arn:aws:s3:::isotherm-cold-123456789012-eu-west-1/x";
    let expected = format!(
        "isotherm-parquet-compact-operator: s3:PutObject on {cold} is called, and the endpoint of S3 does not let it through"
    );
    assert!(faults.contains(&expected), "{faults:#?}");
}
