//! What functions find when they start: a migrated Postgres, the stack file's queues, buckets and secrets on the
//! emulator, and the variables that follow from it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use aws_sdk_sqs::types::QueueAttributeName;
use isotherm_access::LocalIssuer;
use isotherm_lab::ministack::{Ministack, MinistackOptions, REGION};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::tools;
use isotherm_local_stack::aws::DEFAULT_ACCOUNT;
use isotherm_local_stack::environment::{self, Addresses};
use isotherm_local_stack::provision::{EMAIL_FROM, secrets};
use isotherm_local_stack::{LocalAws, Stack as StackFile, names};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

/// Where programs that belong to the system are.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// 32 zero bytes.
const SEALING_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// The stage.
pub(crate) struct Stage {
    root: PathBuf,
    file: StackFile,
    addresses: Addresses,
    aws: LocalAws,
    programs: PathBuf,
    httpfs: PathBuf,
    logs: TempDir,
    _emulator: Ministack,
}

impl Stage {
    /// With everything that the stack file names, but for what would call functions.
    pub(crate) async fn new() -> Self {
        let root = tools::repository_root().expect("a repository");
        let file = StackFile::read(&root.join("terraform/stack.yaml")).expect("the stack file is good");
        let database = TestDatabase::migrated().await.expect("a database");
        let emulator = Ministack::start(MinistackOptions::default()).await.expect("an emulator");
        let aws = LocalAws::new(&emulator.endpoint_url(), REGION, DEFAULT_ACCOUNT).await;
        let addresses = Addresses {
            queue_urls: queues(&aws, &file).await,
            buckets: buckets(&aws, &file).await,
            secret_arns: secret_arns(&aws, &file, &database.url).await,
            cluster: names::cluster().to_owned(),
            subnets: Vec::new(),
            security_groups: Vec::new(),
            token_issuers: LocalIssuer::generate().expect("a key").issuers().to_string(),
            email_from: EMAIL_FROM.to_owned(),
        };
        // Cargo builds benchmarks into a folder inside that of the programs.
        let this = std::env::current_exe().expect("a program knows its path");
        let programs = this.parent().and_then(Path::parent).expect("it is in a folder").to_path_buf();
        let httpfs = tools::httpfs().expect("an extension").canonicalize().expect("it is there");
        let logs = tempfile::tempdir().expect("a folder");
        Self { root, file, addresses, aws, programs, httpfs, logs, _emulator: emulator }
    }

    /// Keys of all functions.
    pub(crate) fn functions(&self) -> Vec<String> {
        self.file.functions.keys().cloned().collect()
    }

    /// The program of the function `key`, with the variables that it has on the local stack and those that Lambda sets.
    pub(crate) fn command(&self, key: &str) -> Command {
        let function = &self.file.functions[key];
        let program = self.programs.join(format!("lambda-{key}"));
        assert!(program.exists(), "{} is missing; `./isotherm lab bench cold_start` builds it", program.display());
        let variables =
            environment::of_function(&self.file, function, &self.addresses).expect("every address is known");
        let memory_mb = function.memory_mb.to_string();
        let lambda = [
            ("AWS_LAMBDA_FUNCTION_NAME", names::function(key)),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mb),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{key}")),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "bench".to_owned()),
        ];
        // On AWS these lie beside the program.
        let bundle = [
            ("ISOTHERM_SANDBOX_BIN", self.programs.join("isotherm-sql-sandbox")),
            ("ISOTHERM_HTTPFS_EXTENSION", self.httpfs.clone()),
        ];
        // Lambda's image has one file of roots; where there is a file for each beside, a client reads them all.
        let roots = ["/etc/ssl/certs/ca-certificates.crt"].into_iter().filter(|file| Path::new(file).exists());
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", PATH)
            .envs(roots.map(|file| ("SSL_CERT_FILE", file)))
            .envs(variables)
            .envs(self.aws.variables())
            .envs(lambda);
        if !function.bundle.is_empty() {
            command.envs(bundle);
        }
        let log = File::create(self.log_path(key)).expect("a log file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        command
    }

    /// The event with which the function `key` has least to do: a sweep that finds nothing, a request that is refused, a
    /// query of no relation.
    pub(crate) fn event(&self, key: &str) -> String {
        let fixture = match key {
            "alert_deliver" => "alert_deliver/sweep",
            "alert_evaluate" => "alert_evaluate/sweep",
            "api" => "api/direct_run_job_bare",
            "dispatcher" => "dispatcher/sweep",
            "query" => return json!({ "sql": "select 1" }).to_string(),
            "reaper" => "reaper/reap",
            "trigger_cron" => "trigger_cron/sweep",
            "trigger_threshold" => "trigger_threshold/sweep",
            "trigger_webhook" => "trigger_webhook/delivery",
            other => panic!("the benchmark has no event for the function {other}: name a fixture here"),
        };
        let path = self.root.join("events-fixtures").join(fixture).with_extension("json");
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// What the function `key` has logged at its last start.
    pub(crate) fn log(&self, key: &str) -> String {
        std::fs::read_to_string(self.log_path(key)).unwrap_or_default()
    }

    fn log_path(&self, key: &str) -> PathBuf {
        self.logs.path().join(format!("{key}.log"))
    }
}

async fn queues(aws: &LocalAws, file: &StackFile) -> BTreeMap<String, String> {
    let mut urls = BTreeMap::new();
    for (key, queue) in &file.queues {
        let mut call = aws.sqs().create_queue().queue_name(names::queue(key, queue.fifo));
        if queue.fifo {
            call = call.attributes(QueueAttributeName::FifoQueue, "true");
        }
        let made = call.send().await.expect("a queue");
        urls.insert(key.clone(), made.queue_url.expect("a queue has a URL"));
    }
    urls
}

async fn buckets(aws: &LocalAws, file: &StackFile) -> BTreeMap<String, String> {
    let mut buckets = BTreeMap::new();
    for key in file.buckets.keys() {
        let name = names::bucket(key, "bench");
        aws.s3().create_bucket().bucket(&name).send().await.expect("a bucket");
        buckets.insert(key.clone(), name);
    }
    buckets
}

async fn secret_arns(aws: &LocalAws, file: &StackFile, database_url: &str) -> BTreeMap<String, String> {
    let mut arns = BTreeMap::new();
    for key in file.secrets.iter().filter(|(_, secret)| !secret.per_name).map(|(key, _)| key) {
        let text = match key.as_str() {
            "database" => json!({ "url": database_url }),
            "alerts" => json!({ "keys": [{ "id": "k1", "key": SEALING_KEY }] }),
            _ => json!({}),
        };
        let (arn, _) = secrets::ensure(aws, key, &text.to_string()).await.expect("a secret");
        arns.insert(key.clone(), arn);
    }
    arns
}
