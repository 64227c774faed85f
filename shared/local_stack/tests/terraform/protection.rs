//! What holds data cannot be deleted by mistake in prod, and logs are neither lost nor kept for ever.

use crate::rendered::rendered;
use crate::resources::Resources;

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
    }
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
    let cases = [
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
