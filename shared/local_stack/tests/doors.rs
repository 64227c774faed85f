//! The doors that strangers and people knock at, through the emulator's API Gateway with real HTTP: webhooks, and firing by
//! hand. And the one door out, where a function fetches the keys of an issuer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use isotherm_access::users::{self, NewUser};
use isotherm_access::{LocalIssuer, Role, local_issuer};
use isotherm_control::{jobs, pipeline};
use isotherm_lab::ministack::{self, Ministack, MinistackOptions};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::tools;
use isotherm_local_stack::aws::DEFAULT_ACCOUNT;
use isotherm_local_stack::package::Sources;
use isotherm_local_stack::provision::{Options, provision, secrets};
use isotherm_local_stack::{LocalAws, Provisioned, Stack, names};
use isotherm_types::{Clock, SystemClock};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use sqlx::PgConnection;
use standardwebhooks::Webhook;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// 32 zero bytes.
const SEALING_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const BODY: &str = r#"{"order":{"id":7}}"#;

const PIPELINE: &str = "
version: 1
jobs: [{ name: work, operator: noop }]
triggers:
  - name: orders
    job: work
    webhook: { secret: isotherm/webhook/orders, parameters: { order: /order/id } }
";

/// Folder of the built programs; tests are built into a folder inside it.
fn programs() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let programs = test.parent().and_then(Path::parent).unwrap().to_path_buf();
    for name in ["lambda-trigger_webhook", "lambda-api"] {
        assert!(programs.join(name).exists(), "{name} is not built: `cargo build --workspace --bins` builds it");
    }
    programs
}

/// The two functions of the real stack file that this is about, and nothing else that would have to be built.
fn doors() -> Stack {
    let root = tools::repository_root().unwrap();
    let mut stack = Stack::read(&root.join("terraform/stack.yaml")).unwrap();
    let ours = ["trigger_webhook", "api"];
    stack.functions.retain(|key, _| ours.contains(&key.as_str()));
    stack.routes.retain(|_, route| ours.contains(&route.function.as_str()));
    stack.event_source_mappings.clear();
    stack.schedules.clear();
    stack.operators.clear();
    stack.cron_triggers.function = "api".to_owned();
    stack
}

struct Scene {
    made: Provisioned,
    aws: LocalAws,
    conn: PgConnection,
    issuer: LocalIssuer,
    client: Client,
    _database: TestDatabase,
    _emulator: Ministack,
}

impl Scene {
    async fn new() -> Self {
        let issuer = LocalIssuer::generate().unwrap();
        let issuers = issuer.issuers();
        Self::behind(Vec::new(), issuer, &issuers).await
    }

    /// With these variables of a way out, and these issuers.
    async fn behind(way_out: Vec<(String, String)>, issuer: LocalIssuer, issuers: &Value) -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let emulator = Ministack::start(MinistackOptions::default()).await.unwrap();
        let aws = LocalAws::new(&emulator.endpoint_url(), ministack::REGION, DEFAULT_ACCOUNT).await.behind(way_out);
        let options = Options {
            sources: Sources { programs: programs(), duckdb: PathBuf::new() },
            bucket_suffix: "doors".to_owned(),
            secrets: BTreeMap::from([
                ("database".to_owned(), json!({ "url": database.url }).to_string()),
                ("alerts".to_owned(), json!({ "keys": [{ "id": "k1", "key": SEALING_KEY }] }).to_string()),
            ]),
            token_issuers: issuers.to_string(),
        };
        let made = provision(&doors(), &aws, &options, &mut |_| {}).await.unwrap();
        secrets::ensure(&aws, "webhook/orders", KEY).await.unwrap();
        let mut conn = database.connect().await.unwrap();
        let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
        pipeline::apply(&mut conn, org, &pipeline::parse(PIPELINE).unwrap(), "test").await.unwrap();
        for (subject, role) in [("ann", Role::Writer), ("rob", Role::Reader)] {
            let new = NewUser {
                issuer: local_issuer::ISSUER.to_owned(),
                subject: subject.to_owned(),
                name: subject.to_owned(),
                role,
            };
            users::add(&mut conn, org, &new, "test").await.unwrap();
        }
        Self { made, aws, conn, issuer, client: Client::new(), _database: database, _emulator: emulator }
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.made.api_url)).header("content-type", "application/json")
    }

    /// A delivery sent now, signed by the reference library.
    fn delivery(&self, id: &str, body: &str, seconds_ago: i64) -> RequestBuilder {
        let sent = SystemClock.now().timestamp() - seconds_ago;
        let signature = Webhook::new(KEY).unwrap().sign(id, sent, body.as_bytes()).unwrap();
        self.post("/v1/webhooks/default/orders")
            .header("Webhook-Id", id)
            .header("Webhook-Timestamp", sent.to_string())
            .header("Webhook-Signature", signature)
            .body(body.to_owned())
    }

    /// `request` with a token of `subject`.
    fn by(&self, subject: &str, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(self.issuer.token(subject, SystemClock.now(), TimeDelta::hours(1)).unwrap())
    }

    async fn events(&mut self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM control.events").fetch_one(&mut self.conn).await.unwrap()
    }
}

/// Status and body.
async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{status}: {bytes:?}")))
}

