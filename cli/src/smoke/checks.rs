//! The checks, in the order in which one needs another.

use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use isotherm_types::{Clock as _, SystemClock};
use operator_migrate::smoke;
use operator_noop::checks::{Asked, Found, Hosts};
use serde_json::json;

use super::outcome::{Check, Outcome, tell};
use super::side::Side;
use super::{inside, invoke, webhook};
use crate::args::Output;

const QUERY: Check = Check {
    name: "query",
    what: "SQL through the query function",
    advice: "look at the log of isotherm-query; docs/operations.md has alarms that go with it",
};
const REFUSED_FROM_HERE: Check = Check {
    name: "refused_host_from_here",
    what: "a host off the list, reached from here",
    advice: "name another host with --refused: a host that is down would be refused by nobody",
};
const PUT: Check = Check {
    name: "bucket_put",
    what: "the hosts to be tried, put into S3 from here",
    advice: "look at the bucket `results`, at its key, and at what these credentials may do",
};
const API: Check = Check {
    name: "api",
    what: "a job run through the api function",
    advice: "look at the log of isotherm-api; if the job is unknown, the step `migrate` of `isotherm deploy` makes it",
};
const WEBHOOK: Check = Check {
    name: "webhook",
    what: "a signed webhook through the HTTP API",
    advice: "look at the API's log and that of isotherm-trigger-webhook",
};
const TASK: Check = Check {
    name: "task",
    what: "a noop task on Fargate, to its end",
    advice: "look at the dispatcher's log, at why ECS did not start it (docs/operations.md, alarm `task not started`), and \
             at `isotherm tasks show`",
};
const WEBHOOK_TASK: Check = Check {
    name: "webhook_task",
    what: "the webhook's task, to its end",
    advice: "look at the dispatcher's log, and at whether its queue and its sweep work",
};
const DELETED: Check = Check {
    name: "bucket_delete",
    what: "the object from inside, read and deleted from here",
    advice: "look at the bucket's policy and at what these credentials may do",
};
const LOG: Check = Check {
    name: "log",
    what: "a log line of the task",
    advice: "look at the execution role of isotherm-noop and at its log group",
};
const METRIC: Check = Check {
    name: "metric",
    what: "a metric of the task",
    advice: "if the log line is there, CloudWatch is late: try again; if not, mend the log first",
};
/// What the task tries, by the name that it gives.
const INSIDE: [Check; 6] = [
    Check {
        name: "secret",
        what: "the database's secret, read inside",
        advice: "look at the secret isotherm/database, at its key and at the role isotherm-noop-operator",
    },
    Check {
        name: "database",
        what: "Postgres, asked inside",
        advice: "the step `migrate` of `isotherm deploy` makes role and tables; look at the security groups else",
    },
    Check {
        name: "queue",
        what: "a message to SQS and back, inside",
        advice: "look at the role isotherm-noop-operator, at the endpoint of SQS, and at its queue",
    },
    Check {
        name: "bucket",
        what: "an object put into S3 and got, inside",
        advice: "look at the bucket `results`, at its key, and at the role isotherm-noop-operator",
    },
    Check {
        name: "allowed_host",
        what: "a host on the list, reached from inside",
        advice: "look at the list of allowed hosts, at the NAT gateway, and at the firewall's log",
    },
    Check {
        name: "refused_host",
        what: "a host off the list, refused inside",
        advice: "the list is not kept: nothing keeps data inside. Look at the resolver's firewall and at the routes; on one \
                 machine, at the way out",
    },
];

/// Makes every check; people are told of each as it is made.
pub(super) async fn all(side: &Side, nonce: &str, patience: Duration, output: Output) -> Vec<Outcome> {
    let since = SystemClock.now();
    let mut outcomes = Vec::new();
    let mut note = |outcome: Outcome| {
        tell(output, &outcome);
        outcomes.push(outcome);
    };
    let (outcome, _) = QUERY.make(asks(side)).await;
    note(outcome);
    let (outcome, _) = REFUSED_FROM_HERE.make(answers_here(&side.refused_url)).await;
    note(outcome);

    let input = Asked { nonce: nonce.to_owned(), queue_url: side.queue_url.clone() };
    let (outcome, _) = PUT.make(name_hosts(side, &input)).await;
    note(outcome);
    let (outcome, run) = API.make(event(invoke::run_job(side, nonce, &json!(input)))).await;
    note(outcome);
    let (outcome, delivered) = WEBHOOK.make(event(webhook::deliver(side, nonce))).await;
    note(outcome);

    let (outcome, task) = TASK.make(task_of(side, smoke::JOB, nonce, run, patience)).await;
    note(outcome);
    let (outcome, _) = WEBHOOK_TASK.make(task_of(side, smoke::WEBHOOK_JOB, nonce, delivered, patience)).await;
    note(outcome);
    let number = task.as_ref().map(|(id, _)| *id);
    let found = task.map(|(_, output)| inside::found(&output));
    for check in INSIDE {
        note(judged(check, found.as_ref()));
    }
    let (outcome, _) = DELETED.make(delete(side, &input)).await;
    note(outcome);
    let (outcome, _) = LOG.make(seen(side.evidence.line(nonce, since, patience))).await;
    note(outcome);
    let (outcome, _) = METRIC.make(seen(measured(side, number, since, patience))).await;
    note(outcome);
    outcomes
}

