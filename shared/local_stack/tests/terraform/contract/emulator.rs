//! Facts from the emulator, on which the local stack has created what the stack file lists.

use std::collections::BTreeMap;
use std::path::Path;

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use isotherm_lab::ministack::{self, Ministack};
use isotherm_local_stack::environment::DatabaseAdministration;
use isotherm_local_stack::package::Sources;
use isotherm_local_stack::provision::{Options, Provisioned, errands, provision};
use isotherm_local_stack::{LocalAws, Stack, names};
use serde_json::{Value, json};

use super::{Facts, Fields, add_variables, canonical, fields, figure};
use crate::rendered::{ACCOUNT, CERTIFICATES, REGION, TOKEN_ISSUERS, terraform_folder};
use crate::resources::last_part;

/// Creates everything in an account of its own, and asks for all of it.
pub(super) async fn facts() -> Facts {
    let emulator = Ministack::shared().await.unwrap();
    let aws = LocalAws::new(&emulator.endpoint_url(), ministack::REGION, &ministack::account()).await;
    let stack = Stack::read(&terraform_folder().join("stack.yaml")).unwrap();
    let made = create(&stack, &aws).await;
    let administration = DatabaseAdministration {
        address: "host:5432/isotherm".to_owned(),
        options: "sslmode=verify-full".to_owned(),
        admin_secret_arn: "arn:admin".to_owned(),
        certificates: Some(std::fs::read_to_string(terraform_folder().join(CERTIFICATES)).unwrap()),
    };
    errands::ensure(&stack, &aws, &made, &administration, &mut |_| {}).await.unwrap();

    let mut facts = Facts::new();
    add_queues(&mut facts, &aws).await;
    add_functions(&mut facts, &aws).await;
    add_mappings(&mut facts, &aws).await;
    add_schedules(&mut facts, &aws).await;
    add_routes(&mut facts, &aws).await;
    add_operators(&mut facts, &aws, &stack).await;
    add_buckets(&mut facts, &aws, &made).await;
    for secret in aws.secrets().list_secrets().send().await.unwrap().secret_list() {
        facts.insert(format!("secret {}", secret.name().unwrap()), Fields::new());
    }
    facts.insert(format!("cluster {}", made.cluster), Fields::new());
    facts
}

/// Nothing is invoked here, so that programs need not run.
async fn create(stack: &Stack, aws: &LocalAws) -> Provisioned {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &Path| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "not run").unwrap();
    };
    let sources = Sources { programs: folder.path().join("programs"), duckdb: folder.path().join("duckdb") };
    for key in stack.functions.keys() {
        write(&sources.programs.join(format!("lambda-{key}")));
    }
    write(&sources.programs.join("isotherm-sql-sandbox"));
    write(&sources.duckdb.join("lib/libduckdb.so"));
    write(&sources.duckdb.join("extensions/httpfs.duckdb_extension"));
    let text = json!({ "url": "postgres://u:p@h/d" }).to_string();
    let keys = stack.secrets.iter().filter(|(_, secret)| !secret.per_name).map(|(key, _)| key.clone());
    let options = Options {
        sources,
        bucket_suffix: format!("{ACCOUNT}-{REGION}"),
        secrets: keys.map(|key| (key, text.clone())).collect::<BTreeMap<_, _>>(),
        token_issuers: TOKEN_ISSUERS.to_owned(),
    };
    provision(stack, aws, &options, &mut |_| {}).await.unwrap()
}

