//! Requests as the SDK makes them are read as the actions that AWS asks for, and what is not known is said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_s3::presigning::PresigningConfig;
use isotherm_lab::aws_calls::recorder::{CallRecorder, Recording};
use isotherm_lab::aws_calls::{AwsCall, UnreadCall};
use isotherm_lab::http_faults::{HttpFaults, Reply, Verdict};
use isotherm_lab::ministack::{self, Ministack, REGION};
use isotherm_local_stack::LocalAws;
use serde_json::json;

const ACCOUNT: &str = "123456789012";

/// A service that answers everything with `{}` and keeps how the last request was read.
struct Listener {
    proxy: HttpFaults,
    read: Arc<Mutex<Option<Result<AwsCall, UnreadCall>>>>,
}

impl Listener {
    async fn start() -> Self {
        let read = Arc::<Mutex<Option<Result<AwsCall, UnreadCall>>>>::default();
        let kept = Arc::clone(&read);
        let proxy = HttpFaults::start("http://127.0.0.1:1", move |call| {
            *kept.lock().unwrap() = Some(AwsCall::read("isotherm-api", call));
            Verdict::Answer(Reply { status: 200, body: json!({}) })
        });
        Self { proxy: proxy.await.unwrap(), read }
    }

    /// What the request was read as. How the client likes the answer does not matter.
    async fn reads<T>(&self, call: impl Future<Output = T>) -> Result<AwsCall, UnreadCall> {
        call.await;
        self.read.lock().unwrap().take().expect("the call came here")
    }

    async fn expect<T>(&self, call: impl Future<Output = T>, action: &str, resource: &str) {
        let read = self.reads(call).await.unwrap();
        assert_eq!((read.action.as_str(), read.resource.as_str()), (action, resource));
        assert_eq!(read.principal, "isotherm-api");
    }

    async fn refuses<T>(&self, call: impl Future<Output = T>, reason: &str) {
        let unread = self.reads(call).await.unwrap_err();
        assert!(unread.reason.contains(reason), "{unread}");
    }
}

fn arn(service: &str, rest: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}")
}

#[tokio::test]
async fn requests_of_s3_are_read_by_method_path_and_query() {
    let listener = Listener::start().await;
    let s3 = LocalAws::new(&listener.proxy.endpoint_url(), REGION, ACCOUNT).await.s3();
    let (bucket, key) = ("isotherm-cold-local", "cold/test/blocks/blocks 1.parquet");
    let object = "arn:aws:s3:::isotherm-cold-local/cold/test/blocks/blocks 1.parquet";
    let all = "arn:aws:s3:::isotherm-cold-local";
    listener.expect(s3.get_object().bucket(bucket).key(key).range("bytes=0-7").send(), "s3:GetObject", object).await;
    listener.expect(s3.head_object().bucket(bucket).key(key).send(), "s3:GetObject", object).await;
    let put = s3.put_object().bucket(bucket).key(key).if_none_match("*").body(b"x".to_vec().into());
    listener.expect(put.send(), "s3:PutObject", object).await;
    listener.expect(s3.create_multipart_upload().bucket(bucket).key(key).send(), "s3:PutObject", object).await;
    let part = s3.upload_part().bucket(bucket).key(key).upload_id("u").part_number(1).body(b"x".to_vec().into());
    listener.expect(part.send(), "s3:PutObject", object).await;
    let complete = s3.complete_multipart_upload().bucket(bucket).key(key).upload_id("u");
    listener.expect(complete.send(), "s3:PutObject", object).await;
    let abort = s3.abort_multipart_upload().bucket(bucket).key(key).upload_id("u");
    listener.expect(abort.send(), "s3:AbortMultipartUpload", object).await;
    listener.expect(s3.delete_object().bucket(bucket).key(key).send(), "s3:DeleteObject", object).await;
    listener.expect(s3.list_objects_v2().bucket(bucket).prefix("cold/").send(), "s3:ListBucket", all).await;
    listener.expect(s3.head_bucket().bucket(bucket).send(), "s3:ListBucket", all).await;
    let old = s3.get_object().bucket(bucket).key(key).version_id("v");
    listener.expect(old.send(), "s3:GetObjectVersion", object).await;

    let lifetime = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let presigned = s3.get_object().bucket(bucket).key(key).presigned(lifetime).await.unwrap();
    listener.expect(reqwest::get(presigned.uri().to_owned()), "s3:GetObject", object).await;
}

