//! Every process has a role of its own, and in it exactly what its wiring in the stack file needs.
//!
//! What is needed is worked out here once more, from the stack file and by another hand than Terraform's.

use std::collections::{BTreeMap, BTreeSet};

use isotherm_local_stack::names;
use isotherm_local_stack::provision::EMAIL_FROM;
use isotherm_local_stack::stack_file::{Access, Errand, Function, Notifier, Operator, Stack};
use serde_json::{Value, json};

use crate::rendered::{ACCOUNT, REGION, rendered, terraform_folder};
use crate::resources::Resources;

mod folders;
mod held;

use folders::folder_faults;
use held::{condition_faults, denial_faults, holder_faults};

/// What a role may do: action and resource.
type Grants = BTreeSet<(String, String)>;

/// Actions that know no resource that could be named beforehand, each with the reason for which it is granted all the same.
const ON_ANYTHING: [(&str, &str); 8] = [
    ("ec2:AssignPrivateIpAddresses", "Lambda makes the function's network interfaces with its role"),
    ("ec2:CreateNetworkInterface", "as above"),
    ("ec2:DeleteNetworkInterface", "as above"),
    ("ec2:DescribeNetworkInterfaces", "as above"),
    ("ec2:DescribeSubnets", "as above"),
    ("ec2:UnassignPrivateIpAddresses", "as above"),
    ("ecr:GetAuthorizationToken", "logging in to a registry is not logging in to a repository"),
    ("logs:DescribeLogGroups", "the role of flow logs looks its group up among all"),
];

/// Stands for what a `NotResource` leaves: everything but topics and devices, which is numbers.
const NUMBERS: &str = "all but arn:aws:sns:*:*:*";

fn arn(service: &str, rest: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}")
}

fn grant(grants: &mut Grants, actions: &[&str], resources: &[String]) {
    for resource in resources {
        grants.extend(actions.iter().map(|action| ((*action).to_owned(), resource.clone())));
    }
}

/// What functions and operators have in common.
struct Wiring<'a> {
    send: &'a [String],
    buckets: &'a BTreeMap<String, Access>,
    folders: &'a BTreeMap<String, String>,
    secrets: &'a [String],
}

fn grant_wiring(grants: &mut Grants, stack: &Stack, wiring: &Wiring<'_>) {
    let send: Vec<String> = wiring.send.iter().map(|key| queue_arn(stack, key)).collect();
    grant(grants, &["sqs:SendMessage"], &send);
    let mut has_key = !wiring.secrets.is_empty();
    for (key, access) in wiring.buckets {
        let bucket = format!("arn:aws:s3:::{}", names::bucket(key, &format!("{ACCOUNT}-{REGION}")));
        let objects = match wiring.folders.get(key) {
            Some(folder) => [format!("{bucket}/{folder}/*")],
            None => [format!("{bucket}/*")],
        };
        if matches!(access, Access::Read | Access::ReadWrite) {
            grant(grants, &["s3:ListBucket"], &[bucket]);
            grant(grants, &["s3:GetObject"], &objects);
        }
        if matches!(access, Access::Write | Access::ReadWrite) {
            grant(grants, &["s3:AbortMultipartUpload", "s3:PutObject"], &objects);
        }
        // Results are under the platform's key.
        if key == "results" {
            has_key = true;
            if *access != Access::Read {
                grant(grants, &["kms:GenerateDataKey"], &[arn("kms", "key/*")]);
            }
        }
    }
    for key in wiring.secrets {
        let end = if stack.secrets[key].per_name { "/*" } else { "-??????" };
        let secret = arn("secretsmanager", &format!("secret:{}{end}", names::secret(key)));
        grant(grants, &["secretsmanager:GetSecretValue"], &[secret]);
    }
    if has_key {
        grant(grants, &["kms:Decrypt"], &[arn("kms", "key/*")]);
    }
}

fn queue_arn(stack: &Stack, key: &str) -> String {
    arn("sqs", &names::queue(key, stack.queues[key].fifo))
}

