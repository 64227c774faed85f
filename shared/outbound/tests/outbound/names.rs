//! Where names lead, and that connections are made there and nowhere else.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use isotherm_lab::process::eventually;
use isotherm_lab::scripted_names::ScriptedNames;
use isotherm_outbound::{CheckedUrl, Client, Options, OutboundError, Phase, Policy, Resolver, Timeouts};

use crate::doorbell::{Doorbell, Names};

const NAME: &str = "hooks.example.com";

async fn scene(answers: &[&[&str]]) -> (Client, Arc<Names>, [Doorbell; 2]) {
    let doors = [Doorbell::start().await, Doorbell::start().await];
    let names = Names { script: ScriptedNames::default(), public: doors[0].address, inner: doors[1].address };
    let addresses = |list: &&[&str]| list.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect::<Vec<_>>();
    names.script.set(NAME, answers.iter().map(addresses));
    let names = Arc::new(names);
    let options = Options { resolver: Arc::clone(&names) as Arc<dyn Resolver>, ..Options::default() };
    (Client::new(options).unwrap(), names, doors)
}

fn url(path: &str) -> CheckedUrl {
    CheckedUrl::parse(&format!("https://{NAME}{path}"), &Policy::default()).unwrap()
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_asked_for_by_tls() {
    let (client, names, [public, inner]) = scene(&[&["8.8.8.8", "2606:4700:4700::1111"]]).await;
    let error = client.post(&url("/a"), &[], "{}", Timeouts::default()).await.unwrap_err();
    assert!(matches!(error, OutboundError::NoConnection { .. }), "the door hangs up: {error:?}");
    assert_eq!((names.script.asked(NAME), inner.count()), (1, 0));
    eventually("the name is noted", async || public.names().len() == public.count()).await.unwrap();
    assert!(public.count() >= 1 && public.names().iter().all(|name| name == NAME), "{:?}", public.names());
}

#[tokio::test]
async fn one_address_that_is_not_public_refuses_the_name() {
    for answers in [&["8.8.8.8", "10.0.0.1"], &["::1", "8.8.8.8"], &["169.254.169.254", "169.254.169.254"]] {
        let (client, _, [public, inner]) = scene(&[answers.as_slice()]).await;
        let checked = client.check(&url("/")).await.unwrap_err();
        let sent = client.post(&url("/"), &[], "{}", Timeouts::default()).await.unwrap_err();
        for error in [checked, sent] {
            assert!(matches!(error, OutboundError::NotPublic { .. }), "{answers:?}: {error:?}");
            assert!(!error.may_have_arrived());
        }
        assert_eq!((public.count(), inner.count()), (0, 0));
    }
}

#[tokio::test]
async fn a_name_that_turns_private_after_the_check_is_refused_at_the_send() {
    let (client, names, [public, inner]) = scene(&[&["8.8.8.8"], &["127.0.0.1"]]).await;
    client.check(&url("/")).await.unwrap();
    let error = client.post(&url("/"), &[], "{}", Timeouts::default()).await.unwrap_err();
    assert!(matches!(error, OutboundError::NotPublic { .. }), "{error:?}");
    assert_eq!((names.script.asked(NAME), public.count(), inner.count()), (2, 0, 0));
}

#[tokio::test]
async fn names_that_lead_nowhere_or_too_slowly_are_told_apart() {
    let (client, _, _doors) = scene(&[&[]]).await;
    let unknown = CheckedUrl::parse("https://unknown.example.com/", &Policy::default()).unwrap();
    for url in [url("/"), unknown] {
        assert_eq!(client.check(&url).await.unwrap_err(), OutboundError::Unresolved);
        let error = client.post(&url, &[], "{}", Timeouts::default()).await.unwrap_err();
        assert_eq!(error, OutboundError::Unresolved);
    }
    let options =
        Options { resolver: Arc::new(Silent), connect_timeout: Duration::from_millis(200), ..Options::default() };
    let client = Client::new(options).unwrap();
    let slow = OutboundError::TimedOut { phase: Phase::Connecting };
    assert_eq!(client.check(&url("/")).await.unwrap_err(), slow);
    assert_eq!(client.post(&url("/"), &[], "{}", Timeouts::default()).await.unwrap_err(), slow);
    assert!(!slow.may_have_arrived());
}

/// A name service that does not answer.
struct Silent;

impl Resolver for Silent {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        std::future::pending().boxed()
    }
}