#[tokio::test]
async fn requests_of_other_services_are_read_by_their_operation() {
    let listener = Listener::start().await;
    let url = listener.proxy.endpoint_url();
    let aws = LocalAws::new(&url, REGION, ACCOUNT).await;
    let (sqs, ecs, secrets) = (aws.sqs(), aws.ecs(), aws.secrets());
    let queue = format!("http://127.0.0.1:4566/{ACCOUNT}/isotherm-events.fifo");
    let events = arn("sqs", "isotherm-events.fifo");
    listener.expect(sqs.send_message().queue_url(&queue).message_body("x").send(), "sqs:SendMessage", &events).await;
    listener.expect(sqs.send_message_batch().queue_url(&queue).send(), "sqs:SendMessage", &events).await;
    listener.expect(sqs.receive_message().queue_url(&queue).send(), "sqs:ReceiveMessage", &events).await;
    let delete = sqs.delete_message().queue_url(&queue).receipt_handle("r");
    listener.expect(delete.send(), "sqs:DeleteMessage", &events).await;

    let run = ecs.run_task().cluster("isotherm").task_definition("isotherm-noop");
    let run = listener.reads(run.send()).await.unwrap();
    assert_eq!(
        (run.action.as_str(), run.resource),
        ("ecs:RunTask", arn("ecs", "task-definition/isotherm-noop:newest"))
    );
    assert_eq!(run.context["ecs:cluster"], arn("ecs", "cluster/isotherm"));
    let task = arn("ecs", "task/isotherm/0123");
    listener.expect(ecs.stop_task().cluster("isotherm").task(&task).send(), "ecs:StopTask", &task).await;
    listener.expect(ecs.stop_task().cluster("isotherm").task("0123").send(), "ecs:StopTask", &task).await;

    let secret = arn("secretsmanager", "secret:isotherm/database-AbCdEf");
    let read = "secretsmanager:GetSecretValue";
    listener.expect(secrets.get_secret_value().secret_id(&secret).send(), read, &secret).await;
    let by_name = arn("secretsmanager", "secret:isotherm/rpc/monad-xxxxxx");
    listener.expect(secrets.get_secret_value().secret_id("isotherm/rpc/monad").send(), read, &by_name).await;

    let function = arn("lambda", "function:isotherm-query");
    for name in ["isotherm-query", &function] {
        let invoke = aws.lambda().invoke().function_name(name).payload(Blob::new("{}"));
        listener.expect(invoke.send(), "lambda:InvokeFunction", &function).await;
    }
    let email = aws.email().send_email().from_email_address("Isotherm <alerts@isotherm.example>");
    let identity = arn("ses", "identity/alerts@isotherm.example");
    listener.expect(email.send(), "ses:SendEmail", &identity).await;

    let sns = sns(&url).await;
    listener.expect(sns.publish().phone_number("+15551230042").message("m & m").send(), "sns:Publish", "+").await;
    let topic = arn("sns", "alarms");
    listener.expect(sns.publish().topic_arn(&topic).message("m").send(), "sns:Publish", &topic).await;
}

async fn sns(endpoint_url: &str) -> aws_sdk_sns::Client {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(endpoint_url)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(ACCOUNT, "secret", None, None, "test"))
        .load()
        .await;
    aws_sdk_sns::Client::new(&config)
}

#[tokio::test]
async fn a_request_that_is_not_known_is_an_error() {
    let listener = Listener::start().await;
    let url = listener.proxy.endpoint_url();
    let aws = LocalAws::new(&url, REGION, ACCOUNT).await;
    listener.refuses(aws.sqs().list_queues().send(), "`ListQueues` of SQS").await;
    listener.refuses(aws.ecs().list_tasks().send(), "`ListTasks` of ECS").await;
    listener.refuses(aws.lambda().list_functions().send(), "only invocations").await;
    listener.refuses(aws.email().get_email_identity().email_identity("a@b.c").send(), "table of SES").await;
    listener.refuses(sns(&url).await.list_topics().send(), "of SNS is not in its table").await;
    listener.refuses(aws.scheduler().list_schedules().send(), "no table for the service `scheduler`").await;
    let (s3, bucket) = (aws.s3(), "isotherm-cold-local");
    listener.refuses(s3.get_object_tagging().bucket(bucket).key("k").send(), "GET of an object").await;
    listener.refuses(s3.list_object_versions().bucket(bucket).send(), "GET of a bucket").await;
    let copy = s3.copy_object().bucket(bucket).key("k").copy_source("isotherm-cold-local/other");
    listener.refuses(copy.send(), "x-amz-copy-source").await;
    listener.refuses(reqwest::get(format!("{url}/{bucket}/k")), "it is not signed").await;
}

#[tokio::test]
async fn a_recorder_passes_calls_on_and_keeps_each_once() {
    let emulator = Ministack::shared().await.unwrap();
    let account = ministack::account();
    let straight = LocalAws::new(&emulator.endpoint_url(), REGION, &account).await;
    let secret = straight.secrets().create_secret().name("isotherm/database").secret_string("s").send().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("calls.jsonl");
    let roles = ["isotherm-api", "isotherm-reaper"].map(str::to_owned);
    let recorder = CallRecorder::start(&emulator.endpoint_url(), roles, &file).await.unwrap();
    let by = async |role: &str| LocalAws::new(&recorder.endpoint_urls()[role], REGION, &account).await;
    let (api, reaper) = (by("isotherm-api").await, by("isotherm-reaper").await);
    for aws in [&api, &api, &reaper] {
        let answer = aws.secrets().get_secret_value().secret_id("isotherm/database").send().await.unwrap();
        assert_eq!((answer.secret_string(), answer.arn()), (Some("s"), secret.arn()));
    }
    assert!(reaper.sqs().list_queues().send().await.is_ok(), "what is not known is passed on too");

    let recording = Recording::of_file(&file).unwrap();
    let resource = format!("arn:aws:secretsmanager:{REGION}:{account}:secret:isotherm/database-xxxxxx");
    let call = |role: &str| AwsCall {
        principal: role.to_owned(),
        action: "secretsmanager:GetSecretValue".to_owned(),
        resource: resource.clone(),
        context: BTreeMap::new(),
    };
    assert_eq!(recording.calls, BTreeSet::from([call("isotherm-api"), call("isotherm-reaper")]));
    let unread: Vec<&String> = recording.unread.iter().collect();
    assert!(matches!(unread.as_slice(), [one] if one.starts_with("isotherm-reaper made a call that")), "{unread:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 3);
}