async fn asks(side: &Side) -> anyhow::Result<((), String)> {
    let rows = invoke::query(side, "select 6 * 7").await?;
    let answer = rows.first().map(|row| row[0].to_string()).unwrap_or_default();
    ensure!(answer == "42", "6 * 7 is {answer:?}");
    Ok(((), "6 * 7 is 42".to_owned()))
}

/// Says to the task which hosts to try: not in its input, which others than this command may write too.
async fn name_hosts(side: &Side, asked: &Asked) -> anyhow::Result<((), String)> {
    let hosts = Hosts { allowed_url: side.allowed_url.clone(), refused_url: side.refused_url.clone() };
    let body = serde_json::to_vec(&hosts).context("could not write the hosts down")?;
    let (bucket, key) = (&side.results_bucket, asked.hosts_key());
    let call = side.clients.s3().put_object().bucket(bucket).key(&key).body(body.into());
    call.send().await.with_context(|| format!("could not put s3://{bucket}/{key}"))?;
    Ok(((), format!("s3://{bucket}/{key}")))
}

async fn measured(side: &Side, task: Option<i64>, since: DateTime<Utc>, patience: Duration) -> anyhow::Result<String> {
    let task = task.context("no task has run to its end inside")?;
    side.evidence.metric(task, since, patience).await
}

/// A host that answers nobody would be refused by nobody.
async fn answers_here(url: &str) -> anyhow::Result<((), String)> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build()?;
    let answer = client.get(url).send().await.with_context(|| format!("{url} does not answer"))?;
    Ok(((), format!("{url} answers {}", answer.status().as_u16())))
}

async fn event(made: impl Future<Output = anyhow::Result<i64>>) -> anyhow::Result<((), String)> {
    let event = made.await?;
    Ok(((), format!("event {event}")))
}

async fn seen(found: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<((), String)> {
    Ok(((), found.await?))
}

async fn task_of(
    side: &Side,
    job: &str,
    nonce: &str,
    fired: Option<()>,
    patience: Duration,
) -> anyhow::Result<((i64, serde_json::Value), String)> {
    ensure!(fired.is_some(), "it was not asked for");
    let (id, output) = inside::task(side, job, nonce, patience).await?;
    Ok(((id, output), format!("task {id}")))
}

/// What the task found, as an outcome of ours.
fn judged(check: Check, found: Option<&anyhow::Result<Vec<Found>>>) -> Outcome {
    let not_tried = |why: String| check.outcome(Duration::ZERO, Err(why));
    match found {
        None => not_tried("not tried, as no task has run to its end inside".to_owned()),
        Some(Err(error)) => not_tried(format!("{error:#}")),
        Some(Ok(found)) => match found.iter().find(|one| one.name == check.name) {
            None => not_tried("not tried by the task; is its image an older one?".to_owned()),
            Some(one) => {
                let detail = one.detail.clone();
                check.outcome(Duration::from_millis(one.duration_ms), if one.ok { Ok(detail) } else { Err(detail) })
            }
        },
    }
}

async fn delete(side: &Side, asked: &Asked) -> anyhow::Result<((), String)> {
    let (s3, bucket, key) = (side.clients.s3(), &side.results_bucket, &asked.object_key());
    let place = format!("s3://{bucket}/{key}");
    let hosts = s3.delete_object().bucket(bucket).key(asked.hosts_key()).send().await;
    hosts.with_context(|| format!("could not delete s3://{bucket}/{}", asked.hosts_key()))?;
    let got = s3.get_object().bucket(bucket).key(key).send().await.with_context(|| format!("could not get {place}"))?;
    let bytes = got.body.collect().await.with_context(|| format!("could not read {place}"))?.into_bytes();
    ensure!(bytes == asked.nonce.as_bytes(), "{place} is not what the task has put there");
    s3.delete_object().bucket(bucket).key(key).send().await.with_context(|| format!("could not delete {place}"))?;
    let after = s3.head_object().bucket(bucket).key(key).send().await;
    let is_gone = after.err().and_then(|error| error.into_service_error().is_not_found().then_some(()));
    ensure!(is_gone.is_some(), "{place} was deleted and is still there");
    Ok(((), place))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_host_that_does_not_answer_here_proves_nothing_inside() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let check = REFUSED_FROM_HERE.make(answers_here(&url));
        let host = async {
            let (mut client, _) = listener.accept().await.unwrap();
            assert!(client.read(&mut [0; 4096]).await.unwrap() > 0);
            client.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            listener
        };
        let ((outcome, _), listener) = tokio::join!(check, host);
        assert!(outcome.is_ok(), "{outcome:?}");

        drop(listener);
        let (outcome, _) = REFUSED_FROM_HERE.make(answers_here(&url)).await;
        assert!(outcome.found.unwrap_err().contains("does not answer"));
    }

    #[test]
    fn what_was_not_tried_inside_has_failed() {
        let check = INSIDE[1];
        assert!(!judged(check, None).is_ok());
        assert!(!judged(check, Some(&Err(anyhow!("no checks")))).is_ok());
        assert!(!judged(check, Some(&Ok(Vec::new()))).is_ok());
        let found = |ok| {
            let (name, detail) = ("database".to_owned(), "seen".to_owned());
            Ok(vec![Found { name, ok, duration_ms: 3, detail }])
        };
        assert_eq!(judged(check, Some(&found(true))).found, Ok("seen".to_owned()));
        assert_eq!(judged(check, Some(&found(false))).found, Err("seen".to_owned()));
    }
}
