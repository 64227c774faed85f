//! What holds data cannot be deleted by mistake in prod, and logs are neither lost nor kept for ever.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::rendered::{rendered, terraform_folder};
use crate::resources::{Resource, Resources};

/// Whether a key's policy lets nobody delete or disable it.
fn is_kept(key: &Resource) -> bool {
    let policy = key.json("/policy");
    policy["Statement"].as_array().into_iter().flatten().any(|statement| {
        statement["Effect"] == "Deny"
            && statement["Principal"] == "*"
            && statement["Action"] == json!(["kms:DisableKey", "kms:ScheduleKeyDeletion"])
            && statement["Condition"].is_null()
    })
}

/// Days for which a deleted secret can be had back, and a deleted key.
fn recovery_faults(resources: &Resources, of_secrets: i64, of_keys: i64) -> Vec<String> {
    let secrets = resources.all("aws_secretsmanager_secret");
    let secrets = secrets.filter(|secret| secret.number("/recovery_window_in_days") != Some(of_secrets));
    let keys = resources.all("aws_kms_key");
    let keys = keys.filter(|key| key.number("/deletion_window_in_days") != Some(of_keys));
    secrets.chain(keys).map(|found| format!("{}: it can be had back for another time", found.address)).collect()
}

/// What prod has beyond the rest.
fn faults_of_prod(resources: &Resources) -> Vec<String> {
    let mut faults = Vec::new();
    let rules: [(&str, &str, bool, &str); 8] = [
        ("aws_db_instance", "/deletion_protection", true, "it can be deleted"),
        ("aws_db_instance", "/skip_final_snapshot", false, "it can go without a last snapshot"),
        ("aws_db_instance", "/multi_az", true, "it has no standby"),
        ("aws_db_instance", "/delete_automated_backups", false, "its backups go with it"),
        ("aws_s3_bucket", "/force_destroy", false, "it can be deleted with what it holds"),
        ("aws_ecr_repository", "/force_delete", false, "it can be deleted with its images"),
        ("aws_networkfirewall_firewall", "/delete_protection", true, "it can be deleted"),
        ("aws_networkfirewall_firewall", "/subnet_change_protection", true, "it can be led around"),
    ];
    for (kind, pointer, wanted, fault) in rules {
        let wrong = resources.all(kind).filter(|found| found.is(pointer) != wanted);
        faults.extend(wrong.map(|found| format!("{}: {fault}", found.address)));
    }
    for database in resources.all("aws_db_instance") {
        if database.number("/backup_retention_period").is_none_or(|days| days < 7) {
            faults.push(format!("{}: its backups are kept for less than a week", database.address));
        }
        let word = resources.all("terraform_data").find_map(|word| word.text("/id"));
        let named = database.text("/final_snapshot_identifier");
        if !named.zip(word).is_some_and(|(named, word)| named.ends_with(word)) {
            faults.push(format!("{}: its last snapshot has the name of the one before", database.address));
        }
    }
    let lost = resources.all("aws_kms_key").filter(|key| !is_kept(key));
    faults.extend(lost.map(|key| format!("{}: whoever may use it may delete it", key.address)));
    faults.extend(recovery_faults(resources, 30, 30));
    faults
}

/// What would stop `terraform destroy` of dev half-way, or be in the way of making it again.
fn faults_of_dev(resources: &Resources) -> Vec<String> {
    let mut faults = Vec::new();
    let rules = [
        ("aws_db_instance", "/deletion_protection", false),
        ("aws_db_instance", "/skip_final_snapshot", true),
        ("aws_db_instance", "/delete_automated_backups", true),
        ("aws_s3_bucket", "/force_destroy", true),
        ("aws_ecr_repository", "/force_delete", true),
        ("aws_networkfirewall_firewall", "/delete_protection", false),
    ];
    for (kind, pointer, wanted) in rules {
        let wrong = resources.all(kind).filter(|found| found.is(pointer) != wanted);
        faults.extend(wrong.map(|found| format!("{}: {pointer} keeps it", found.address)));
    }
    let names = resources.all("aws_route53_resolver_firewall_rule_group_association");
    let kept = names.filter(|found| found.text("/mutation_protection") != Some("DISABLED"));
    let kept = kept.chain(resources.all("aws_kms_key").filter(|key| is_kept(key)));
    faults.extend(kept.map(|found| format!("{}: it refuses", found.address)));
    faults.extend(recovery_faults(resources, 0, 7));
    faults
}

fn log_faults(resources: &Resources) -> Vec<String> {
    let mut faults = Vec::new();
    for group in resources.all("aws_cloudwatch_log_group") {
        match group.number("/retention_in_days") {
            Some(days) if (7..=731).contains(&days) => {}
            other => faults.push(format!("{}: its lines are kept for {other:?} days", group.address)),
        }
    }
    let groups: Vec<&str> = resources.all("aws_cloudwatch_log_group").filter_map(|group| group.text("/name")).collect();
    for function in resources.all("aws_lambda_function") {
        if !function.text("/logging_config/0/log_group").is_some_and(|name| groups.contains(&name)) {
            faults.push(format!("{}: its log has no end", function.address));
        }
    }
    for operator in resources.all("aws_ecs_task_definition") {
        let containers = operator.json("/container_definitions");
        let name = containers[0]["logConfiguration"]["options"]["awslogs-group"].as_str();
        if !name.is_some_and(|name| groups.contains(&name)) {
            faults.push(format!("{}: its log has no end", operator.address));
        }
    }
    for stage in resources.all("aws_apigatewayv2_stage") {
        if stage.count("/access_log_settings") != 1 {
            faults.push(format!("{}: calls are not written down", stage.address));
        }
        if stage.number("/default_route_settings/0/throttling_rate_limit").is_none_or(|rate| rate < 1) {
            faults.push(format!("{}: calls are not throttled", stage.address));
        }
    }
    faults
}

