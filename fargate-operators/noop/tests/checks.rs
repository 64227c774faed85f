//! Who can have hosts tried, and what they are told: the real program, an emulated S3, a real Postgres, and a host that counts
//! who comes.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use isotherm_lab::ministack::{self, Ministack};
use isotherm_lab::postgres::TestDatabase;
use isotherm_platform::aws::Clients;
use isotherm_types::operator::OPERATOR_PROTOCOL;
use isotherm_types::{Fence, OperatorLine, OperatorResult, TaskId, TaskSpec};
use operator_noop::checks::{Asked, Found, Hosts};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;

/// What the host's answer says, in its first line and in its body.
const ANSWER: &str = "HTTP/1.1 418 I'm a teapot\r\ncontent-length: 7\r\nconnection: close\r\n\r\nearl gr";

/// A host inside the network.
struct Host {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Host {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut bytes = [0; 4096];
                if client.read(&mut bytes).await.is_ok_and(|length| length > 0) {
                    let _ = client.write_all(ANSWER.as_bytes()).await;
                }
            }
        });
        Self { url, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

struct Scene {
    clients: Clients,
    endpoint_url: String,
    account: String,
    bucket: String,
    asked: Asked,
    database: TestDatabase,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let emulator = Ministack::shared().await.unwrap();
        let account = ministack::account();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(ministack::REGION))
            .endpoint_url(emulator.endpoint_url())
            .credentials_provider(Credentials::new(&account, "secret", None, None, "test"))
            .load()
            .await;
        let clients = Clients::from_config(config);
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let bucket = format!("results-{nonce}");
        clients.s3().create_bucket().bucket(&bucket).send().await.unwrap();
        let call = clients.sqs().create_queue().queue_name("isotherm-tasks-noop.fifo");
        let queue = call.attributes("FifoQueue".into(), "true").send().await.unwrap();
        let asked = Asked { nonce, queue_url: queue.queue_url.unwrap() };
        Self { clients, endpoint_url: emulator.endpoint_url(), account, bucket, asked, database }
    }

    /// Names hosts as `isotherm smoke` does.
    async fn put(&self, hosts: &Hosts) {
        let body = serde_json::to_vec(hosts).unwrap();
        let call = self.clients.s3().put_object().bucket(&self.bucket).key(self.asked.hosts_key());
        call.body(body.into()).send().await.unwrap();
    }

    /// Runs a task of a job with `check: true`; its result, and all that it says.
    async fn run(&self, input: Value) -> (OperatorResult, String) {
        let spec = TaskSpec {
            version: OPERATOR_PROTOCOL,
            task_id: TaskId(1),
            fence: Fence(1),
            attempt: 1,
            job: "look".to_owned(),
            config: json!({ "check": true }),
            input,
        };
        let mut child = Command::new(env!("CARGO_BIN_EXE_operator-noop"))
            .env_clear()
            .envs([
                ("AWS_ENDPOINT_URL", self.endpoint_url.as_str()),
                ("AWS_REGION", ministack::REGION),
                ("AWS_ACCESS_KEY_ID", &self.account),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("ISOTHERM_BUCKET_RESULTS", &self.bucket),
                ("ISOTHERM_DATABASE_URL", &self.database.url),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let line = format!("{}\n", serde_json::to_string(&spec).unwrap());
        child.stdin.take().unwrap().write_all(line.as_bytes()).await.unwrap();
        let said = String::from_utf8(child.wait_with_output().await.unwrap().stdout).unwrap();
        match serde_json::from_str::<OperatorLine>(said.lines().last().unwrap()).unwrap() {
            OperatorLine::Result(result) => (result, said),
            other => panic!("{other:?}"),
        }
    }

    async fn objects(&self) -> usize {
        self.clients.s3().list_objects_v2().bucket(&self.bucket).send().await.unwrap().contents().len()
    }

    /// What the task found of the two hosts.
    async fn found(&self, hosts: &Hosts) -> [(bool, String); 2] {
        self.put(hosts).await;
        let (result, said) = self.run(json!(self.asked)).await;
        let OperatorResult::Completed { output } = result else { panic!("{said}") };
        assert!(!said.contains("teapot") && !said.contains("earl"), "{said}");
        let found: Vec<Found> = serde_json::from_value(output["checks"].clone()).unwrap();
        ["allowed_host", "refused_host"].map(|name| {
            let one = found.iter().find(|one| one.name == name).unwrap();
            (one.ok, one.detail.clone())
        })
    }
}

fn code(result: &OperatorResult) -> &str {
    match result {
        OperatorResult::Failed { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_task_that_names_hosts_itself_is_refused_and_reaches_none() {
    let (scene, host) = (Scene::new().await, Host::start().await);
    scene.put(&Hosts { allowed_url: host.url.clone(), refused_url: host.url.clone() }).await;
    for name in ["allowed_url", "refused_url", "hosts"] {
        let mut input = json!(scene.asked);
        input[name] = json!(host.url);
        let (result, said) = scene.run(input).await;
        assert_eq!(code(&result), "task.input_invalid", "{name}: {said}");
    }
    assert_eq!(host.connections(), 0);
}

#[tokio::test]
async fn without_hosts_in_the_bucket_nothing_is_tried() {
    let scene = Scene::new().await;
    let (result, said) = scene.run(json!(scene.asked)).await;
    assert_eq!(code(&result), "noop.not_asked", "{said}");
    assert_eq!(scene.objects().await, 0);
    let received = scene.clients.sqs().receive_message().queue_url(&scene.asked.queue_url).send().await.unwrap();
    assert!(received.messages().is_empty());
}

#[tokio::test]
async fn of_a_host_it_is_told_whether_it_was_reached_and_nothing_else() {
    let (scene, host) = (Scene::new().await, Host::start().await);
    let reached = scene.found(&Hosts { allowed_url: host.url.clone(), refused_url: host.url.clone() }).await;
    let expected = [(true, "reached"), (false, "reached, and it is not on the list")];
    assert_eq!(reached, expected.map(|(ok, detail)| (ok, detail.to_owned())));
    assert_eq!(host.connections(), 2);

    let hosts = Hosts { allowed_url: nobody().await, refused_url: nobody().await };
    let silent = scene.found(&hosts).await;
    let expected = [(false, "not reached: the log says why"), (true, "refused")];
    assert_eq!(silent, expected.map(|(ok, detail)| (ok, detail.to_owned())));
}
