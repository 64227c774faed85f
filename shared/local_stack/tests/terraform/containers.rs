//! What runs on Fargate cannot change itself, is nobody on its host, and is given time to stop.

use isotherm_types::operator::STOP_GRACE;
use serde_json::json;

use crate::rendered::rendered;
use crate::resources::Resources;

fn faults(resources: &Resources) -> Vec<String> {
    let mut faults = Vec::new();
    for operator in resources.all("aws_ecs_task_definition") {
        for container in operator.json("/container_definitions").as_array().into_iter().flatten() {
            let mut check = |is_right: bool, fault: &str| {
                if !is_right {
                    faults.push(format!("{}: {fault}", operator.address));
                }
            };
            let user = container["user"].as_str().and_then(|user| user.split(':').next());
            check(container["readonlyRootFilesystem"] == true, "its root file system can be written");
            check(user.is_some_and(|user| !matches!(user, "" | "0" | "root")), "it runs as root");
            check(container["privileged"] == false, "it is privileged");
            check(container["linuxParameters"]["capabilities"]["drop"] == json!(["ALL"]), "it keeps capabilities");
            let stop = container["stopTimeout"].as_u64().unwrap_or(0);
            check(stop > STOP_GRACE.as_secs() && stop <= 120, "it is not given the time to stop");
            check(container["logConfiguration"]["options"]["awslogs-group"].is_string(), "it has no log");
            let image = container["image"].as_str().unwrap_or("");
            check(
                !image.is_empty() && !image.ends_with(":latest") && image.contains(':'),
                "its image is not one release",
            );
            check(container["secrets"].is_null(), "secrets come into its environment");
        }
    }
    for repository in resources.all("aws_ecr_repository") {
        if repository.text("/image_tag_mutability") != Some("IMMUTABLE") {
            faults.push(format!("{}: a tag can come to mean another image", repository.address));
        }
        if !repository.is("/image_scanning_configuration/0/scan_on_push") {
            faults.push(format!("{}: nobody looks at its images", repository.address));
        }
    }
    faults
}

#[test]
fn containers_are_shut() {
    for environment in ["dev", "prod"] {
        let Some(real) = rendered(environment) else { return };
        let none: [String; 0] = [];
        assert_eq!(faults(&real), none, "{environment}");
        assert!(real.all("aws_ecs_task_definition").count() > 0);
        assert_eq!(real.all("aws_ecr_repository").count(), real.all("aws_ecs_task_definition").count());
    }
}

#[test]
fn a_container_that_is_open_is_named() {
    let Some(real) = rendered("dev") else { return };
    let operator = r#"module.fargate_operator["noop"].aws_ecs_task_definition.this"#;
    let repository = r#"module.fargate_operator["noop"].aws_ecr_repository.this"#;
    let container = |pointer: &str, value| real.planted_in_json(operator, "/container_definitions", pointer, value);
    let cases = [
        (container("/0/readonlyRootFilesystem", json!(false)), "its root file system can be written"),
        (container("/0/user", json!("0:0")), "it runs as root"),
        (container("/0/privileged", json!(true)), "it is privileged"),
        (container("/0/linuxParameters/capabilities/drop", json!([])), "it keeps capabilities"),
        (container("/0/stopTimeout", json!(20)), "it is not given the time to stop"),
        (container("/0/image", json!("isotherm-noop:latest")), "its image is not one release"),
    ];
    for (planted, expected) in cases {
        assert_eq!(faults(&planted), [format!("{operator}: {expected}")]);
    }
    let planted = real.planted(repository, "/image_tag_mutability", "MUTABLE");
    assert_eq!(faults(&planted), [format!("{repository}: a tag can come to mean another image")]);
}
