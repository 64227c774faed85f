//! The errand as a process: a real Postgres that asks for passwords, the emulator's S3 and Secrets Manager.

use std::process::Stdio;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use isotherm_lab::ministack::{self, Ministack};
use isotherm_lab::postgres::{Data, Postgres, SUPERUSER, StartOptions};
use isotherm_lab::process::eventually;
use isotherm_platform::aws::Clients;
use operator_migrate::request::{self, Answer, Done, PipelineFile, Request};
use operator_migrate::{ONE_AT_A_TIME, ROLE, seal, smoke};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::process::Command;

const BUCKET: &str = "isotherm-results-local";
const ADMIN_SECRET: &str = "rds!db-1";
const DATABASE_SECRET: &str = "isotherm/database";
const DATABASE: &str = "isotherm";

struct Scene {
    postgres: Postgres,
    clients: Clients,
    endpoint_url: String,
    account: String,
    asked: u32,
    /// What vouches for the database, as the task definition has it.
    certificates: Option<String>,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::Durable(folder.path().join("postgres"));
        let postgres = Postgres::start(StartOptions { data, ..StartOptions::default() }).await.unwrap();
        postgres.create_database(DATABASE).await.unwrap();
        let emulator = Ministack::shared().await.unwrap();
        let account = ministack::account();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(ministack::REGION))
            .endpoint_url(emulator.endpoint_url())
            .credentials_provider(Credentials::new(&account, "secret", None, None, "test"))
            .load()
            .await;
        let clients = Clients::from_config(config);
        clients.s3().create_bucket().bucket(BUCKET).send().await.unwrap();
        let endpoint_url = emulator.endpoint_url();
        let scene = Self { postgres, clients, endpoint_url, account, asked: 0, certificates: None, _folder: folder };
        let url = scene.postgres.database_url(DATABASE);
        let password = url.split_once("://").unwrap().1.split_once('@').unwrap().0.split_once(':').unwrap().1;
        let administrator = json!({ "username": SUPERUSER, "password": password }).to_string();
        for (name, text) in [(ADMIN_SECRET, Some(administrator)), (DATABASE_SECRET, None)] {
            let call = scene.clients.secrets_manager().create_secret().name(name).set_secret_string(text);
            call.send().await.unwrap();
        }
        scene
    }

    /// Starts the program with this request; its answer and its exit code.
    async fn ask(&mut self, request: &Value) -> (Answer, Option<i32>) {
        self.ask_and_find(request, request).await
    }

    /// Starts the program with `request`, and with `found` in its place in the bucket.
    async fn ask_and_find(&mut self, request: &Value, found: &Value) -> (Answer, Option<i32>) {
        self.asked += 1;
        let key = request::request_key(&self.asked.to_string());
        let s3 = self.clients.s3();
        let (sha256, answer_key) = (seal::sha256(request.to_string().as_bytes()), seal::new_key());
        let body = found.to_string().into_bytes();
        s3.put_object().bucket(BUCKET).key(&key).body(body.into()).send().await.unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_operator-migrate"))
            .env_clear()
            .envs([
                ("AWS_ENDPOINT_URL", self.endpoint_url.as_str()),
                ("AWS_REGION", ministack::REGION),
                ("AWS_ACCESS_KEY_ID", &self.account),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("ISOTHERM_BUCKET_RESULTS", BUCKET),
                ("ISOTHERM_DATABASE_ADDRESS", &format!("127.0.0.1:{}/{DATABASE}", self.postgres.port())),
                ("ISOTHERM_DATABASE_OPTIONS", "sslmode=disable"),
                ("ISOTHERM_DATABASE_ADMIN_SECRET_ARN", ADMIN_SECRET),
                ("ISOTHERM_SECRET_DATABASE_ARN", DATABASE_SECRET),
                (request::VARIABLE, &key),
                (seal::DIGEST_VARIABLE, &sha256),
                (seal::KEY_VARIABLE, answer_key.expose()),
            ])
            .envs(self.certificates.as_ref().map(|pem| ("ISOTHERM_DATABASE_CA", pem)))
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        let answer = s3.get_object().bucket(BUCKET).key(request::answer_key(&key)).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("no answer ({error}): {log}"));
        let bytes = answer.body.collect().await.unwrap().into_bytes();
        if let Some(password) = self.password().await {
            assert!(!log.contains(&password), "the log shows the password");
            assert!(!String::from_utf8_lossy(&bytes).contains(&password), "the answer shows the password");
        }
        assert!(!log.contains(answer_key.expose()), "the log shows the key of the answer");
        (seal::opened(&bytes, &answer_key, &key).unwrap(), output.status.code())
    }

    async fn done(&mut self, request: &Value) -> Done {
        match self.ask(request).await {
            (Answer::Done(done), Some(0)) => done,
            other => panic!("{other:?}"),
        }
    }

    /// The address that the platform's programs would read.
    async fn kept_url(&self) -> Option<String> {
        let found = self.clients.secrets_manager().get_secret_value().secret_id(DATABASE_SECRET).send().await.ok()?;
        let text: Value = serde_json::from_str(found.secret_string()?).ok()?;
        Some(text["url"].as_str()?.to_owned())
    }

    async fn password(&self) -> Option<String> {
        let url = self.kept_url().await?;
        Some(url.split_once("://")?.1.split_once('@')?.0.split_once(':')?.1.to_owned())
    }

    async fn as_platform(&self) -> PgConnection {
        PgConnection::connect(&self.kept_url().await.unwrap()).await.unwrap()
    }

    async fn as_administrator(&self) -> PgConnection {
        PgConnection::connect(&self.postgres.database_url(DATABASE)).await.unwrap()
    }
}

