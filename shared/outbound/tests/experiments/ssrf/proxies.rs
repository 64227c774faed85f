//! Sends in a process whose environment names a proxy in every way that programs listen to.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use isotherm_lab::scripted_names::ScriptedNames;
use isotherm_lab::webhook_zoo::{Behaviour, WebhookZoo};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::Scene;
use super::sender::{Guard, Sender};
use crate::doorbell::Names;

/// Holds the child's order.
const ORDER: &str = "ISOTHERM_SSRF";
const VARIABLES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
/// How many names it sends to.
const NAMES: usize = 10;

/// What the child is to do.
#[derive(Serialize, Deserialize)]
struct Order {
    zoo_url: String,
    public: SocketAddr,
    inner: SocketAddr,
    lacks: Option<Guard>,
}

/// Requests that were to be sent, and how many of them did not come directly.
pub(super) async fn send_under_variables(scene: &Scene) -> (usize, i64) {
    let zoo = WebhookZoo::start().await.unwrap();
    let zoo_url = zoo.url(Behaviour::Accept);
    let (public, inner) = (scene.public.address, scene.inner.address);
    let order = Order { zoo_url: zoo_url.clone(), public, inner, lacks: scene.lacks };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ssrf::proxies::the_child", "--ignored", "--nocapture", "--test-threads", "1"])
        .env(ORDER, serde_json::to_string(&order).unwrap())
        .envs(VARIABLES.map(|variable| (variable, format!("http://{inner}"))))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // Open for as long as this process lives.
    let held = child.stdin.take();
    let status = child.wait().await.unwrap();
    drop(held);
    assert!(status.success(), "the child ended with {status}");
    let arrived = zoo.count(&zoo_url) + scene.public.count().min(NAMES);
    (1 + NAMES, i64::try_from(1 + NAMES - arrived).unwrap())
}

#[tokio::test]
#[ignore = "is started by experiment_ssrf, with proxies in its environment"]
async fn the_child() {
    let Some(order) = order() else { return };
    let names = Arc::new(Names { script: ScriptedNames::default(), public: order.public, inner: order.inner });
    let sender = Sender::new(&names, true, order.lacks);
    sender.send(&order.zoo_url).await;
    for i in 0..NAMES {
        let name = format!("direct-{i}.example.com");
        names.script.set(&name, [vec!["93.184.215.14".parse().unwrap()]]);
        sender.send(&format!("https://{name}/")).await;
    }
}

/// The order of this process, which from here on ends when its owner does; `None` if nobody gave one.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration to read it from")]
fn order() -> Option<Order> {
    let order = std::env::var(ORDER).ok()?;
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    Some(serde_json::from_str(&order).expect("the order is JSON"))
}