async fn add_queues(facts: &mut Facts, aws: &LocalAws) {
    let sqs = aws.sqs();
    for url in sqs.list_queues().send().await.unwrap().queue_urls() {
        let answer = sqs.get_queue_attributes().queue_url(url).attribute_names(Attribute::All).send().await.unwrap();
        let attributes = answer.attributes().unwrap();
        let said = |attribute: &Attribute| figure(attributes.get(attribute));
        let mut found = fields([
            ("fifo", attributes.get(&Attribute::FifoQueue).map_or("false", String::as_str).to_owned()),
            ("retention", said(&Attribute::MessageRetentionPeriod)),
        ]);
        let name = last_part(url);
        if !name.contains("-dlq") {
            let redrive = attributes.get(&Attribute::RedrivePolicy);
            let redrive = redrive.map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
            found.extend(fields([
                ("visibility", said(&Attribute::VisibilityTimeout)),
                ("scope", said(&Attribute::DeduplicationScope)),
                ("limit", said(&Attribute::FifoThroughputLimit)),
                ("dead letters", figure(redrive["deadLetterTargetArn"].as_str().map(last_part))),
                ("max receives", figure(redrive["maxReceiveCount"].as_i64())),
            ]));
        }
        facts.insert(format!("queue {name}"), found);
    }
}

async fn add_functions(facts: &mut Facts, aws: &LocalAws) {
    let lambda = aws.lambda();
    for function in lambda.list_functions().send().await.unwrap().functions() {
        let name = function.function_name().unwrap();
        let concurrency = lambda.get_function_concurrency().function_name(name).send().await.unwrap();
        let architectures: Vec<&str> =
            function.architectures().iter().map(aws_sdk_lambda::types::Architecture::as_str).collect();
        let mut found = fields([
            ("memory", figure(function.memory_size())),
            ("time-out", figure(function.timeout())),
            ("storage", figure(function.ephemeral_storage().map(aws_sdk_lambda::types::EphemeralStorage::size))),
            ("runtime", figure(function.runtime().map(aws_sdk_lambda::types::Runtime::as_str))),
            ("handler", figure(function.handler())),
            ("architecture", architectures.join(",")),
            ("concurrency", figure(concurrency.reserved_concurrent_executions())),
            ("role", figure(function.role().map(last_part))),
        ]);
        let variables = function.environment().and_then(|environment| environment.variables());
        let pairs = variables.into_iter().flatten().filter(|(name, _)| *name != names::LOOPBACK_VARIABLE);
        add_variables(&mut found, pairs.map(|(name, value)| (name.as_str(), value.as_str())));
        facts.insert(format!("function {name}"), found);
    }
}

async fn add_mappings(facts: &mut Facts, aws: &LocalAws) {
    let answer = aws.lambda().list_event_source_mappings().send().await.unwrap();
    for mapping in answer.event_source_mappings() {
        let answers: Vec<&str> =
            mapping.function_response_types().iter().map(aws_sdk_lambda::types::FunctionResponseType::as_str).collect();
        let queue = last_part(mapping.event_source_arn().unwrap());
        let function = last_part(mapping.function_arn().unwrap());
        let found = fields([
            ("batch", figure(mapping.batch_size())),
            ("answers", answers.join(",")),
            (
                "concurrency",
                figure(mapping.scaling_config().and_then(aws_sdk_lambda::types::ScalingConfig::maximum_concurrency)),
            ),
            ("enabled", (mapping.state() != Some("Disabled")).to_string()),
        ]);
        facts.insert(format!("mapping {queue} to {function}"), found);
    }
}

async fn add_schedules(facts: &mut Facts, aws: &LocalAws) {
    let scheduler = aws.scheduler();
    let answer = scheduler.list_schedule_groups().send().await.unwrap();
    // AWS and the emulator have a group of their own.
    let groups = answer.schedule_groups().iter().filter_map(|group| group.name()).filter(|name| *name != "default");
    for group in groups {
        facts.insert(format!("group {group}"), Fields::new());
        for listed in scheduler.list_schedules().group_name(group).send().await.unwrap().schedules() {
            let name = listed.name().unwrap();
            let schedule = scheduler.get_schedule().group_name(group).name(name).send().await.unwrap();
            let target = schedule.target().unwrap();
            let retry = target.retry_policy();
            let found = fields([
                ("expression", figure(schedule.schedule_expression())),
                ("zone", figure(schedule.schedule_expression_timezone())),
                ("window", figure(schedule.flexible_time_window().map(|window| window.mode().as_str()))),
                ("function", last_part(target.arn()).to_owned()),
                ("role", last_part(target.role_arn()).to_owned()),
                ("input", figure(target.input().map(canonical))),
                ("attempts", figure(retry.and_then(aws_sdk_scheduler::types::RetryPolicy::maximum_retry_attempts))),
                ("age", figure(retry.and_then(aws_sdk_scheduler::types::RetryPolicy::maximum_event_age_in_seconds))),
            ]);
            facts.insert(format!("schedule {group}/{name}"), found);
        }
    }
}