/// What each role needs, by name.
fn needed(stack: &Stack) -> BTreeMap<String, Grants> {
    let mut roles = BTreeMap::new();
    let log = |name: &str| arn("logs", &format!("log-group:{name}:*"));
    for (key, function) in &stack.functions {
        let name = names::function(key);
        let mut grants = Grants::new();
        let Function { send, buckets, folders, secrets, .. } = function;
        grant_wiring(&mut grants, stack, &Wiring { send, buckets, folders, secrets });
        grant(&mut grants, &["logs:CreateLogStream", "logs:PutLogEvents"], &[log(&format!("/aws/lambda/{name}"))]);
        let interfaces = ON_ANYTHING.iter().map(|(action, _)| *action).filter(|action| action.starts_with("ec2:"));
        grant(&mut grants, &interfaces.collect::<Vec<_>>(), &["*".to_owned()]);
        for queue in function.send.iter().filter(|_| function.measure_queues) {
            let mut measured = vec![queue_arn(stack, queue)];
            if let Some(dead_letter) = &stack.queues[queue].dead_letter {
                measured.push(arn("sqs", &names::dead_letter_queue(queue, dead_letter.fifo)));
            }
            grant(&mut grants, &["sqs:GetQueueAttributes"], &measured);
        }
        for mapping in stack.event_source_mappings.values().filter(|mapping| mapping.function == *key) {
            let poll = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"];
            grant(&mut grants, &poll, &[queue_arn(stack, &mapping.queue)]);
        }
        let invoked = function.invoke.iter().map(|key| arn("lambda", &format!("function:{}", names::function(key))));
        grant(&mut grants, &["lambda:InvokeFunction"], &invoked.collect::<Vec<_>>());
        for notifier in &function.notify {
            match notifier {
                Notifier::Email => {
                    let (_, domain) = EMAIL_FROM.split_once('@').unwrap();
                    let identities = [EMAIL_FROM, domain].map(|name| arn("ses", &format!("identity/{name}")));
                    grant(&mut grants, &["ses:SendEmail"], &identities);
                }
                Notifier::Sms => grant(&mut grants, &["sns:Publish"], &[NUMBERS.to_owned()]),
            }
        }
        for operator in &function.run_operators {
            let family = names::task_definition(operator);
            grant(&mut grants, &["ecs:RunTask"], &[arn("ecs", &format!("task-definition/{family}:*"))]);
            let roles = ["execution", "operator"].map(|end| format!("arn:aws:iam::{ACCOUNT}:role/{family}-{end}"));
            grant(&mut grants, &["iam:PassRole"], &roles);
        }
        if !function.stop_operators.is_empty() {
            grant(&mut grants, &["ecs:StopTask"], &[arn("ecs", &format!("task/{}/*", names::cluster()))]);
        }
        roles.insert(name, grants);
    }
    for (key, operator) in &stack.operators {
        let family = names::task_definition(key);
        let mut grants = Grants::new();
        let Operator { send, buckets, folders, secrets, .. } = operator;
        grant_wiring(&mut grants, stack, &Wiring { send, buckets, folders, secrets });
        let receive = ["sqs:DeleteMessage", "sqs:ReceiveMessage"];
        grant(&mut grants, &receive, &[queue_arn(stack, &operator.queue)]);
        roles.insert(format!("{family}-operator"), grants);

        roles.insert(format!("{family}-execution"), execution_grants(&family));
    }
    for (key, errand) in &stack.errands {
        let family = names::task_definition(key);
        let mut grants = Grants::new();
        let Errand { buckets, folders, secrets, .. } = errand;
        grant_wiring(&mut grants, stack, &Wiring { send: &[], buckets, folders, secrets });
        if errand.administers_database {
            grant(&mut grants, &["secretsmanager:GetSecretValue"], &[arn("secretsmanager", "secret:rds!db-*")]);
            let database = arn("secretsmanager", &format!("secret:{}-??????", names::secret("database")));
            grant(&mut grants, &["secretsmanager:PutSecretValue"], &[database]);
            grant(&mut grants, &["kms:GenerateDataKey"], &[arn("kms", "key/*")]);
        }
        roles.insert(format!("{family}-operator"), grants);
        roles.insert(format!("{family}-execution"), execution_grants(&family));
    }
    let mut clock = Grants::new();
    let scheduled = stack.schedules.values().map(|schedule| &schedule.function).chain([&stack.cron_triggers.function]);
    for function in scheduled {
        let function = arn("lambda", &format!("function:{}", names::function(function)));
        grant(&mut clock, &["lambda:InvokeFunction"], &[function]);
    }
    roles.insert(format!("{}-scheduler", names::PREFIX), clock);
    let mut flow_log = Grants::new();
    let lines = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"];
    grant(&mut flow_log, &lines, &[log("/isotherm/network")]);
    grant(&mut flow_log, &["logs:DescribeLogGroups"], &["*".to_owned()]);
    roles.insert(format!("{}-flow-log", names::PREFIX), flow_log);
    roles
}

