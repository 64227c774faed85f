//! The webhook zoo and the scripted names do what they are told, seen through a real HTTP client.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use isotherm_lab::scripted_names::ScriptedNames;
use isotherm_lab::webhook_zoo::{Behaviour, LONG_BODY_BYTES, WebhookZoo};

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

#[tokio::test]
async fn receivers_answer_as_they_are_told_and_note_what_they_were_sent() {
    let (zoo, client) = (WebhookZoo::start().await.unwrap(), client());
    let answer = async |url: &str| client.post(url).header("X-Id", "7").body("hello").send().await.unwrap();
    for (behaviour, status) in [
        (Behaviour::Accept, 200_u16),
        (Behaviour::AcceptWith("[]".to_owned()), 200),
        (Behaviour::Status(500), 500),
        (Behaviour::Status(410), 410),
        (Behaviour::TooManyRequests { retry_after: None }, 429),
        (Behaviour::Redirect { status: 307, location: "http://127.0.0.1:1/".to_owned() }, 307),
    ] {
        let url = zoo.url(behaviour.clone());
        assert_eq!(answer(&url).await.status(), status, "{behaviour:?}");
        let received = zoo.received(&url);
        assert_eq!((received.len(), received[0].header("x-id"), received[0].method.as_str()), (1, "7", "POST"));
        assert_eq!(received[0].body, b"hello");
    }
    assert_eq!(answer(&format!("http://{}/elsewhere", zoo.address())).await.status(), 404);
    let busy = zoo.url(Behaviour::TooManyRequests { retry_after: Some("3".to_owned()) });
    assert_eq!(answer(&busy).await.headers()["retry-after"], "3");
    let long = zoo.url(Behaviour::LongBody);
    assert_eq!(answer(&long).await.bytes().await.unwrap().len(), LONG_BODY_BYTES);
}

#[tokio::test]
async fn connections_are_kept_for_the_next_request() {
    let (zoo, client) = (WebhookZoo::start().await.unwrap(), client());
    let url = zoo.url(Behaviour::Accept);
    for _ in 0..20 {
        assert_eq!(client.post(&url).send().await.unwrap().text().await.unwrap(), "{}");
    }
    assert_eq!(zoo.count(&url), 20);
    assert!(zoo.connections() < 20, "{} connections", zoo.connections());
}

#[tokio::test]
async fn a_receiver_changes_its_behaviour_by_count_and_by_order() {
    let (zoo, client) = (WebhookZoo::start().await.unwrap(), client());
    let url = zoo.url(Behaviour::FailFirst(2));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.post(&url).send().await.unwrap().status().as_u16());
    }
    zoo.change(&url, Behaviour::Status(410));
    statuses.push(client.post(&url).send().await.unwrap().status().as_u16());
    assert_eq!((statuses, zoo.count(&url)), (vec![500, 500, 200, 410], 4));
}

#[tokio::test]
async fn broken_and_slow_receivers_are_broken_and_slow() {
    let (zoo, client) = (WebhookZoo::start().await.unwrap(), client());
    let closed = client.post(zoo.url(Behaviour::Close)).send().await.unwrap_err();
    assert!(!closed.is_timeout());
    let reset = client.post(zoo.url(Behaviour::ResetMidBody)).send().await.unwrap();
    assert!(reset.bytes().await.is_err());
    for behaviour in [Behaviour::Hang, Behaviour::SlowLoris] {
        let url = zoo.url(behaviour.clone());
        let given_up = client.post(&url).timeout(Duration::from_millis(300)).send().await.unwrap_err();
        assert!(given_up.is_timeout(), "{behaviour:?}");
        assert_eq!(zoo.count(&url), 1, "it was sent all the same");
    }
    let begun = client.post(zoo.url(Behaviour::SlowBody)).timeout(Duration::from_millis(300)).send().await.unwrap();
    assert!(begun.bytes().await.unwrap_err().is_timeout());
    let began = Instant::now();
    let late = client.post(zoo.url(Behaviour::AcceptAfter(Duration::from_millis(200)))).send().await.unwrap();
    assert!(late.status() == 200 && began.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_scripted_name_leads_elsewhere_at_the_next_look_up() {
    let names = ScriptedNames::default();
    let addresses = |text: &str| vec![text.parse::<IpAddr>().unwrap()];
    names.set("hooks.example.com", [addresses("8.8.8.8"), addresses("127.0.0.1")]);
    assert_eq!(names.look_up("hooks.example.com").unwrap(), addresses("8.8.8.8"));
    for _ in 0..2 {
        assert_eq!(names.look_up("hooks.example.com").unwrap(), addresses("127.0.0.1"));
    }
    assert_eq!(names.asked("hooks.example.com"), 3);
    assert_eq!(names.look_up("other.example.com").unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
