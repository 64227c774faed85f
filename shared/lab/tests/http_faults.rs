//! The proxy that fails calls on purpose, before the real emulator.

use std::sync::{Arc, Mutex};

use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::http_faults::ecs::{Ecs, EcsLimits};
use isotherm_lab::http_faults::s3::{S3Fault, fail_s3};
use isotherm_lab::http_faults::sqs::{SendFault, fail_send};
use isotherm_lab::http_faults::{HttpFaults, Verdict};
use isotherm_lab::ministack::{Ministack, account};
use isotherm_lab::process::eventually;
use reqwest::{Method, Response};
use serde_json::{Value, json};

/// A service that speaks AWS's JSON protocol, reached through the proxy, in an account of its own.
struct JsonService {
    client: reqwest::Client,
    endpoint: String,
    target: &'static str,
    credential: String,
}

impl JsonService {
    fn new(proxy: &HttpFaults, name: &str, target: &'static str) -> Self {
        let credential = format!("AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/{name}/aws4_request", account());
        Self { client: reqwest::Client::new(), endpoint: proxy.endpoint_url(), target, credential }
    }

    /// `None` if the connection was closed without an answer.
    async fn call(&self, operation: &str, body: Value) -> Option<(u16, Value)> {
        let request = self.client.post(&self.endpoint).header("x-amz-target", format!("{}.{operation}", self.target));
        let request = request.header("content-type", "application/x-amz-json-1.0");
        let request = request.header("authorization", &self.credential);
        let answer = request.body(body.to_string()).send().await.ok()?;
        Some((answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()))
    }
}

#[tokio::test]
async fn sending_fails_before_or_after_the_queue_has_the_messages() {
    let fault: Arc<Mutex<Option<SendFault>>> = Arc::default();
    let rule = fault.clone();
    let proxy = HttpFaults::start(Ministack::shared().await.unwrap().endpoint_url(), move |call| {
        rule.lock().unwrap().map_or(Verdict::Pass, |fault| fail_send(call, fault))
    })
    .await
    .unwrap();
    let sqs = JsonService::new(&proxy, "sqs", "AmazonSQS");
    let (_, made) = sqs.call("CreateQueue", json!({ "QueueName": "plain" })).await.unwrap();
    let queue_url = made["QueueUrl"].as_str().unwrap();
    let entries = json!([{ "Id": "0", "MessageBody": "a" }, { "Id": "1", "MessageBody": "b" }]);
    let batch = json!({ "QueueUrl": queue_url, "Entries": entries });
    // What is sent under each fault, the status that the sender sees, and the messages in the queue after it.
    for (chosen, status, queued) in [
        (None, Some(200), "2"),
        (Some(SendFault::Refused), Some(503), "2"),
        (Some(SendFault::FailedAfterSending), Some(503), "4"),
        (Some(SendFault::CutAfterSending), None, "6"),
        (Some(SendFault::HalfRefused), Some(200), "7"),
    ] {
        *fault.lock().unwrap() = chosen;
        let answer = sqs.call("SendMessageBatch", batch.clone()).await;
        assert_eq!(answer.as_ref().map(|(status, _)| *status), status, "{chosen:?}");
        if chosen == Some(SendFault::HalfRefused) {
            let (_, body) = answer.unwrap();
            assert_eq!((&body["Failed"][0]["Id"], &body["Successful"][0]["Id"]), (&json!("0"), &json!("1")), "{body}");
        }
        let count = json!({ "QueueUrl": queue_url, "AttributeNames": ["ApproximateNumberOfMessages"] });
        let (_, attributes) = sqs.call("GetQueueAttributes", count).await.unwrap();
        assert_eq!(attributes["Attributes"]["ApproximateNumberOfMessages"], queued, "{chosen:?}");
    }
}

#[tokio::test]
async fn two_calls_with_one_token_start_one_task_though_the_first_is_not_answered_yet() {
    let emulator = Ministack::shared().await.unwrap();
    let late = FaultProxy::start(format!("127.0.0.1:{}", emulator.port())).await.unwrap();
    let ecs = Ecs::new(EcsLimits { burst: 10.0, per_second: 10.0, remembers_tokens: true });
    let judge = ecs.clone();
    let upstream = late.through(&emulator.endpoint_url());
    let proxy = HttpFaults::start(upstream, move |call| judge.judge(call, false)).await.unwrap();
    let service = JsonService::new(&proxy, "ecs", "AmazonEC2ContainerServiceV20141113");
    let containers = json!([{ "name": "worker", "image": "isotherm-noop" }]);
    let definition = json!({ "family": "isotherm-noop", "containerDefinitions": containers });
    assert_eq!(service.call("RegisterTaskDefinition", definition).await.unwrap().0, 200);
    let launch = json!({ "taskDefinition": "isotherm-noop", "launchType": "FARGATE", "clientToken": "task-1-0" });
    let asked = async |times: u64| {
        eventually("a call", async || ecs.seen(|tally| tally.calls) == times).await.unwrap();
    };

    late.switch(Mode::Blackhole);
    let second = async {
        asked(1).await;
        service.call("RunTask", launch.clone()).await
    };
    let answers = async {
        asked(2).await;
        late.switch(Mode::Pass);
    };
    let (first, second, ()) = tokio::join!(service.call("RunTask", launch.clone()), second, answers);
    let (status, first) = first.unwrap();
    assert_eq!((status, second), (200, None), "the second is not answered: it is not known yet with what");
    let (_, third) = service.call("RunTask", launch).await.unwrap();
    assert_eq!(third["tasks"][0]["taskArn"], first["tasks"][0]["taskArn"]);
    let (_, listed) = service.call("ListTasks", json!({})).await.unwrap();
    assert_eq!(listed["taskArns"], json!([first["tasks"][0]["taskArn"]]), "as the emulator has it");
    assert_eq!(ecs.seen(|tally| (tally.launched.len(), tally.repeated, tally.cut)), (1, 1, 1));
}