/// What ECS needs to start the one container of `family`.
fn execution_grants(family: &str) -> Grants {
    let mut grants = Grants::new();
    let lines = ["logs:CreateLogStream", "logs:PutLogEvents"];
    grant(&mut grants, &lines, &[arn("logs", &format!("log-group:/isotherm/operators/{family}:*"))]);
    let pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
    grant(&mut grants, &pull, &[arn("ecr", &format!("repository/{family}"))]);
    grant(&mut grants, &["ecr:GetAuthorizationToken"], &["*".to_owned()]);
    grants
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text.as_str()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// What the policies of each role grant, by the role's name.
fn granted(resources: &Resources) -> BTreeMap<String, Grants> {
    let mut roles: BTreeMap<String, Grants> = BTreeMap::new();
    for policy in resources.all("aws_iam_role_policy") {
        let role = policy.text("/role").unwrap_or(&policy.address).to_owned();
        let grants = roles.entry(role).or_default();
        for statement in policy.json("/policy")["Statement"].as_array().into_iter().flatten() {
            if statement["Effect"] == "Allow" {
                let actions = texts(&statement["Action"]);
                for resource in texts(&statement["Resource"]) {
                    grant(grants, &actions, &[resource.to_owned()]);
                }
                if !statement["NotResource"].is_null() {
                    grant(grants, &actions, &[format!("all but {}", texts(&statement["NotResource"]).join(" and "))]);
                }
            }
        }
    }
    roles
}

fn faults(resources: &Resources, stack: &Stack) -> Vec<String> {
    let mut faults = Vec::new();
    let (needed, granted) = (needed(stack), granted(resources));
    let none = Grants::new();
    for role in needed.keys().chain(granted.keys()).collect::<BTreeSet<_>>() {
        let (needs, has) = (needed.get(role).unwrap_or(&none), granted.get(role).unwrap_or(&none));
        let more =
            has.difference(needs).map(|(action, resource)| format!("{role}: {action} on {resource} is not needed"));
        let less = needs.difference(has).map(|(action, resource)| format!("{role}: {action} on {resource} is missing"));
        faults.extend(more.chain(less));
    }
    for (role, grants) in &granted {
        for (action, resource) in grants {
            let is_reviewed = ON_ANYTHING.iter().any(|(known, _)| known == action);
            let is_open = resource == "*" || (resource.starts_with("all but ") && resource != NUMBERS);
            if action.contains('*') || (is_open && !is_reviewed) {
                faults.push(format!("{role}: {action} on {resource} is everything"));
            }
        }
    }
    for kind in ["aws_iam_role_policy_attachment", "aws_iam_policy", "aws_iam_user", "aws_iam_role_policies_exclusive"]
    {
        faults.extend(resources.all(kind).map(|found| format!("{}: permissions beside the one policy", found.address)));
    }
    faults.extend(condition_faults(resources));
    faults.extend(denial_faults(resources, stack));
    faults.extend(holder_faults(resources));
    faults.extend(folder_faults(resources));
    faults
}

fn stack() -> Stack {
    Stack::read(&terraform_folder().join("stack.yaml")).unwrap()
}

#[test]
fn roles_are_exactly_what_the_wiring_needs() {
    for environment in ["dev", "prod"] {
        let Some(real) = rendered(environment) else { return };
        let none: [String; 0] = [];
        assert_eq!(faults(&real, &stack()), none, "{environment}");
    }
}

#[test]
fn a_role_with_more_or_less_is_named() {
    let Some(real) = rendered("prod") else { return };
    let reaper = r#"module.lambda_function["reaper"].aws_iam_role_policy.this"#;
    let compact = r#"module.fargate_operator["parquet_compact"].aws_iam_role_policy.task"#;
    let function = r#"module.lambda_function["reaper"].aws_lambda_function.this"#;
    let role = r#"module.lambda_function["reaper"].aws_iam_role.this"#;
    let policy = real.at(reaper).json("/policy");
    let place = |action: &str| {
        let statements = policy["Statement"].as_array().unwrap();
        statements.iter().position(|statement| texts(&statement["Action"]).contains(&action)).unwrap()
    };
    let (send, stop) = (place("sqs:SendMessage"), place("ecs:StopTask"));
    let events = arn("sqs", "isotherm-events.fifo");

    let more = real.planted_in_json(
        reaper,
        "/policy",
        &format!("/Statement/{send}/Action"),
        json!(["sqs:SendMessage", "sqs:PurgeQueue"]),
    );
    let more = faults(&more, &stack());
    assert!(more.contains(&format!("isotherm-reaper: sqs:PurgeQueue on {events} is not needed")), "{more:?}");

    let less = real.planted_in_json(reaper, "/policy", &format!("/Statement/{send}/Resource"), json!([]));
    let less = faults(&less, &stack());
    assert!(less.contains(&format!("isotherm-reaper: sqs:SendMessage on {events} is missing")), "{less:?}");

    let all = real.planted_in_json(compact, "/policy", "/Statement/0/Action", "sqs:*");
    let all = faults(&all, &stack());
    assert!(all.iter().any(|fault| fault.contains("sqs:* on") && fault.ends_with("is everything")), "{all:?}");

    let deliver = r#"module.lambda_function["alert_deliver"].aws_iam_role_policy.this"#;
    let sent = real.at(deliver).json("/policy");
    let texting = sent["Statement"].as_array().unwrap().iter().position(|statement| statement["Sid"] == "SendTexts");
    let texting = format!("/Statement/{}", texting.unwrap());
    let to_topics = json!({ "Effect": "Allow", "Action": ["sns:Publish"], "Resource": "*" });
    let topics = faults(&real.planted_in_json(deliver, "/policy", &texting, to_topics), &stack());
    assert!(topics.contains(&"isotherm-alert-deliver: sns:Publish on * is everything".to_owned()), "{topics:?}");
    let to_most = json!({ "Effect": "Allow", "Action": ["sns:Publish"], "NotResource": ["arn:aws:sns:*:*:other"] });
    let most = faults(&real.planted_in_json(deliver, "/policy", &texting, to_most), &stack());
    assert!(
        most.iter().any(|fault| fault.ends_with("sns:Publish on all but arn:aws:sns:*:*:other is everything")),
        "{most:?}"
    );

    let denial = policy["Statement"].as_array().unwrap().iter().position(|statement| statement["Effect"] == "Deny");
    let denial = format!("/Statement/{}", denial.unwrap());
    let other = json!([arn("lambda", "function:isotherm-dispatcher")]);
    let mistakes = [
        ("Action", json!(["ec2:CreateNetworkInterface"])),
        ("Resource", json!("arn:aws:ec2:*:*:subnet/*")),
        ("Condition", json!({})),
        ("Condition/ArnEquals/lambda:SourceFunctionArn", other),
    ];
    for (part, mistake) in mistakes {
        let planted = real.planted_in_json(reaper, "/policy", &format!("{denial}/{part}"), mistake);
        assert_eq!(faults(&planted, &stack()), [format!("{reaper}: its code may make network interfaces")], "{part}");
    }

    let cases = [
        (
            real.planted_in_json(reaper, "/policy", &format!("/Statement/{stop}/Condition"), json!({})),
            format!("{reaper}: ecs:StopTask is not held to what it is for"),
        ),
        (
            real.planted_in_json(role, "/assume_role_policy", "/Statement/0/Principal", json!({ "AWS": "*" })),
            format!("{role}: others than one service may take it"),
        ),
        (real.planted(function, "/role", "mock-role"), format!("{function}: it has no role")),
        (
            real.with_new("aws_iam_role_policy_attachment", json!({})),
            "aws_iam_role_policy_attachment.planted: permissions beside the one policy".to_owned(),
        ),
    ];
    for (planted, expected) in cases {
        assert_eq!(faults(&planted, &stack()), [expected]);
    }
}