async fn add_routes(facts: &mut Facts, aws: &LocalAws) {
    let gateway = aws.api_gateway();
    for api in gateway.get_apis().max_results("500").send().await.unwrap().items() {
        let id = api.api_id().unwrap();
        let integrations = gateway.get_integrations().api_id(id).max_results("500").send().await.unwrap();
        for route in gateway.get_routes().api_id(id).max_results("500").send().await.unwrap().items() {
            let key = route.route_key().unwrap();
            let target = route.target().map(last_part);
            let integration = integrations.items().iter().find(|found| found.integration_id() == target);
            let integration = integration.unwrap_or_else(|| panic!("route {key} leads nowhere"));
            let found = fields([
                (
                    "authorization",
                    figure(route.authorization_type().map(aws_sdk_apigatewayv2::types::AuthorizationType::as_str)),
                ),
                ("function", figure(integration.integration_uri().map(last_part))),
                (
                    "kind",
                    figure(integration.integration_type().map(aws_sdk_apigatewayv2::types::IntegrationType::as_str)),
                ),
                ("payload", figure(integration.payload_format_version())),
                ("time-out", figure(integration.timeout_in_millis())),
            ]);
            facts.insert(format!("route {key}"), found);
        }
    }
}

async fn add_operators(facts: &mut Facts, aws: &LocalAws, stack: &Stack) {
    let ecs = aws.ecs();
    for key in stack.operators.keys().chain(stack.errands.keys()) {
        let family = names::task_definition(key);
        let answer = ecs.describe_task_definition().task_definition(&family).send().await.unwrap();
        let operator = answer.task_definition().unwrap();
        let [container] = operator.container_definitions() else { panic!("{family} has not one container") };
        let launch: Vec<&str> =
            operator.requires_compatibilities().iter().map(aws_sdk_ecs::types::Compatibility::as_str).collect();
        let mut found = fields([
            ("cpu", figure(operator.cpu())),
            ("memory", figure(operator.memory())),
            ("network", figure(operator.network_mode().map(aws_sdk_ecs::types::NetworkMode::as_str))),
            ("launch", launch.join(",")),
            ("role", figure(operator.task_role_arn().map(last_part))),
            ("container", figure(container.name())),
            ("stop time-out", figure(container.stop_timeout())),
            ("read-only root", figure(container.readonly_root_filesystem())),
        ]);
        let pairs = container.environment().iter().filter_map(|pair| Some((pair.name()?, pair.value()?)));
        add_variables(&mut found, pairs);
        facts.insert(format!("operator {family}"), found);
    }
}

async fn add_buckets(facts: &mut Facts, aws: &LocalAws, made: &Provisioned) {
    let s3 = aws.s3();
    for name in made.buckets.values() {
        let versioning = s3.get_bucket_versioning().bucket(name).send().await.unwrap();
        let is_versioned = versioning.status().is_some_and(|status| status.as_str() == "Enabled");
        // A bucket without rules answers with an error.
        let lifecycle = s3.get_bucket_lifecycle_configuration().bucket(name).send().await.ok();
        let rule = lifecycle.as_ref().and_then(|found| found.rules().iter().find(|rule| rule.id() == Some("expire")));
        let days = rule.and_then(|rule| rule.expiration()).and_then(aws_sdk_s3::types::LifecycleExpiration::days);
        let found = fields([("versioned", is_versioned.to_string()), ("expire days", figure(days))]);
        facts.insert(format!("bucket {name}"), found);
    }
}
