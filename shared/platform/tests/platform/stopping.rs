//! Stopping an ECS task, on the emulator.

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use isotherm_lab::ministack::{Ministack, REGION, account};
use isotherm_platform::aws::Clients;
use isotherm_platform::ecs;
use isotherm_types::Classified as _;

#[tokio::test]
async fn a_task_that_ecs_has_forgotten_counts_as_stopped_and_a_cluster_that_is_not_there_does_not() {
    let account = account();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(Ministack::shared().await.unwrap().endpoint_url())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(&account, "test", None, None, "lab"))
        .load()
        .await;
    let clients = Clients::from_config(config);
    clients.ecs().create_cluster().cluster_name("isotherm").send().await.unwrap();
    let forgotten = format!("arn:aws:ecs:{REGION}:{account}:task/isotherm/0123456789abcdef0123456789abcdef");
    ecs::stop(clients.ecs(), "isotherm", &forgotten, "test").await.unwrap();
    let error = ecs::stop(clients.ecs(), "arn:of:nothing", &forgotten, "test").await.unwrap_err();
    assert_eq!(error.code(), "ecs.refused");
}
