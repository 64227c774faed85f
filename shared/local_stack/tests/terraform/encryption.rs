//! Everything is encrypted where it lies, and only spoken to over TLS.

use serde_json::{Value, json};

use crate::rendered::rendered;
use crate::resources::{Resource, Resources};

/// Kinds that have to name the platform's key, and where.
const KEYED: [(&str, &str); 5] = [
    ("aws_cloudwatch_log_group", "/kms_key_id"),
    ("aws_db_instance", "/kms_key_id"),
    ("aws_db_instance", "/master_user_secret_kms_key_id"),
    ("aws_secretsmanager_secret", "/kms_key_id"),
    ("aws_sns_topic", "/kms_master_key_id"),
];

/// What keeps a bucket from being made public: all of it.
const BLOCKED: [&str; 4] =
    ["/block_public_acls", "/block_public_policy", "/ignore_public_acls", "/restrict_public_buckets"];

fn faults(resources: &Resources) -> Vec<String> {
    let mut faults = Vec::new();
    for (kind, pointer) in KEYED {
        let open = resources.all(kind).filter(|found| found.text(pointer).is_none());
        faults.extend(open.map(|found| format!("{}: no key at {pointer}", found.address)));
    }
    for queue in resources.all("aws_sqs_queue") {
        if !queue.is("/sqs_managed_sse_enabled") && queue.text("/kms_master_key_id").is_none() {
            faults.push(format!("{}: messages are not encrypted", queue.address));
        }
        let policies = resources.all("aws_sqs_queue_policy");
        let mut policies = policies.filter(|policy| policy.text("/queue_url") == queue.text("/url"));
        if !policies.any(|policy| denies_without_tls(&policy.json("/policy"))) {
            faults.push(format!("{}: it answers without TLS", queue.address));
        }
    }
    for bucket in resources.all("aws_s3_bucket") {
        faults.extend(bucket_faults(bucket, resources));
    }
    for database in resources.all("aws_db_instance") {
        if !database.is("/storage_encrypted") {
            faults.push(format!("{}: its disk is not encrypted", database.address));
        }
    }
    for group in resources.all("aws_db_parameter_group") {
        let parameters = group.values["parameter"].as_array().into_iter().flatten();
        let mut forced = parameters.filter(|one| one["name"] == "rds.force_ssl" && one["value"] == "1");
        if forced.next().is_none() {
            faults.push(format!("{}: connections without TLS are let in", group.address));
        }
    }
    for key in resources.all("aws_kms_key") {
        if !key.is("/enable_key_rotation") {
            faults.push(format!("{}: it is never rotated", key.address));
        }
    }
    for repository in resources.all("aws_ecr_repository") {
        if repository.count("/encryption_configuration") != 1 {
            faults.push(format!("{}: images are not encrypted", repository.address));
        }
    }
    faults
}

fn bucket_faults(bucket: &Resource, resources: &Resources) -> Vec<String> {
    let beside = |kind: &str| resources.all(kind).find(|found| found.text("/bucket") == bucket.text("/bucket"));
    let mut faults = Vec::new();
    let mut check = |is_right: bool, fault: &str| {
        if !is_right {
            faults.push(format!("{}: {fault}", bucket.address));
        }
    };
    let encryption = beside("aws_s3_bucket_server_side_encryption_configuration");
    let algorithm =
        encryption.and_then(|found| found.text("/rule/0/apply_server_side_encryption_by_default/0/sse_algorithm"));
    check(matches!(algorithm, Some("AES256" | "aws:kms")), "objects are not encrypted");
    let block = beside("aws_s3_bucket_public_access_block");
    check(block.is_some_and(|block| BLOCKED.iter().all(|pointer| block.is(pointer))), "it could be made public");
    let policy = beside("aws_s3_bucket_policy").map(|found| found.json("/policy"));
    check(policy.is_some_and(|policy| denies_without_tls(&policy)), "it answers without TLS");
    let owner = beside("aws_s3_bucket_ownership_controls").and_then(|found| found.text("/rule/0/object_ownership"));
    check(owner == Some("BucketOwnerEnforced"), "objects could be somebody else's");
    faults
}

fn denies_without_tls(policy: &Value) -> bool {
    policy["Statement"].as_array().into_iter().flatten().any(|statement| {
        statement["Effect"] == "Deny"
            && statement["Principal"] == "*"
            && statement["Condition"] == json!({ "Bool": { "aws:SecureTransport": "false" } })
    })
}

#[test]
fn everything_is_encrypted() {
    for environment in ["dev", "prod"] {
        let Some(real) = rendered(environment) else { return };
        let none: [String; 0] = [];
        assert_eq!(faults(&real), none, "{environment}");
        let results = r#"module.storage["results"].aws_s3_bucket_server_side_encryption_configuration.this"#;
        let algorithm = "/rule/0/apply_server_side_encryption_by_default/0/sse_algorithm";
        assert_eq!(real.at(results).text(algorithm), Some("aws:kms"), "users' results are under the platform's key");
    }
}

#[test]
fn what_is_not_encrypted_is_named() {
    let Some(real) = rendered("prod") else { return };
    let queue = r#"module.queue["events"].aws_sqs_queue.this"#;
    let queue_policy = r#"module.queue["events"].aws_sqs_queue_policy.this["isotherm-events.fifo"]"#;
    let bucket = r#"module.storage["cold"].aws_s3_bucket.this"#;
    let block = r#"module.storage["cold"].aws_s3_bucket_public_access_block.this"#;
    let policy = r#"module.storage["cold"].aws_s3_bucket_policy.this"#;
    let database = "module.database.aws_db_instance.this";
    let parameters = "module.database.aws_db_parameter_group.this";
    let group = "module.api.aws_cloudwatch_log_group.this";
    let key = "module.encryption.aws_kms_key.this";
    let cases = [
        (real.planted(queue, "/sqs_managed_sse_enabled", false), format!("{queue}: messages are not encrypted")),
        (real.without(queue_policy), format!("{queue}: it answers without TLS")),
        (real.planted(block, "/block_public_policy", false), format!("{bucket}: it could be made public")),
        (real.without(policy), format!("{bucket}: it answers without TLS")),
        (
            real.planted_in_json(policy, "/policy", "/Statement/0/Effect", "Allow"),
            format!("{bucket}: it answers without TLS"),
        ),
        (real.planted(database, "/storage_encrypted", false), format!("{database}: its disk is not encrypted")),
        (real.planted(database, "/kms_key_id", "mock-kms_key_id"), format!("{database}: no key at /kms_key_id")),
        (
            real.planted(parameters, "/parameter", json!([])),
            format!("{parameters}: connections without TLS are let in"),
        ),
        (real.planted(group, "/kms_key_id", Value::Null), format!("{group}: no key at /kms_key_id")),
        (real.planted(key, "/enable_key_rotation", false), format!("{key}: it is never rotated")),
    ];
    for (planted, expected) in cases {
        assert_eq!(faults(&planted), [expected]);
    }
}
