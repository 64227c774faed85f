//! The errand on one machine: ECS's books and S3 of the emulator, the launcher, the real program, a real Postgres.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use isotherm_lab::http_faults::{HttpFaults, Reply, Verdict};
use isotherm_lab::ministack::{self, Ministack};
use isotherm_lab::postgres::{Data, Postgres, SUPERUSER, StartOptions};
use isotherm_lab::tools;
use isotherm_local_stack::ecs_launcher::{EcsLauncher, LauncherOptions};
use isotherm_local_stack::environment::DatabaseAdministration;
use isotherm_local_stack::package::Sources;
use isotherm_local_stack::provision::{Options, errands, provision};
use isotherm_local_stack::{LocalAws, Stack};
use serde_json::json;

use super::*;

fn programs() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let programs = test.parent().and_then(Path::parent).unwrap().to_path_buf();
    assert!(programs.join("operator-migrate").exists(), "`cargo build --workspace --bins` builds operator-migrate");
    programs
}

/// The emulator with everything of the stack file, a launcher, and a database that nobody has migrated.
struct Scene {
    launcher: EcsLauncher,
    clients: Clients,
    place: Place,
    bucket: String,
    _postgres: Postgres,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// `password` of the administrator, if it is not the right one.
    async fn new(password: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::Durable(folder.path().join("postgres"));
        let postgres = Postgres::start(StartOptions { data, ..StartOptions::default() }).await.unwrap();
        postgres.create_database("isotherm").await.unwrap();
        let url = postgres.database_url("isotherm");
        let right = url.split_once("://").unwrap().1.split_once('@').unwrap().0.split_once(':').unwrap().1;
        let password = password.unwrap_or(right);

        let emulator = Ministack::shared().await.unwrap();
        let aws = LocalAws::new(&emulator.endpoint_url(), ministack::REGION, &ministack::account()).await;
        let mut stack = Stack::read(&tools::repository_root().unwrap().join("terraform/stack.yaml")).unwrap();
        // Nothing of the rest is needed, and half of it takes long to make.
        stack.functions.clear();
        stack.event_source_mappings.clear();
        stack.schedules.clear();
        stack.routes.clear();
        stack.operators.clear();
        let secrets = ["database", "alerts"].map(|key| (key.to_owned(), "{}".to_owned()));
        let options = Options {
            sources: Sources { programs: programs(), duckdb: PathBuf::new() },
            bucket_suffix: "test".to_owned(),
            secrets: BTreeMap::from(secrets),
            token_issuers: "[]".to_owned(),
        };
        let made = provision_without_cron(&stack, &aws, &options).await;
        let administrator = json!({ "username": SUPERUSER, "password": password }).to_string();
        let call = aws.secrets().create_secret().name("rds!db-1").secret_string(administrator);
        let administration = DatabaseAdministration {
            address: format!("127.0.0.1:{}/isotherm", postgres.port()),
            options: "sslmode=disable".to_owned(),
            admin_secret_arn: call.send().await.unwrap().arn.unwrap(),
            certificates: None,
        };
        errands::ensure(&stack, &aws, &made, &administration, &mut |_| {}).await.unwrap();
        let options = LauncherOptions {
            worker: programs().join("operator-worker"),
            programs: programs(),
            bundles: BTreeMap::new(),
            logs: folder.path().join("logs"),
            cluster: made.cluster.clone(),
            poll_interval: std::time::Duration::from_millis(100),
        };
        let launcher = EcsLauncher::start(&aws, options).unwrap();
        let place = Place { cluster: made.cluster, subnets: Vec::new(), security_groups: Vec::new() };
        let clients = Clients::from_config(aws.config().clone());
        let bucket = made.buckets["results"].clone();
        Self { launcher, clients, place, bucket, _postgres: postgres, _folder: folder }
    }

    async fn perform(&self, request: &Request) -> anyhow::Result<Done> {
        perform(&self.clients, &self.place, "isotherm-migrate", &self.bucket, request).await
    }
}

/// `provision` wants the function of cron triggers; any of the stack file's own will do.
async fn provision_without_cron(stack: &Stack, aws: &LocalAws, options: &Options) -> isotherm_local_stack::Provisioned {
    let mut stack = stack.clone();
    let whole = Stack::read(&tools::repository_root().unwrap().join("terraform/stack.yaml")).unwrap();
    let cron = stack.cron_triggers.function.clone();
    stack.functions.insert(cron.clone(), whole.functions[&cron].clone());
    provision(&stack, aws, options, &mut |_| {}).await.unwrap()
}

fn migrations() -> Request {
    Request { version: request::VERSION, migrate: true, pipelines: Vec::new() }
}

