//! Addresses that lead into the network of the platform, in every notation, by names that turn, by redirects and by proxies: all
//! refused when a channel is saved and again when something is sent, and nobody inside is ever connected to. Good addresses pass.
//!
//! What would have been a connection to the inside comes to a door on this machine, which counts.

mod corpus;
mod proxies;
mod sender;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use futures::StreamExt as _;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::process::eventually;
use isotherm_lab::scripted_names::ScriptedNames;
use isotherm_lab::webhook_zoo::{Behaviour, WebhookZoo};

use crate::doorbell::{Doorbell, Names};
use sender::{Guard, Outcome, Sender};

/// Sends at a time.
const AT_ONCE: usize = 16;

/// Where everything leads.
struct Scene {
    names: Arc<Names>,
    public: Doorbell,
    inner: Doorbell,
    lacks: Option<Guard>,
}

impl Scene {
    async fn new(lacks: Option<Guard>) -> Self {
        let (public, inner) = (Doorbell::start().await, Doorbell::start().await);
        let names = Names { script: ScriptedNames::default(), public: public.address, inner: inner.address };
        Self { names: Arc::new(names), public, inner, lacks }
    }

    fn sender(&self, allow_loopback_http: bool) -> Sender {
        Sender::new(&self.names, allow_loopback_http, self.lacks)
    }
}

/// What a leg has found.
#[derive(Default)]
struct Leg {
    tried: usize,
    at_definition: i64,
    at_send: i64,
    /// Names of which one was told whether they are known.
    told_apart: i64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_ssrf() {
    let mut experiment = Experiment::begin("ssrf", &["addresses", "resolve_once", "redirects", "proxies"]);
    let lacks = Guard::ALL.into_iter().find(|guard| experiment.lacks(guard.as_str()));

    let scene = Scene::new(lacks).await;
    let bad = bad_addresses(&scene).await;
    assert!(bad.tried >= 500, "{} addresses", bad.tried);
    experiment.figure("addresses", bad.tried);
    experiment.zero("let_through_at_definition", bad.at_definition);
    experiment.zero("let_through_at_send", bad.at_send);
    experiment.zero("names_told_apart", bad.told_apart);
    experiment.zero("connected_inside", count(&scene.inner));
    experiment.zero("connected_outside", count(&scene.public));

    let scene = Scene::new(lacks).await;
    let rebound = rebinding(&scene).await;
    experiment.figure("names_that_turn", rebound.tried);
    experiment.zero("good_answer_refused", rebound.at_definition);
    experiment.zero("turned_and_not_refused", rebound.at_send);
    experiment.zero("rebinding_connected_inside", count(&scene.inner));

    let scene = Scene::new(lacks).await;
    let redirects = redirects(&scene).await;
    experiment.figure("redirects", redirects.tried);
    experiment.zero("redirects_not_answers", redirects.at_send);
    experiment.zero("redirects_connected_inside", count(&scene.inner));

    let scene = Scene::new(lacks).await;
    let (sent, missing) = proxies::send_under_variables(&scene).await;
    experiment.figure("under_proxy_variables", sent);
    experiment.zero("not_sent_directly", missing);
    experiment.zero("connected_to_proxy", count(&scene.inner));

    let scene = Scene::new(lacks).await;
    let good = good_addresses(&scene).await;
    assert_eq!(good.tried, 200);
    experiment.figure("good", good.tried);
    experiment.zero("good_refused_at_definition", good.at_definition);
    experiment.zero("good_not_reached", good.at_send);
    experiment.finish();
}

fn count(door: &Doorbell) -> i64 {
    i64::try_from(door.count()).unwrap()
}

async fn bad_addresses(scene: &Scene) -> Leg {
    let sender = scene.sender(false);
    let addresses = corpus::bad(scene.inner.address.port(), &scene.names.script);
    let mut leg = Leg { tried: addresses.len(), ..Leg::default() };
    let mut tries = futures::stream::iter(&addresses)
        .map(|text| {
            let sender = &sender;
            async move { (text, sender.define(text).await, sender.send(text).await) }
        })
        .buffer_unordered(AT_ONCE);
    while let Some((text, defined, sent)) = tries.next().await {
        match defined {
            Ok(()) => {
                leg.at_definition += 1;
                println!("saved: {text}");
            }
            Err(refusal) => leg.told_apart += i64::from(sender.tells(text, &refusal)),
        }
        if !matches!(sent, Outcome::Refused) {
            leg.at_send += 1;
            println!("sent: {text}");
        }
    }
    leg
}

/// Names that are public when the channel is saved, and private at some later look-up.
async fn rebinding(scene: &Scene) -> Leg {
    let sender = scene.sender(false);
    let outside = || vec!["93.184.215.14".parse::<IpAddr>().unwrap()];
    let mut leg = Leg::default();
    for (i, inside) in corpus::INSIDE.iter().cycle().take(50).enumerate() {
        let inside = vec![inside.parse::<IpAddr>().unwrap()];
        let answers = match i % 3 {
            0 => vec![outside(), inside],
            1 => vec![outside(), outside(), inside],
            _ => vec![outside(), outside(), [outside(), inside].concat()],
        };
        let (name, sends) = (format!("turns-{i}.example.com"), answers.len());
        scene.names.script.set(&name, answers);
        let text = format!("https://{name}/hook");
        leg.at_definition += i64::from(sender.define(&text).await.is_err());
        let mut last = Outcome::Failed;
        for _ in 0..sends {
            last = sender.send(&text).await;
        }
        leg.at_send += i64::from(!matches!(last, Outcome::Refused));
        leg.tried += 1;
    }
    leg
}

/// A receiver on this machine that sends elsewhere on this machine: both would be allowed, following is not.
async fn redirects(scene: &Scene) -> Leg {
    let (sender, zoo) = (scene.sender(true), WebhookZoo::start().await.unwrap());
    let mut leg = Leg::default();
    for status in [301, 302, 303, 307, 308] {
        for scheme in ["http:", "", "https:"] {
            let location = format!("{scheme}//{}/inside", scene.inner.address);
            let text = zoo.url(Behaviour::Redirect { status, location });
            leg.at_send += i64::from(!matches!(sender.send(&text).await, Outcome::Answered(found) if found == status));
            leg.tried += 1;
        }
    }
    leg
}

async fn good_addresses(scene: &Scene) -> Leg {
    let sender = scene.sender(false);
    let addresses = corpus::good(scene.public.address.port(), &scene.names.script);
    let mut leg = Leg { tried: addresses.len(), ..Leg::default() };
    let mut due = BTreeSet::new();
    for good in &addresses {
        if sender.define(&good.text).await.is_err() {
            leg.at_definition += 1;
            println!("not saved: {}", good.text);
        }
        due.extend(good.name.clone());
    }
    // A public address without a name would be connected to in earnest: such ones are saved only.
    let named = addresses.iter().filter(|good| good.name.is_some());
    let sends = futures::stream::iter(named).map(|good| {
        let sender = &sender;
        async move { sender.send(&good.text).await }
    });
    let outcomes: Vec<Outcome> = sends.buffer_unordered(AT_ONCE).collect().await;
    leg.at_send +=
        i64::try_from(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Refused)).count()).unwrap();
    let reached = || scene.public.names().into_iter().collect::<BTreeSet<_>>();
    let all_reached = eventually("good names are reached", async || due.is_subset(&reached())).await;
    if all_reached.is_err() {
        leg.at_send += i64::try_from(due.difference(&reached()).count()).unwrap();
    }
    leg
}
