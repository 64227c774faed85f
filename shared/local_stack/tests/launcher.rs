//! The launcher against a real emulator, with a shell script for a worker.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_ecs::types::{ContainerDefinition, ContainerOverride, KeyValuePair, Task, TaskOverride};
use isotherm_lab::ministack::{self, Ministack};
use isotherm_lab::process::eventually;
use isotherm_local_stack::LocalAws;
use isotherm_local_stack::ecs_launcher::{EcsLauncher, LauncherOptions};

const CLUSTER: &str = "isotherm";

/// Shows its environment, then waits for a signal or for the file that ends it.
const WORKER: &str = r#"#!/bin/sh
trap 'echo asked >"$MARK.asked"; [ -n "$STUBBORN" ] || exit 0' TERM
echo $$ >"$MARK.pid"
env >"$MARK.part" && mv "$MARK.part" "$MARK.env"
while [ ! -e "$MARK.go" ]; do sleep 0.02; done
exit 3
"#;

struct Scene {
    folder: tempfile::TempDir,
    aws: LocalAws,
    options: LauncherOptions,
}

impl Scene {
    async fn new() -> Self {
        let emulator = Ministack::shared().await.unwrap();
        let aws = LocalAws::new(&emulator.endpoint_url(), ministack::REGION, &ministack::account()).await;
        let folder = tempfile::tempdir().unwrap();
        let worker = folder.path().join("worker");
        std::fs::write(&worker, WORKER).unwrap();
        std::fs::set_permissions(&worker, PermissionsExt::from_mode(0o755)).unwrap();
        let options = LauncherOptions {
            worker,
            programs: "/programs".into(),
            bundles: BTreeMap::from([("noop".to_owned(), "/bundle".into())]),
            logs: folder.path().join("logs"),
            cluster: CLUSTER.to_owned(),
            poll_interval: Duration::from_millis(50),
        };
        aws.ecs().create_cluster().cluster_name(CLUSTER).send().await.unwrap();
        let container = ContainerDefinition::builder()
            .name("worker")
            .image("isotherm-noop:local")
            .stop_timeout(1)
            .environment(pair("ISOTHERM_OPERATOR", "noop"))
            .environment(pair("MARK", "overridden"))
            .build();
        let call = aws.ecs().register_task_definition().family("isotherm-noop").container_definitions(container);
        call.send().await.unwrap();
        Self { folder, aws, options }
    }

    fn launcher(&self) -> EcsLauncher {
        EcsLauncher::start(&self.aws, self.options.clone()).unwrap()
    }

    /// Runs a task whose worker marks its way with files called `mark`; returns its ARN.
    async fn run_task(&self, mark: &str, more: &[(&str, &str)]) -> String {
        let mark = self.mark(mark);
        let mut container = ContainerOverride::builder().name("worker");
        container = container.environment(pair("MARK", mark.to_str().unwrap()));
        for (name, value) in more {
            container = container.environment(pair(name, value));
        }
        let overrides = TaskOverride::builder().container_overrides(container.build()).build();
        let call = self.aws.ecs().run_task().cluster(CLUSTER).task_definition("isotherm-noop").overrides(overrides);
        let answer = call.send().await.unwrap();
        answer.tasks()[0].task_arn().unwrap().to_owned()
    }

    fn mark(&self, mark: &str) -> PathBuf {
        self.folder.path().join(mark)
    }

    /// A file that the worker makes.
    fn file(&self, mark: &str, kind: &str) -> PathBuf {
        self.mark(mark).with_extension(kind)
    }

    async fn task(&self, arn: &str) -> Task {
        let answer = self.aws.ecs().describe_tasks().cluster(CLUSTER).tasks(arn).send().await.unwrap();
        answer.tasks()[0].clone()
    }

    async fn stop_task(&self, arn: &str) {
        self.aws.ecs().stop_task().cluster(CLUSTER).task(arn).send().await.unwrap();
    }

    async fn wait_for(&self, mark: &str, kind: &str) -> String {
        let path = self.file(mark, kind);
        eventually(format!("file {}", path.display()), async || path.exists()).await.unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    async fn wait_for_end(&self, mark: &str) {
        let pid = std::fs::read_to_string(self.file(mark, "pid")).unwrap().trim().to_owned();
        eventually(format!("end of process {pid}"), async || !is_alive(&pid)).await.unwrap();
    }
}

fn pair(name: &str, value: &str) -> KeyValuePair {
    KeyValuePair::builder().name(name).value(value).build()
}

/// Whether the process exists and is no zombie.
fn is_alive(pid: &str) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid).join("status"));
    status.is_ok_and(|status| !status.lines().any(|line| line.starts_with("State:") && line.contains('Z')))
}