#[tokio::test]
async fn the_errand_migrates_an_empty_database_and_answers() {
    let scene = Scene::new(None).await;
    let first = scene.perform(&migrations()).await.unwrap();
    assert_eq!(first.new_password, Some(true));
    assert!(first.migration >= Some(16), "{first:?}");
    let again = scene.perform(&migrations()).await.unwrap();
    assert_eq!(again, Done { new_password: Some(false), ..first }, "the step can be repeated");
    scene.launcher.stop().await;
}

#[tokio::test]
async fn an_errand_that_fails_or_says_nothing_is_told() {
    let scene = Scene::new(Some("wrong")).await;
    let error = scene.perform(&migrations()).await.unwrap_err().to_string();
    assert!(error.contains("(migrate.connect)") && !error.contains("wrong"), "{error}");
    let error = perform(&scene.clients, &scene.place, "isotherm-unknown", &scene.bucket, &migrations()).await;
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains("ECS did not start isotherm-unknown"), "{error}");
    // The bucket that it is told of in its task definition is not the one that was asked in.
    scene.clients.s3().create_bucket().bucket("elsewhere").send().await.unwrap();
    let silent = perform(&scene.clients, &scene.place, "isotherm-migrate", "elsewhere", &migrations()).await;
    let silent = silent.unwrap_err().to_string();
    assert!(silent.contains("ended without an answer"), "{silent}");
    scene.launcher.stop().await;
}

#[tokio::test]
async fn a_task_that_ecs_does_not_know_yet_is_waited_for() {
    let arn = "arn:aws:ecs:us-east-1:000000000000:task/isotherm/1";
    let looks = AtomicUsize::new(0);
    let late = HttpFaults::start("http://127.0.0.1:1", move |call| {
        assert_eq!(call.operation, "DescribeTasks");
        let body = match looks.fetch_add(1, Ordering::Relaxed) {
            0 => json!({ "tasks": [], "failures": [{ "arn": arn, "reason": "MISSING" }] }),
            _ => json!({ "tasks": [{ "taskArn": arn, "lastStatus": "STOPPED" }], "failures": [] }),
        };
        Verdict::Answer(Reply { status: 200, body })
    });
    let late = late.await.unwrap();
    let aws = LocalAws::new(&late.endpoint_url(), ministack::REGION, &ministack::account()).await;
    let clients = Clients::from_config(aws.config().clone());
    let place = Place { cluster: "isotherm".to_owned(), subnets: Vec::new(), security_groups: Vec::new() };
    let task = ended(&clients, &place, arn).await.unwrap();
    assert_eq!(task.task_arn(), Some(arn));
}

#[test]
fn a_task_that_ecs_does_not_know_a_minute_after_its_start_is_lost() {
    let of = |status: &str| Task::builder().last_status(status).build();
    let (runs, stopped) = (of("RUNNING"), of("STOPPED"));
    let at = |task, seconds| end_of(task, "task/1", Duration::from_secs(seconds));
    assert_eq!(at(Some(&runs), 0).unwrap(), None);
    assert_eq!(at(Some(&stopped), 3000).unwrap(), Some(&stopped));
    assert_eq!(at(None, 59).unwrap(), None);
    let lost = at(None, 60).unwrap_err().to_string();
    assert_eq!(lost, "ECS does not know task/1, which it has just started");
}

#[tokio::test]
async fn an_answer_that_somebody_else_has_written_is_not_believed() {
    let emulator = Ministack::shared().await.unwrap();
    let aws = LocalAws::new(&emulator.endpoint_url(), ministack::REGION, &ministack::account()).await;
    let clients = Clients::from_config(aws.config().clone());
    let (s3, bucket) = (clients.s3(), "answers");
    s3.create_bucket().bucket(bucket).send().await.unwrap();
    let asked = Asked { key: request::request_key("1"), sha256: seal::sha256(b"{}"), answer_key: seal::new_key() };
    assert!(answer(&clients, bucket, &asked).await.unwrap().is_none());
    let written = async |body: Vec<u8>| {
        let call = s3.put_object().bucket(bucket).key(request::answer_key(&asked.key)).body(ByteStream::from(body));
        call.send().await.unwrap();
        answer(&clients, bucket, &asked).await
    };
    let done = Answer::Done(Done::default());
    assert_eq!(written(seal::sealed(&done, &asked.answer_key)).await.unwrap(), Some(done.clone()));
    for forged in [seal::sealed(&done, &seal::new_key()), serde_json::to_vec(&done).unwrap()] {
        let error = format!("{:#}", written(forged).await.unwrap_err());
        assert!(error.contains("is not believed (migrate.forged_answer)"), "{error}");
    }
}

#[test]
fn requests_and_answers_lie_in_the_errands_own_folder() {
    let stack = Stack::read(&tools::repository_root().unwrap().join("terraform/stack.yaml")).unwrap();
    let folder = &stack.errands["migrate"].folders["results"];
    assert_eq!(folder, request::FOLDER);
    assert!(request::request_key("1").starts_with(&format!("{folder}/")));
}
