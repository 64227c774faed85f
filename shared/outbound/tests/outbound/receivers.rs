//! What receivers do, and what comes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use isotherm_lab::webhook_zoo::{Behaviour, WebhookZoo};
use isotherm_outbound::{
    CheckedUrl, Client, ConnectFault, MAX_BODY_BYTES, Options, OutboundError, Phase, Policy, Timeouts, UrlFault,
};
use isotherm_types::{Classified as _, Clock, Disposition};

/// Stands still at the date of RFC 9110's examples.
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(784_111_777, 0).unwrap()
    }
}

fn client() -> Client {
    let clock = Arc::new(StoppedClock);
    Client::new(Options { allow_loopback_http: true, clock, ..Options::default() }).unwrap()
}

fn url(client: &Client, text: &str) -> CheckedUrl {
    CheckedUrl::parse(text, &client.policy()).unwrap()
}

const SHORT: Timeouts = Timeouts { head: Duration::from_millis(300), total: Duration::from_millis(500) };

#[tokio::test]
async fn a_request_arrives_as_it_was_given_with_the_host_of_its_url() {
    let (zoo, client) = (WebhookZoo::start().await.unwrap(), client());
    let text = zoo.url(Behaviour::AcceptWith("{\"ok\":true}".to_owned()));
    let headers = [("webhook-id", "msg_1"), ("content-type", "application/json")];
    let answer = client.post(&url(&client, &text), &headers, "{}", Timeouts::default()).await.unwrap();
    assert_eq!((answer.status, answer.is_complete, answer.retry_after), (200, true, None));
    assert!(answer.is_accepted());
    assert_eq!(answer.body, b"{\"ok\":true}");
    assert!(!format!("{answer:?}").contains("ok"), "a body is not printed: {answer:?}");

    let received = zoo.received(&text);
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].method.as_str(), received[0].body.as_slice()), ("POST", b"{}".as_slice()));
    assert_eq!(received[0].header("host"), zoo.address().to_string());
    assert_eq!(received[0].header("webhook-id"), "msg_1");
    assert_eq!(received[0].header("content-type"), "application/json");
    assert!(received[0].header("user-agent").starts_with("isotherm/"));
    assert_eq!(received[0].header("accept-encoding"), "", "nothing packed is asked for");
}

#[tokio::test]
async fn every_status_is_an_answer_and_none_is_followed() {
    let (zoo, client) = (WebhookZoo::start().await.unwrap(), client());
    let target = zoo.url(Behaviour::Accept);
    for status in [301, 302, 303, 307, 308] {
        let text = zoo.url(Behaviour::Redirect { status, location: target.clone() });
        let answer = client.post(&url(&client, &text), &[], "{}", Timeouts::default()).await.unwrap();
        assert_eq!((answer.status, answer.is_accepted()), (status, false));
    }
    assert_eq!(zoo.count(&target), 0);
    for status in [400, 404, 410, 500, 503] {
        let text = zoo.url(Behaviour::Status(status));
        let answer = client.post(&url(&client, &text), &[], "{}", Timeouts::default()).await.unwrap();
        assert_eq!((answer.status, answer.is_accepted()), (status, false));
    }
}

#[tokio::test]
async fn a_wait_is_told_in_seconds_or_until_a_date() {
    let (zoo, client) = (WebhookZoo::start().await.unwrap(), client());
    for (value, seconds) in [
        (Some("120"), Some(120)),
        (Some("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60)),
        (Some("soon"), None),
        (None, None),
    ] {
        let text = zoo.url(Behaviour::TooManyRequests { retry_after: value.map(str::to_owned) });
        let answer = client.post(&url(&client, &text), &[], "{}", Timeouts::default()).await.unwrap();
        assert_eq!((answer.status, answer.retry_after), (429, seconds.map(Duration::from_secs)), "{value:?}");
    }
}

#[tokio::test]
async fn a_long_answer_is_read_to_the_limit_and_a_broken_one_is_an_answer() {
    let (zoo, client) = (WebhookZoo::start().await.unwrap(), client());
    let long = url(&client, &zoo.url(Behaviour::LongBody));
    let answer = client.post(&long, &[], "{}", Timeouts::default()).await.unwrap();
    assert_eq!((answer.status, answer.body.len(), answer.is_complete), (200, MAX_BODY_BYTES, false));
    for behaviour in [Behaviour::ResetMidBody, Behaviour::SlowBody] {
        let broken = url(&client, &zoo.url(behaviour.clone()));
        let answer = client.post(&broken, &[], "{}", SHORT).await.unwrap();
        assert_eq!((answer.status, answer.is_complete), (200, false), "{behaviour:?}");
    }
}

#[tokio::test]
async fn who_does_not_answer_is_left_in_time_and_may_have_got_it() {
    let (zoo, client) = (WebhookZoo::start().await.unwrap(), client());
    for behaviour in [Behaviour::Hang, Behaviour::SlowLoris] {
        let text = zoo.url(behaviour.clone());
        let began = Instant::now();
        let error = client.post(&url(&client, &text), &[], "{}", SHORT).await.unwrap_err();
        assert_eq!(error, OutboundError::TimedOut { phase: Phase::Answering }, "{behaviour:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{behaviour:?} took {:?}", began.elapsed());
        assert!(error.may_have_arrived() && zoo.count(&text) == 1);
    }
    let error =
        client.post(&url(&client, &zoo.url(Behaviour::Close)), &[], "{}", Timeouts::default()).await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("outbound.broken", Disposition::Retry));
    assert!(error.may_have_arrived());
}

#[tokio::test]
async fn nobody_there_and_headers_that_cannot_be_sent_are_told_apart() {
    let client = client();
    let free = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let nobody = url(&client, &format!("http://{free}/"));
    let error = client.post(&nobody, &[], "{}", Timeouts::default()).await.unwrap_err();
    assert_eq!(error, OutboundError::NoConnection { fault: ConnectFault::Refused });
    assert!(!error.may_have_arrived());
    for header in [("webhook-id", "a\r\nb: c"), ("a b", "c")] {
        let error = client.post(&nobody, &[header], "{}", Timeouts::default()).await.unwrap_err();
        assert_eq!(error, OutboundError::BadHeader);
    }
}

#[tokio::test]
async fn connections_are_kept_between_requests() {
    let (zoo, client) = (WebhookZoo::start().await.unwrap(), client());
    let checked = url(&client, &zoo.url(Behaviour::Accept));
    for _ in 0..20 {
        assert!(client.post(&checked, &[], "{}", Timeouts::default()).await.unwrap().is_complete);
    }
    assert!(zoo.connections() < 20, "{} connections", zoo.connections());
}

#[tokio::test]
async fn plain_http_is_refused_at_the_send_too_unless_it_is_allowed() {
    let zoo = WebhookZoo::start().await.unwrap();
    let text = zoo.url(Behaviour::Accept);
    let lenient = CheckedUrl::parse(&text, &Policy { allow_loopback_http: true }).unwrap();
    let strict = Client::new(Options::default()).unwrap();
    let refused = strict.post(&lenient, &[], "{}", Timeouts::default()).await.unwrap_err();
    assert!(matches!(refused, OutboundError::NotPublic { .. } | OutboundError::BadUrl { fault: UrlFault::Scheme }));
    assert_eq!(strict.check(&lenient).await.unwrap_err(), refused);
    assert_eq!(zoo.connections(), 0);
}