#[test]
fn what_holds_data_in_prod_cannot_be_deleted_by_mistake() {
    let Some(real) = rendered("prod") else { return };
    let none: [String; 0] = [];
    assert_eq!(faults_of_prod(&real), none);
    let database = "module.database.aws_db_instance.this";
    let bucket = r#"module.storage["cold"].aws_s3_bucket.this"#;
    let firewall = r#"module.egress.aws_networkfirewall_firewall.this["this"]"#;
    let key = "module.encryption.aws_kms_key.this";
    let secret = r#"module.secrets.aws_secretsmanager_secret.this["rpc/monad"]"#;
    let cases = [
        (
            real.planted(database, "/final_snapshot_identifier", "isotherm-final"),
            format!("{database}: its last snapshot has the name of the one before"),
        ),
        (
            real.planted_in_json(key, "/policy", "/Statement/0/Effect", "Allow"),
            format!("{key}: whoever may use it may delete it"),
        ),
        (real.planted(key, "/deletion_window_in_days", 7), format!("{key}: it can be had back for another time")),
        (real.planted(secret, "/recovery_window_in_days", 0), format!("{secret}: it can be had back for another time")),
        (real.planted(database, "/deletion_protection", false), format!("{database}: it can be deleted")),
        (
            real.planted(database, "/skip_final_snapshot", true),
            format!("{database}: it can go without a last snapshot"),
        ),
        (
            real.planted(database, "/backup_retention_period", 1),
            format!("{database}: its backups are kept for less than a week"),
        ),
        (real.planted(bucket, "/force_destroy", true), format!("{bucket}: it can be deleted with what it holds")),
        (real.planted(firewall, "/delete_protection", false), format!("{firewall}: it can be deleted")),
    ];
    for (planted, expected) in cases {
        assert_eq!(faults_of_prod(&planted), [expected]);
    }
}

#[test]
fn dev_leaves_nothing_that_is_in_the_way_of_the_next() {
    let Some(real) = rendered("dev") else { return };
    let none: [String; 0] = [];
    assert_eq!(faults_of_dev(&real), none);
    let database = "module.database.aws_db_instance.this";
    let bucket = r#"module.storage["cold"].aws_s3_bucket.this"#;
    let secret = r#"module.secrets.aws_secretsmanager_secret.this["database"]"#;
    let key = "module.encryption.aws_kms_key.this";
    let denial = json!([{
        "Effect": "Deny", "Principal": "*", "Resource": "*", "Action": ["kms:DisableKey", "kms:ScheduleKeyDeletion"]
    }]);
    let cases = [
        (real.planted(database, "/skip_final_snapshot", false), format!("{database}: /skip_final_snapshot keeps it")),
        (real.planted(database, "/deletion_protection", true), format!("{database}: /deletion_protection keeps it")),
        (real.planted(bucket, "/force_destroy", false), format!("{bucket}: /force_destroy keeps it")),
        (
            real.planted(secret, "/recovery_window_in_days", 30),
            format!("{secret}: it can be had back for another time"),
        ),
        (real.planted_in_json(key, "/policy", "/Statement", denial), format!("{key}: it refuses")),
    ];
    for (planted, expected) in cases {
        assert_eq!(faults_of_dev(&planted), [expected]);
    }
}

/// `prevent_destroy` cannot depend on the environment: it would keep dev as well.
#[test]
fn nothing_but_the_states_is_kept_in_every_environment() {
    let mut folders = vec![terraform_folder()];
    let mut keeping = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && path.file_name().is_some_and(|name| name != ".terraform") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "tf")
                && fs::read_to_string(&path).unwrap().contains("prevent_destroy = true")
            {
                keeping.push(path.strip_prefix(terraform_folder()).unwrap().to_owned());
            }
        }
    }
    assert_eq!(keeping, [Path::new("bootstrap/main.tf")]);
}

#[test]
fn every_log_has_an_end_and_everything_has_a_log() {
    for environment in ["dev", "prod"] {
        let Some(real) = rendered(environment) else { return };
        let none: [String; 0] = [];
        assert_eq!(log_faults(&real), none, "{environment}");
        let group = r#"module.lambda_function["query"].aws_cloudwatch_log_group.this"#;
        let function = r#"module.lambda_function["query"].aws_lambda_function.this"#;
        let stage = "module.api.aws_apigatewayv2_stage.this";
        let for_ever = real.planted(group, "/retention_in_days", 0);
        assert_eq!(log_faults(&for_ever), [format!("{group}: its lines are kept for Some(0) days")]);
        assert_eq!(log_faults(&real.without(group)), [format!("{function}: its log has no end")]);
        let unthrottled = real.planted(stage, "/default_route_settings/0/throttling_rate_limit", 0);
        assert_eq!(log_faults(&unthrottled), [format!("{stage}: calls are not throttled")]);
    }
}