fn asked(migrate: bool, pipelines: &[(&str, &str)]) -> Value {
    let pipelines = pipelines.iter().map(|(org, yaml)| PipelineFile { org: (*org).into(), yaml: (*yaml).into() });
    json!(Request { version: request::VERSION, migrate, pipelines: pipelines.collect() })
}

const PIPELINE: &str = "
version: 1
jobs: [{ name: beat, operator: noop }]
triggers: [{ name: each-minute, job: beat, cron: { schedule: rate(1 minute) } }]
";

#[tokio::test]
async fn an_empty_database_gets_a_role_that_owns_everything_and_may_make_no_roles() {
    let mut scene = Scene::new().await;
    let first = scene.done(&asked(true, &[])).await;
    assert_eq!(first.new_password, Some(true));
    let mut conn = scene.as_platform().await;
    let (user, owner): (String, String) =
        sqlx::query_as("SELECT current_user::text, tableowner::text FROM pg_tables WHERE schemaname = 'control' AND tablename = 'jobs'")
            .fetch_one(&mut conn)
            .await
            .unwrap();
    assert_eq!((user.as_str(), owner.as_str()), (ROLE, ROLE));
    let (is_super, makes_roles, takes_on): (bool, bool, bool) = sqlx::query_as(
        "SELECT rolsuper, rolcreaterole, pg_has_role(rolname, 'isotherm_tenant', 'MEMBER') FROM pg_roles WHERE rolname = $1",
    )
    .bind(ROLE)
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!((is_super, makes_roles, takes_on), (false, false, true));
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations")).unwrap().count();
    assert_eq!(first.migration, i64::try_from(files).ok(), "the newest migration is the last file");

    let url = scene.kept_url().await;
    let again = scene.done(&asked(true, &[])).await;
    assert_eq!(again, Done { new_password: Some(false), ..first }, "the second time nothing is new");
    assert_eq!(scene.kept_url().await, url);
}

#[tokio::test]
async fn a_password_that_postgres_refuses_is_replaced() {
    let mut scene = Scene::new().await;
    scene.done(&asked(true, &[])).await;
    let mut admin = scene.as_administrator().await;
    sqlx::raw_sql(AssertSqlSafe(format!("ALTER ROLE {ROLE} PASSWORD 'another'"))).execute(&mut admin).await.unwrap();
    assert_eq!(scene.done(&asked(true, &[])).await.new_password, Some(true));
    scene.as_platform().await;
}

#[tokio::test]
async fn pipelines_are_applied_and_the_schedules_that_they_want_are_told() {
    let mut scene = Scene::new().await;
    let done = scene.done(&asked(true, &[("default", PIPELINE)])).await;
    assert_eq!((done.pipelines[0].org.as_str(), done.pipelines[0].changes), ("default", 2));
    let wanted: Vec<_> = done.schedules.iter().map(|schedule| schedule.expression.as_str()).collect();
    assert_eq!(wanted, ["rate(1 minute)"]);
    let mut conn = scene.as_platform().await;
    let (jobs,): (i64,) = sqlx::query_as(
        "SELECT count(*) FROM control.jobs j JOIN control.orgs o ON o.id = j.org_id WHERE o.name = $1 AND j.active",
    )
    .bind(smoke::ORG)
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(jobs, 2, "the jobs of `isotherm smoke` are another organisation's, and stay");
    assert_eq!(scene.done(&asked(false, &[("default", PIPELINE)])).await.pipelines[0].changes, 0);
}