#[tokio::test]
async fn webhooks_come_in_by_http() {
    let mut scene = Scene::new().await;
    let (status, body) = answer(scene.delivery("msg_1", BODY, 0)).await;
    assert_eq!(status, 202, "{body}");
    let event_id = body["event_id"].as_i64().unwrap();
    let input: Value = sqlx::query_scalar("SELECT body -> 'input' FROM control.events WHERE id = $1")
        .bind(event_id)
        .fetch_one(&mut scene.conn)
        .await
        .unwrap();
    assert_eq!(input, json!({ "order": 7 }));

    let (status, body) = answer(scene.delivery("msg_1", BODY, 0)).await;
    assert_eq!((status, &body["code"], body["event_id"].as_i64()), (409, &json!("webhook.replayed"), Some(event_id)));
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(256 * 1024));
    let table = [
        ("altered", scene.delivery("msg_2", BODY, 0).body("{\"order\":{\"id\":8}}"), 401, "webhook.bad_signature"),
        ("unsigned", scene.post("/v1/webhooks/default/orders").body(BODY), 401, "webhook.missing_header"),
        ("stale", scene.delivery("msg_2", BODY, 302), 401, "webhook.stale_timestamp"),
        ("oversized", scene.delivery("msg_2", &long, 0), 413, "webhook.too_large"),
        ("unknown", scene.post("/v1/webhooks/default/order").body(BODY), 404, "webhook.not_found"),
        ("no JSON", scene.delivery("msg_2", "{", 0), 400, "webhook.not_json"),
        ("nothing there", scene.delivery("msg_2", "{}", 0), 422, "webhook.missing_parameter"),
    ];
    for (what, request, expected, code) in table {
        let (status, body) = answer(request).await;
        assert_eq!((status, &body["code"]), (expected, &json!(code)), "{what}: {body}");
    }
    assert_eq!(scene.events().await, 1);

    // Not JSON by its content type: API Gateway passes it on in base64.
    let form = scene.delivery("msg_3", BODY, 0).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(answer(form).await.0, 202);
}

#[tokio::test]
async fn jobs_and_triggers_are_fired_by_hand_by_whom_a_token_names() {
    let mut scene = Scene::new().await;
    let run = |scene: &Scene| scene.post("/v1/jobs/work/run").body(r#"{"input":{"steps":2}}"#);
    let unsigned = run(&scene).send().await.unwrap();
    assert_eq!(unsigned.status().as_u16(), 401);
    assert_eq!(unsigned.headers()["www-authenticate"], "Bearer realm=\"isotherm\"");
    let (status, body) = answer(scene.by("rob", run(&scene))).await;
    assert_eq!((status, &body["code"]), (403, &json!("access.forbidden")), "{body}");
    assert_eq!(scene.events().await, 0);

    let by_ann = |request: RequestBuilder| scene.by("ann", request).header("Idempotency-Key", "k1");
    let (status, first) = answer(by_ann(run(&scene))).await;
    assert_eq!((status, &first["new"]), (202, &json!(true)), "{first}");
    let (status, again) = answer(by_ann(run(&scene))).await;
    assert_eq!((status, &again["event_id"]), (200, &first["event_id"]), "{again}");
    assert_eq!(answer(by_ann(scene.post("/v1/triggers/orders/fire"))).await.0, 202);
    let me = scene.client.get(format!("{}/v1/whoami", scene.made.api_url));
    let (status, me) = answer(scene.by("ann", me)).await;
    assert_eq!((status, &me["org"], &me["role"]), (200, &json!("default"), &json!("writer")), "{me}");
    let tasks = scene.client.get(format!("{}/v1/tasks?limit=5&state=queued", scene.made.api_url));
    let (status, tasks) = answer(scene.by("rob", tasks)).await;
    assert_eq!((status, &tasks["tasks"]), (200, &json!([])), "{tasks}");
    let actors: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT actor FROM control.audit_log WHERE action IN ('run', 'fired')")
            .fetch_all(&mut scene.conn)
            .await
            .unwrap();
    assert_eq!(actors, ["user:ann"]);

    let event = json!({ "version": 1, "action": "run_job", "org": "default", "job": "work", "input": { "steps": 2 }, "idempotency_key": "k1" });
    let call = scene.aws.lambda().invoke().function_name(names::function("api"));
    let answered = call.payload(event.to_string().into_bytes().into()).send().await.unwrap();
    let answered: Value = serde_json::from_slice(answered.payload().unwrap().as_ref()).unwrap();
    assert_eq!(answered, json!({ "event_id": first["event_id"], "new": false }));
}

/// A way out that refuses everybody as one machine's does, and notes the first line of each request.
struct WayOut {
    variables: Vec<(String, String)>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl WayOut {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let variables = [("HTTP_PROXY", url.as_str()), ("HTTPS_PROXY", &url), ("NO_PROXY", "127.0.0.1,localhost")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut client = BufReader::new(client);
                let mut line = String::new();
                if client.read_line(&mut line).await.is_ok_and(|length| length > 0) {
                    noted.lock().unwrap().push(line.trim_end().to_owned());
                    let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
                }
            }
        });
        Self { variables, asked }
    }
}

#[tokio::test]
async fn a_function_that_fetches_an_issuers_keys_asks_the_way_out() {
    let (way_out, issuer) = (WayOut::start().await, LocalIssuer::generate().unwrap());
    let mut issuers = issuer.issuers();
    let keys = issuers[0].as_object_mut().unwrap();
    keys.remove("jwks");
    keys.insert("jwks_url".to_owned(), json!("https://id.example.com/keys"));
    let scene = Scene::behind(way_out.variables.clone(), issuer, &issuers).await;

    let me = scene.client.get(format!("{}/v1/whoami", scene.made.api_url));
    let (status, body) = answer(scene.by("ann", me)).await;
    assert_eq!((status, &body["code"]), (503, &json!("access.issuer_unavailable")), "{body}");
    assert_eq!(*way_out.asked.lock().unwrap(), ["CONNECT id.example.com:443 HTTP/1.1"]);
}
