//! Facts from what Terraform makes.

use std::collections::BTreeSet;

use isotherm_local_stack::{Stack, names};
use serde_json::Value;

use super::{Facts, Fields, add_variables, canonical, fields, figure};
use crate::rendered::terraform_folder;
use crate::resources::{Resource, Resources, last_part};

/// All that the local stack has too.
pub(super) fn facts(resources: &Resources) -> Facts {
    let mut facts = Facts::new();
    for queue in resources.all("aws_sqs_queue") {
        facts.insert(format!("queue {}", name(queue)), queue_fields(queue));
    }
    for function in resources.all("aws_lambda_function") {
        facts.insert(format!("function {}", name_at(function, "/function_name")), function_fields(function));
    }
    for mapping in resources.all("aws_lambda_event_source_mapping") {
        let ends = ["/event_source_arn", "/function_name"].map(|end| last_part(name_at(mapping, end)));
        facts.insert(format!("mapping {} to {}", ends[0], ends[1]), mapping_fields(mapping));
    }
    for group in resources.all("aws_scheduler_schedule_group") {
        facts.insert(format!("group {}", name(group)), Fields::new());
    }
    for schedule in resources.all("aws_scheduler_schedule") {
        let group = name_at(schedule, "/group_name");
        facts.insert(format!("schedule {group}/{}", name(schedule)), schedule_fields(schedule));
    }
    for route in resources.all("aws_apigatewayv2_route") {
        let key = name_at(route, "/route_key");
        facts.insert(format!("route {key}"), route_fields(route, resources));
    }
    for operator in resources.all("aws_ecs_task_definition") {
        facts.insert(format!("operator {}", name_at(operator, "/family")), operator_fields(operator));
    }
    for bucket in resources.all("aws_s3_bucket") {
        let name = name_at(bucket, "/bucket");
        facts.insert(format!("bucket {name}"), bucket_fields(name, resources));
    }
    // Of secrets per name those of the stack file: others one machine has from its commands, Terraform from its variables.
    let stack = Stack::read(&terraform_folder().join("stack.yaml")).unwrap();
    let listed: BTreeSet<String> = stack.named_secrets().iter().map(|name| names::secret(name)).collect();
    let is_shared = |secret: &&Resource| name(secret).matches('/').count() == 1 || listed.contains(name(secret));
    for secret in resources.all("aws_secretsmanager_secret").filter(is_shared) {
        facts.insert(format!("secret {}", name(secret)), Fields::new());
    }
    for cluster in resources.all("aws_ecs_cluster") {
        facts.insert(format!("cluster {}", name(cluster)), Fields::new());
    }
    facts
}

fn name(resource: &Resource) -> &str {
    name_at(resource, "/name")
}

fn name_at<'a>(resource: &'a Resource, pointer: &str) -> &'a str {
    resource.text(pointer).unwrap_or_else(|| panic!("{} does not say {pointer}", resource.address))
}

fn said(resource: &Resource, pointer: &str) -> String {
    figure(resource.text(pointer))
}

fn queue_fields(queue: &Resource) -> Fields {
    let mut found = fields([
        ("fifo", queue.is("/fifo_queue").to_string()),
        ("retention", figure(queue.number("/message_retention_seconds"))),
    ]);
    if !name(queue).contains("-dlq") {
        let redrive = queue.json("/redrive_policy");
        found.extend(fields([
            ("visibility", figure(queue.number("/visibility_timeout_seconds"))),
            ("scope", said(queue, "/deduplication_scope")),
            ("limit", said(queue, "/fifo_throughput_limit")),
            ("dead letters", figure(redrive["deadLetterTargetArn"].as_str().map(last_part))),
            ("max receives", figure(redrive["maxReceiveCount"].as_i64())),
        ]));
    }
    found
}