#[tokio::test]
async fn what_cannot_be_done_is_answered_with_its_code() {
    let mut scene = Scene::new().await;
    scene.done(&asked(true, &[])).await;
    let cases = [
        (asked(false, &[("default", "version: 1\njobs: [{ name: A }]")]), "migrate.bad_pipeline"),
        (asked(false, &[("nobody", PIPELINE)]), "control.unknown_org"),
        (json!({ "version": 1, "migrate": true }), "migrate.bad_request"),
        (json!({ "migrate": true }), "migrate.bad_request"),
    ];
    for (request, expected) in cases {
        match scene.ask(&request).await {
            (Answer::Failed { code, .. }, Some(1)) => assert_eq!(code, expected, "{request}"),
            other => panic!("{request}: {other:?}"),
        }
    }
    let mut admin = scene.as_administrator().await;
    sqlx::raw_sql("UPDATE _sqlx_migrations SET checksum = 'x' WHERE version = 1").execute(&mut admin).await.unwrap();
    let (answer, _) = scene.ask(&asked(true, &[])).await;
    assert!(matches!(&answer, Answer::Failed { code, .. } if code == "migrate.schema"), "{answer:?}");
    let (makes_roles,): (bool,) = sqlx::query_as("SELECT rolcreaterole FROM pg_roles WHERE rolname = $1")
        .bind(ROLE)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert!(!makes_roles, "also after a failure the role makes no roles");
}

#[tokio::test]
async fn a_request_that_somebody_else_has_written_is_refused_before_anything_is_done() {
    let mut scene = Scene::new().await;
    let (pipeline, migrations) = (asked(false, &[("default", PIPELINE)]), asked(true, &[]));
    match scene.ask_and_find(&pipeline, &migrations).await {
        (Answer::Failed { code, message }, Some(1)) => {
            assert_eq!(code, "migrate.forged_request");
            for sha256 in [&pipeline, &migrations].map(|request| seal::sha256(request.to_string().as_bytes())) {
                assert!(message.contains(&sha256), "{message}");
            }
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(scene.kept_url().await, None);
    let mut admin = scene.as_administrator().await;
    let (is_there,): (bool,) = sqlx::query_as("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(ROLE)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert!(!is_there, "the role was made");
    assert_eq!(scene.ask_and_find(&migrations, &migrations).await.1, Some(0), "its own request is done");
}

#[tokio::test]
async fn an_errand_waits_for_another_one_that_is_at_it() {
    let mut scene = Scene::new().await;
    let mut other = scene.as_administrator().await;
    let mut watcher = scene.as_administrator().await;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(ONE_AT_A_TIME).execute(&mut other).await.unwrap();
    let let_go = async {
        let waits = async || {
            let found: (bool,) =
                sqlx::query_as("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)")
                    .fetch_one(&mut watcher)
                    .await
                    .unwrap();
            found.0
        };
        eventually("the errand waits", waits).await.unwrap();
        let is_begun: (bool,) = sqlx::query_as("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
            .bind(ROLE)
            .fetch_one(&mut other)
            .await
            .unwrap();
        assert!(!is_begun.0, "it has made the role already");
        other.close().await.unwrap();
    };
    let request = asked(true, &[]);
    let (done, ()) = tokio::join!(scene.done(&request), let_go);
    assert_eq!(done.new_password, Some(true));
}

#[tokio::test]
async fn an_address_of_another_database_is_not_migrated() {
    let mut scene = Scene::new().await;
    scene.done(&asked(true, &[])).await;
    let elsewhere = scene.kept_url().await.unwrap().replace("/isotherm", "/restored");
    scene.postgres.create_database("restored").await.unwrap();
    let call = scene.clients.secrets_manager().put_secret_value().secret_id(DATABASE_SECRET);
    call.secret_string(json!({ "url": elsewhere }).to_string()).send().await.unwrap();
    let (answer, _) = scene.ask(&asked(true, &[])).await;
    assert!(matches!(&answer, Answer::Failed { code, .. } if code == "migrate.other_database"), "{answer:?}");
    assert_eq!(scene.kept_url().await, Some(elsewhere));
}

#[tokio::test]
async fn certificates_are_kept_beside_the_address_and_renewed_without_a_new_password() {
    let mut scene = Scene::new().await;
    let kept = async |scene: &Scene| {
        let call = scene.clients.secrets_manager().get_secret_value().secret_id(DATABASE_SECRET);
        let text = call.send().await.unwrap().secret_string.unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    scene.done(&asked(true, &[])).await;
    let before = kept(&scene).await;
    assert_eq!(before["ca"], Value::Null);
    for number in ["MA==", "MQ=="] {
        let pem = format!("-----BEGIN CERTIFICATE-----\n{number}\n-----END CERTIFICATE-----\n");
        scene.certificates = Some(pem.clone());
        assert_eq!(scene.done(&asked(true, &[])).await.new_password, Some(false));
        assert_eq!(kept(&scene).await, json!({ "url": before["url"], "ca": pem }));
    }
}