/// A bucket, reached through a proxy that does to each call what `fault` says.
struct S3 {
    client: reqwest::Client,
    credential: String,
    bucket: String,
    emulator: String,
    proxy: HttpFaults,
    fault: Arc<Mutex<Option<S3Fault>>>,
}

impl S3 {
    async fn with_a_bucket() -> Self {
        let fault: Arc<Mutex<Option<S3Fault>>> = Arc::default();
        let rule = fault.clone();
        let emulator = Ministack::shared().await.unwrap().endpoint_url();
        let proxy = HttpFaults::start(&emulator, move |call| {
            rule.lock().unwrap().map_or(Verdict::Pass, |fault| fail_s3(call, fault))
        })
        .await
        .unwrap();
        let (client, account) = (reqwest::Client::new(), account());
        let credential = format!("AWS4-HMAC-SHA256 Credential={account}/20260101/us-east-1/s3/aws4_request");
        let s3 = Self { client, credential, bucket: format!("faults-{account}"), emulator, proxy, fault };
        assert_eq!(s3.direct(Method::PUT, "", "").await.status(), 200);
        s3
    }

    /// `None` if the connection was closed before an answer.
    async fn call(&self, method: Method, key: &str, body: &'static str) -> Option<Response> {
        self.send(&self.proxy.endpoint_url(), method, key, body).await
    }

    /// A call to the emulator itself.
    async fn direct(&self, method: Method, key: &str, body: &'static str) -> Response {
        self.send(&self.emulator, method, key, body).await.unwrap()
    }

    async fn send(&self, endpoint: &str, method: Method, key: &str, body: &'static str) -> Option<Response> {
        let request = self.client.request(method, format!("{endpoint}/{}{key}", self.bucket)).body(body);
        request.header("authorization", &self.credential).send().await.ok()
    }
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers()[name].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn writing_to_s3_fails_before_or_after_the_object_is_there() {
    let s3 = S3::with_a_bucket().await;
    // What the writer sees under each fault, and whether the object is there after it.
    let cases = [
        (None, Some(200), true),
        (Some(S3Fault::SlowDown), Some(503), false),
        (Some(S3Fault::InsufficientStorage), Some(507), false),
        (Some(S3Fault::Conflict), Some(409), false),
        (Some(S3Fault::PreconditionFailed), Some(412), false),
        (Some(S3Fault::InternalError), Some(500), true),
        (Some(S3Fault::Cut), None, false),
        (Some(S3Fault::BrokenOff), None, true),
    ];
    for (n, (chosen, status, is_written)) in cases.into_iter().enumerate() {
        *s3.fault.lock().unwrap() = chosen;
        let key = format!("/object-{n}");
        let answer = s3.call(Method::PUT, &key, "content").await;
        assert_eq!(answer.map(|answer| answer.status().as_u16()), status, "{chosen:?}");
        assert_eq!(s3.direct(Method::GET, &key, "").await.status().is_success(), is_written, "{chosen:?}");
    }
}

#[tokio::test]
async fn what_s3_answers_comes_through_with_its_headers_or_breaks_off() {
    let s3 = S3::with_a_bucket().await;
    assert_eq!(s3.direct(Method::PUT, "/object", "not JSON").await.status(), 200);
    let direct = s3.direct(Method::GET, "/object", "").await;
    for (method, body) in [(Method::GET, "not JSON"), (Method::HEAD, "")] {
        let answer = s3.call(method.clone(), "/object", "").await.unwrap();
        assert_eq!(header(&answer, "etag"), header(&direct, "etag"), "{method}");
        assert_eq!(header(&answer, "content-length"), "8", "{method}");
        assert_eq!(answer.text().await.unwrap(), body);
    }
    let missing = s3.call(Method::GET, "/other", "").await.unwrap();
    assert_eq!((missing.status().as_u16(), header(&missing, "content-type").as_str()), (404, "application/xml"));
    assert!(missing.text().await.unwrap().contains("<Code>NoSuchKey</Code>"));

    for fault in [S3Fault::Conflict, S3Fault::PreconditionFailed] {
        *s3.fault.lock().unwrap() = Some(fault);
        assert_eq!(s3.call(Method::GET, "/object", "").await.unwrap().status(), 200, "{fault:?}");
    }
    *s3.fault.lock().unwrap() = Some(S3Fault::BrokenOff);
    let broken_off = s3.call(Method::GET, "/object", "").await.unwrap();
    assert_eq!(header(&broken_off, "content-length"), "8");
    assert!(broken_off.bytes().await.is_err());
}

#[tokio::test]
async fn a_condition_can_be_taken_out_on_the_way() {
    let s3 = S3::with_a_bucket().await;
    let without = HttpFaults::start(&s3.emulator, |_| Verdict::PassOnWithout("if-none-match")).await.unwrap();
    let cases = [(s3.proxy.endpoint_url(), 412, "first"), (without.endpoint_url(), 200, "second")];
    assert_eq!(s3.direct(Method::PUT, "/object", "first").await.status(), 200);
    for (endpoint, status, content) in cases {
        let request = s3.client.put(format!("{endpoint}/{}/object", s3.bucket)).body("second");
        let request = request.header("authorization", &s3.credential).header("if-none-match", "*");
        assert_eq!(request.send().await.unwrap().status(), status);
        assert_eq!(s3.direct(Method::GET, "/object", "").await.text().await.unwrap(), content);
    }
}