fn function_fields(function: &Resource) -> Fields {
    let mut found = fields([
        ("memory", figure(function.number("/memory_size"))),
        ("time-out", figure(function.number("/timeout"))),
        ("storage", figure(function.number("/ephemeral_storage/0/size"))),
        ("runtime", said(function, "/runtime")),
        ("handler", said(function, "/handler")),
        ("architecture", function.list("/architectures").join(",")),
        ("concurrency", figure(function.number("/reserved_concurrent_executions"))),
        ("role", figure(function.text("/role").map(last_part))),
    ]);
    let variables = function.values.pointer("/environment/0/variables").and_then(Value::as_object);
    let pairs = variables.into_iter().flatten();
    add_variables(&mut found, pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))));
    found
}

fn mapping_fields(mapping: &Resource) -> Fields {
    fields([
        ("batch", figure(mapping.number("/batch_size"))),
        ("answers", mapping.list("/function_response_types").join(",")),
        ("concurrency", figure(mapping.number("/scaling_config/0/maximum_concurrency"))),
        ("enabled", mapping.is("/enabled").to_string()),
    ])
}

fn schedule_fields(schedule: &Resource) -> Fields {
    fields([
        ("expression", said(schedule, "/schedule_expression")),
        ("zone", said(schedule, "/schedule_expression_timezone")),
        ("window", said(schedule, "/flexible_time_window/0/mode")),
        ("function", figure(schedule.text("/target/0/arn").map(last_part))),
        ("role", figure(schedule.text("/target/0/role_arn").map(last_part))),
        ("input", figure(schedule.text("/target/0/input").map(canonical))),
        ("attempts", figure(schedule.number("/target/0/retry_policy/0/maximum_retry_attempts"))),
        ("age", figure(schedule.number("/target/0/retry_policy/0/maximum_event_age_in_seconds"))),
    ])
}

fn route_fields(route: &Resource, resources: &Resources) -> Fields {
    let id = route.text("/target").map(last_part);
    let integration = resources.all("aws_apigatewayv2_integration").find(|found| found.text("/id") == id);
    let integration = integration.unwrap_or_else(|| panic!("{} leads nowhere", route.address));
    fields([
        ("authorization", said(route, "/authorization_type")),
        ("function", figure(integration.text("/integration_uri").map(last_part))),
        ("kind", said(integration, "/integration_type")),
        ("payload", said(integration, "/payload_format_version")),
        ("time-out", figure(integration.number("/timeout_milliseconds"))),
    ])
}

fn operator_fields(operator: &Resource) -> Fields {
    let containers = operator.json("/container_definitions");
    let [container] = containers.as_array().unwrap().as_slice() else { panic!("{}: not one", operator.address) };
    let mut found = fields([
        ("cpu", said(operator, "/cpu")),
        ("memory", said(operator, "/memory")),
        ("network", said(operator, "/network_mode")),
        ("launch", operator.list("/requires_compatibilities").join(",")),
        ("role", figure(operator.text("/task_role_arn").map(last_part))),
        ("container", figure(container["name"].as_str())),
        ("stop time-out", figure(container["stopTimeout"].as_i64())),
        ("read-only root", figure(container["readonlyRootFilesystem"].as_bool())),
    ]);
    let variables = container["environment"].as_array().into_iter().flatten();
    let pairs = variables.filter_map(|one| Some((one["name"].as_str()?, one["value"].as_str()?)));
    add_variables(&mut found, pairs);
    found
}

fn bucket_fields(name: &str, resources: &Resources) -> Fields {
    let of = |kind: &str| resources.all(kind).find(|found| found.text("/bucket") == Some(name));
    let versioning = of("aws_s3_bucket_versioning").and_then(|found| found.text("/versioning_configuration/0/status"));
    let rules = of("aws_s3_bucket_lifecycle_configuration").and_then(|found| found.values["rule"].as_array());
    let expire = rules.into_iter().flatten().find(|rule| rule["id"] == "expire");
    fields([
        ("versioned", (versioning == Some("Enabled")).to_string()),
        ("expire days", figure(expire.and_then(|rule| rule["expiration"][0]["days"].as_i64()))),
    ])
}
