//! Blocks announced over WebSocket, by a real node and by servers that ought to be mistrusted.

use std::time::{Duration, Instant};

use isotherm_chain::{RpcUrls, WakeUp, WakeUpLimits};
use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::process::eventually;
use isotherm_lab::web_socket::{Manner, WebSocketServer};

/// Long enough for a busy machine; reached only where a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections are given up and opened anew within a fraction of a second.
fn hasty() -> WakeUpLimits {
    WakeUpLimits {
        open_timeout: Duration::from_millis(500),
        quiet: Duration::from_millis(500),
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(50),
        ..WakeUpLimits::for_blocks_every(Duration::from_millis(40))
    }
}

fn listen_to(urls: &[String], limits: &WakeUpLimits) -> WakeUp {
    let urls = RpcUrls::parse(&format!("http://127.0.0.1:1,{}", urls.join(","))).unwrap();
    WakeUp::start(urls.wake_ups, limits).unwrap()
}

async fn wakes_up(wake_up: &WakeUp) {
    tokio::time::timeout(PATIENCE, wake_up.announced()).await.expect("it wakes up");
}

async fn chain() -> Anvil {
    Anvil::start(AnvilOptions::deterministic()).await.unwrap()
}

#[tokio::test]
async fn a_block_that_a_real_node_announces_wakes_up() {
    let chain = chain().await;
    let limits = WakeUpLimits::for_blocks_every(Duration::from_millis(300));
    let wake_up = listen_to(&[chain.ws_url()], &limits);
    // Once for the subscription, as blocks may have come before it.
    wakes_up(&wake_up).await;
    for _ in 0..3 {
        chain.mine(1).await.unwrap();
        wakes_up(&wake_up).await;
    }
}

#[tokio::test]
async fn announcements_without_an_end_wake_up_no_more_often_than_is_allowed() {
    let server = WebSocketServer::start(Manner::Endless).await.unwrap();
    let limits = WakeUpLimits::for_blocks_every(Duration::from_millis(200));
    // Each of them alone would keep within the limit.
    let wake_up = listen_to(&[server.url(), server.url(), server.url()], &limits);
    wakes_up(&wake_up).await;
    let started = Instant::now();
    for _ in 0..10 {
        wakes_up(&wake_up).await;
    }
    assert!(started.elapsed() >= limits.breath * 10, "{:?}", started.elapsed());
    assert_eq!(server.connections(), 3, "nobody was cut off");
}

#[tokio::test]
async fn what_makes_no_sense_wakes_nobody_up_and_is_tried_anew() {
    for manner in [Manner::Silent, Manner::Garbage, Manner::Huge, Manner::Refusing, Manner::Closing, Manner::Pinging] {
        let server = WebSocketServer::start(manner).await.unwrap();
        let wake_up = listen_to(&[server.url()], &hasty());
        tokio::select! {
            tried = eventually(format!("a fourth try after {manner:?}"), async || server.connections() > 3) => {
                tried.unwrap();
            }
            () = wake_up.announced() => panic!("{manner:?} woke somebody up"),
        }
    }
}

#[tokio::test]
async fn a_server_that_answers_again_and_again_is_left() {
    let server = WebSocketServer::start(Manner::Repeating).await.unwrap();
    let wake_up = listen_to(&[server.url()], &hasty());
    wakes_up(&wake_up).await;
    eventually("a second try", async || server.connections() > 1).await.unwrap();
}

#[tokio::test]
async fn a_server_that_announces_once_and_closes_is_left_alone_for_longer_each_time() {
    let server = WebSocketServer::start(Manner::Fleeting).await.unwrap();
    let limits = WakeUpLimits { longest_pause: Duration::from_secs(60), ..hasty() };
    let started = Instant::now();
    let wake_up = listen_to(&[server.url()], &limits);
    wakes_up(&wake_up).await;
    eventually("an eighth try", async || server.connections() > 7).await.unwrap();
    // Seven pauses, each twice as long as the one before, less up to a half by chance.
    let shortest = limits.first_pause * 127 / 2;
    assert!(started.elapsed() >= shortest, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_connection_that_is_lost_without_a_word_is_noticed_and_opened_anew() {
    let chain = chain().await;
    let upstream = chain.ws_url().trim_start_matches("ws://").to_owned();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let wake_up = listen_to(&[proxy.through(&chain.ws_url())], &hasty());
    wakes_up(&wake_up).await;
    for mode in [Mode::Lost, Mode::Reset] {
        let connections = proxy.connections();
        proxy.switch(mode);
        eventually(format!("a new connection after {mode:?}"), async || proxy.connections() > connections)
            .await
            .unwrap();
        proxy.switch(Mode::Pass);
        wakes_up(&wake_up).await;
        chain.mine(1).await.unwrap();
        wakes_up(&wake_up).await;
    }
}

#[tokio::test]
async fn a_quiet_chain_keeps_its_connection() {
    let chain = chain().await;
    let upstream = chain.ws_url().trim_start_matches("ws://").to_owned();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let block_time = Duration::from_millis(40);
    let limits = WakeUpLimits { quiet: Duration::from_secs(1), ..WakeUpLimits::for_blocks_every(block_time) };
    let wake_up = listen_to(&[proxy.through(&chain.ws_url())], &limits);
    wakes_up(&wake_up).await;
    // Long enough to be given up without a sign of life; a connection that is opened anew would wake up.
    let ended = tokio::time::timeout(limits.quiet * 4, wake_up.announced()).await;
    assert!(ended.is_err(), "no block was announced");
    assert_eq!(proxy.connections(), 1);
    chain.mine(1).await.unwrap();
    wakes_up(&wake_up).await;
}