#[tokio::test]
async fn a_running_task_gets_a_worker_and_its_end_is_reported() {
    let scene = Scene::new().await;
    let launcher = scene.launcher();
    let arn = scene.run_task("one", &[]).await;
    let environment = scene.wait_for("one", "env").await;
    for line in [
        "ISOTHERM_OPERATOR=noop",
        "ISOTHERM_OPERATOR_BIN=/programs/operator-noop",
        "ISOTHERM_BUNDLE=/bundle",
        &format!("AWS_ENDPOINT_URL={}", scene.aws.endpoint_url()),
        &format!("ISOTHERM_ECS_TASK_ARN={arn}"),
    ] {
        assert!(environment.lines().any(|found| found == line), "no {line} in {environment}");
    }
    // Nothing of the launcher's own environment but what it chooses.
    assert!(!environment.contains("CARGO"), "{environment}");
    assert_eq!(scene.task(&arn).await.last_status(), Some("RUNNING"));

    std::fs::write(scene.file("one", "go"), "").unwrap();
    eventually("task is stopped", async || scene.task(&arn).await.last_status() == Some("STOPPED")).await.unwrap();
    assert_eq!(scene.task(&arn).await.stopped_reason(), Some("the worker exited with code 3"));
    let task_id = arn.rsplit('/').next().unwrap();
    assert!(scene.options.logs.join(format!("noop-{task_id}.log")).exists());
    launcher.stop().await;
}

#[tokio::test]
async fn a_stopped_task_asks_its_worker_to_end() {
    let scene = Scene::new().await;
    let launcher = scene.launcher();
    let arn = scene.run_task("one", &[]).await;
    scene.wait_for("one", "env").await;
    scene.stop_task(&arn).await;
    scene.wait_for("one", "asked").await;
    scene.wait_for_end("one").await;
    launcher.stop().await;
}

#[tokio::test]
async fn a_worker_that_does_not_end_in_time_is_killed() {
    let scene = Scene::new().await;
    let launcher = scene.launcher();
    let arn = scene.run_task("one", &[("STUBBORN", "yes")]).await;
    scene.wait_for("one", "env").await;
    scene.stop_task(&arn).await;
    scene.wait_for("one", "asked").await;
    scene.wait_for_end("one").await;
    launcher.stop().await;
}

#[tokio::test]
async fn stopping_the_launcher_ends_all_workers_and_reports_them() {
    let scene = Scene::new().await;
    let launcher = scene.launcher();
    let arns = [scene.run_task("one", &[]).await, scene.run_task("two", &[("STUBBORN", "yes")]).await];
    for mark in ["one", "two"] {
        scene.wait_for(mark, "env").await;
    }
    launcher.stop().await;
    for (mark, arn) in ["one", "two"].into_iter().zip(&arns) {
        assert!(scene.file(mark, "asked").exists());
        scene.wait_for_end(mark).await;
        assert_eq!(scene.task(arn).await.last_status(), Some("STOPPED"));
    }
}

#[tokio::test]
async fn a_task_without_a_program_is_reported_with_the_reason() {
    let mut scene = Scene::new().await;
    scene.options.worker = "/no/such/worker".into();
    let launcher = scene.launcher();
    let arn = scene.run_task("one", &[]).await;
    eventually("task is stopped", async || scene.task(&arn).await.last_status() == Some("STOPPED")).await.unwrap();
    let task = scene.task(&arn).await;
    assert!(task.stopped_reason().unwrap().contains("cannot start /no/such/worker"), "{task:?}");
    launcher.stop().await;
}

#[tokio::test]
async fn dropping_the_launcher_kills_its_workers() {
    let scene = Scene::new().await;
    let launcher = scene.launcher();
    scene.run_task("one", &[("STUBBORN", "yes")]).await;
    scene.wait_for("one", "env").await;
    drop(launcher);
    scene.wait_for_end("one").await;
    assert!(!scene.file("one", "asked").exists());
}

/// Variables that lead [`launcher_to_be_killed`] to the scene of the test that starts it.
const SCENE_VARIABLES: [&str; 4] = ["TEST_ENDPOINT", "TEST_ACCOUNT", "TEST_WORKER", "TEST_LOGS"];

#[tokio::test]
async fn workers_do_not_outlive_a_launcher_that_is_killed() {
    let scene = Scene::new().await;
    let account = scene.aws.variables().into_iter().find(|(name, _)| name == "AWS_ACCESS_KEY_ID").unwrap().1;
    let values =
        [scene.aws.endpoint_url().into(), account.into(), scene.options.worker.clone(), scene.options.logs.clone()];
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "launcher_to_be_killed", "--ignored", "--nocapture"])
        .envs(SCENE_VARIABLES.into_iter().zip::<[PathBuf; 4]>(values))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    scene.run_task("one", &[("STUBBORN", "yes")]).await;
    scene.wait_for("one", "env").await;
    child.kill().unwrap();
    child.wait().unwrap();
    scene.wait_for_end("one").await;
}

#[tokio::test]
#[ignore = "a process for the test above, which kills it"]
async fn launcher_to_be_killed() {
    #[expect(clippy::disallowed_methods, reason = "how a test tells its own second process where to work")]
    let [endpoint, account, worker, logs] = SCENE_VARIABLES.map(|name| std::env::var(name).unwrap());
    let aws = LocalAws::new(&endpoint, ministack::REGION, &account).await;
    let options = LauncherOptions {
        worker: worker.into(),
        programs: "/programs".into(),
        bundles: BTreeMap::new(),
        logs: logs.into(),
        cluster: CLUSTER.to_owned(),
        poll_interval: Duration::from_millis(50),
    };
    let _launcher = EcsLauncher::start(&aws, options).unwrap();
    std::future::pending::<()>().await;
}
