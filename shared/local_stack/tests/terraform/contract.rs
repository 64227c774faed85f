//! One machine and AWS have the same: what the local stack created on the emulator, and what Terraform makes, field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::rendered::rendered;

mod applied;
mod emulator;

/// Fields of things, both by name. Figures and texts are as they are; addresses are the names in them.
pub(crate) type Facts = BTreeMap<String, BTreeMap<String, String>>;

/// Fields of one thing.
type Fields = BTreeMap<String, String>;

fn fields<const COUNT: usize>(fields: [(&str, String); COUNT]) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A number, or that there is none.
fn figure<T: ToString>(number: Option<T>) -> String {
    number.map_or_else(|| "none".to_owned(), |number| number.to_string())
}

/// A JSON object with its members in order.
fn canonical(text: &str) -> String {
    let members: BTreeMap<String, Value> = serde_json::from_str(text).unwrap();
    serde_json::to_string(&members).unwrap()
}

/// A variable's value without what differs between accounts: queues and secrets by name, networks not at all.
fn variable(name: &str, value: &str) -> String {
    if name.starts_with("ISOTHERM_QUEUE_") {
        return crate::resources::last_part(value).to_owned();
    }
    if name.starts_with("ISOTHERM_SECRET_") {
        // Secrets Manager adds `-` and six characters to a name.
        let named = value.find("isotherm/").map_or(value, |begin| &value[begin..]);
        return named.split_once('-').map_or(named, |(named, _)| named).to_owned();
    }
    // Certificates are what a person wrote down, the same wherever they go.
    if name.starts_with("ISOTHERM_DATABASE_") && name != "ISOTHERM_DATABASE_CA" {
        return "of the database".to_owned();
    }
    if matches!(name, "ISOTHERM_SUBNETS" | "ISOTHERM_SECURITY_GROUPS") {
        return "of the network".to_owned();
    }
    value.to_owned()
}

/// Adds a process's variables; those that are not the platform's lead to the emulator.
fn add_variables<'a>(fields: &mut Fields, variables: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let ours = variables.into_iter().filter(|(name, _)| name.starts_with("ISOTHERM_"));
    fields.extend(ours.map(|(name, value)| (format!("variable {name}"), variable(name, value))));
}

/// What `here` has otherwise than `there`, a line each.
fn differences(here: &Facts, there: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    let things: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    for thing in things {
        let (Some(here), Some(there)) = (here.get(thing), there.get(thing)) else {
            let side = if here.contains_key(thing) { "first" } else { "second" };
            found.push(format!("{thing}: only the {side} has it"));
            continue;
        };
        let names: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
        for name in names {
            let (one, other) = (here.get(name), there.get(name));
            if one != other {
                found.push(format!("{thing}: {name}: {} and {}", figure(one), figure(other)));
            }
        }
    }
    found
}

#[tokio::test]
async fn one_machine_has_what_terraform_makes_field_by_field() {
    let (Some(dev), Some(prod)) = (rendered("dev"), rendered("prod")) else { return };
    let local = emulator::facts().await;
    for kind in ["queue", "function", "mapping", "schedule", "route", "operator", "bucket", "secret", "cluster"] {
        assert!(local.keys().any(|thing| thing.starts_with(&format!("{kind} "))), "no {kind} is compared");
    }
    let none: [String; 0] = [];
    assert_eq!(differences(&local, &applied::facts(&dev)), none);
    assert_eq!(differences(&local, &applied::facts(&prod)), none);
}

#[test]
fn what_terraform_makes_otherwise_is_named() {
    let Some(real) = rendered("dev") else { return };
    let facts = applied::facts(&real);
    let queue = r#"module.queue["events"].aws_sqs_queue.this"#;
    let function = r#"module.lambda_function["dispatcher"].aws_lambda_function.this"#;
    let mapping = r#"module.lambda_function["dispatcher"].aws_lambda_event_source_mapping.this["dispatcher_events"]"#;
    let schedule = r#"module.scheduler.aws_scheduler_schedule.this["reaper"]"#;
    let route = r#"module.api.aws_apigatewayv2_route.this["POST /v1/query"]"#;
    let operator = r#"module.fargate_operator["noop"].aws_ecs_task_definition.this"#;
    let other_queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/isotherm-thresholds.fifo";
    let cases = [
        (real.planted(queue, "/visibility_timeout_seconds", 60), "queue isotherm-events.fifo: visibility: 180 and 60"),
        (
            real.planted_in_json(queue, "/redrive_policy", "/maxReceiveCount", 3),
            "queue isotherm-events.fifo: max receives: 5 and 3",
        ),
        (
            real.planted(function, "/environment/0/variables/ISOTHERM_QUEUE_EVENTS_URL", other_queue),
            "function isotherm-dispatcher: variable ISOTHERM_QUEUE_EVENTS_URL: isotherm-events.fifo and \
             isotherm-thresholds.fifo",
        ),
        (
            real.planted(mapping, "/batch_size", 1),
            "mapping isotherm-events.fifo to isotherm-dispatcher: batch: 10 and 1",
        ),
        (
            real.planted(schedule, "/schedule_expression", "rate(1 hour)"),
            "schedule isotherm/isotherm-reaper: expression: rate(1 minute) and rate(1 hour)",
        ),
        (
            real.planted(route, "/authorization_type", "AWS_IAM"),
            "route POST /v1/query: authorization: NONE and AWS_IAM",
        ),
        (
            real.planted_in_json(operator, "/container_definitions", "/0/stopTimeout", 30),
            "operator isotherm-noop: stop time-out: 60 and 30",
        ),
    ];
    for (planted, expected) in cases {
        assert_eq!(differences(&facts, &applied::facts(&planted)), [expected]);
    }
    let shell = r#"module.secrets.aws_secretsmanager_secret.this["webhook/smoke"]"#;
    let without = differences(&facts, &applied::facts(&real.without(shell)));
    assert_eq!(without, ["secret isotherm/webhook/smoke: only the first has it"]);
    let errand = r#"module.errand["migrate"].aws_ecs_task_definition.this"#;
    let containers = real.at(errand).json("/container_definitions");
    let mut variables = containers[0]["environment"].as_array().unwrap().iter();
    let place = variables.position(|one| one["name"] == "ISOTHERM_DATABASE_CA").unwrap();
    let value = format!("/0/environment/{place}/value");
    let others = applied::facts(&real.planted_in_json(errand, "/container_definitions", &value, "others"));
    let [found]: [String; 1] = differences(&facts, &others).try_into().unwrap();
    assert!(found.starts_with("operator isotherm-migrate: variable ISOTHERM_DATABASE_CA: -----BEGIN"), "{found}");
    assert!(found.ends_with(" and others"), "{found}");
    let renamed = differences(&facts, &applied::facts(&real.planted(queue, "/name", "isotherm-event.fifo")));
    assert!(renamed.contains(&"queue isotherm-event.fifo: only the second has it".to_owned()), "{renamed:?}");
    assert!(renamed.contains(&"queue isotherm-events.fifo: only the first has it".to_owned()), "{renamed:?}");
}
