//! Benchmark: messages from their rows to a receiver and back into their rows, beside a raw HTTP client that posts the same bodies.
//!
//! Both legs post as many bodies of the same size, with as many on the way at once, to the same receiver in a process's own thread: the
//! function's leg claims, renders, signs and writes down besides, durably (`synchronous_commit=on`); the other one only posts. Legs are
//! interleaved; medians over the rounds.
//!
//! `./isotherm lab bench deliver`; method and figures: `docs/benchmarks.md`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use isotherm_lab::benchmark::{cpu_of_process, cpu_of_tree, heading, median};
use isotherm_lab::postgres::shared;
use isotherm_lab::webhook_zoo::Behaviour;
use lambda_alert_deliver::{Deliverer, Limits};
use sqlx::AssertSqlSafe;

#[path = "../tests/experiments/stage.rs"]
#[allow(dead_code, reason = "each target uses a part of it")]
mod stage;

use stage::Stage;

/// Messages of one leg of one round.
const MESSAGES: usize = 6_000;
/// Channels among which they are: one alone is limited to 100 a second.
const CHANNELS: usize = 20;
const ROUNDS: usize = 7;

/// What one leg took.
struct Leg {
    per_second: f64,
    own_cpu: f64,
    postgres_cpu: f64,
}

async fn measure(postgres: i32, leg: impl Future<Output = usize>) -> Leg {
    let (own, servers, began) = (cpu_of_process(), cpu_of_tree(postgres), Instant::now());
    let done = leg.await;
    assert_eq!(done, MESSAGES, "every message got there");
    Leg {
        per_second: done as f64 / began.elapsed().as_secs_f64(),
        own_cpu: cpu_of_process() - own,
        postgres_cpu: cpu_of_tree(postgres) - servers,
    }
}

/// Posts `body` so often, as many at once as the function does.
async fn raw(client: &reqwest::Client, urls: &[String], body: &Arc<[u8]>, concurrent: usize) -> usize {
    let done = AtomicUsize::new(0);
    let posts = (0..MESSAGES).map(|i| client.post(&urls[i % urls.len()]).body(body.to_vec()).send());
    let mut answers = futures::stream::iter(posts).buffer_unordered(concurrent);
    while let Some(answer) = answers.next().await {
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
    done.into_inner()
}

async fn ours(deliverer: &Deliverer) -> usize {
    let worked = deliverer.work().await.expect("messages are sent");
    usize::try_from(worked.delivered).unwrap_or(0)
}

fn print(name: &str, legs: &[Leg]) {
    let of = |value: fn(&Leg) -> f64| median(legs.iter().map(value));
    println!(
        "  {name:<14} {:>7.0} messages/s (min {:.0}, max {:.0})   CPU-seconds: process {:.2}, postgres {:.2}",
        of(|leg| leg.per_second),
        legs.iter().map(|leg| leg.per_second).fold(f64::INFINITY, f64::min),
        legs.iter().map(|leg| leg.per_second).fold(0.0, f64::max),
        of(|leg| leg.own_cpu),
        of(|leg| leg.postgres_cpu),
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut stage = Stage::new().await;
    let durable = format!("ALTER DATABASE {} SET synchronous_commit = on", stage.database.name);
    sqlx::raw_sql(AssertSqlSafe(durable)).execute(&mut stage.conn).await.expect("a setting");
    stage.unlimited().await;
    let postgres = shared().await.expect("the server").process().pid().as_raw();
    let (mut channels, mut urls) = (Vec::new(), Vec::new());
    for _ in 0..CHANNELS {
        let url = stage.zoo.url(Behaviour::Accept);
        channels.push(stage.webhook(&url, 6000).await);
        urls.push(url);
    }
    let mut deliverer = stage.deliverer().await;
    let all = deliverer.limits.concurrent;
    deliverer.limits = Limits { per_org: all, per_channel: 32, per_doubtful_channel: 32, ..deliverer.limits };
    let concurrent = usize::try_from(deliverer.limits.concurrent).unwrap_or(usize::MAX);
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(concurrent).build().expect("a client");
    let each = i64::try_from(MESSAGES / CHANNELS).expect("a small number");

    let (mut own_legs, mut raw_legs, mut body): (Vec<Leg>, Vec<Leg>, Arc<[u8]>) =
        (Vec::new(), Vec::new(), Arc::from([]));
    for round in 0..=ROUNDS {
        for own_first in [round % 2 == 0, round % 2 != 0] {
            if own_first {
                stage.fire(each, &channels).await;
                stage.pass(Duration::from_secs(600)).await;
                stage.run("VACUUM ANALYZE").await;
                let leg = measure(postgres, ours(&deliverer)).await;
                body = Arc::from(
                    stage.zoo.received(&urls[0]).last().map(|received| received.body.clone()).unwrap_or_default(),
                );
                if round > 0 {
                    own_legs.push(leg);
                }
            } else {
                let leg = measure(postgres, raw(&client, &urls, &body, concurrent)).await;
                if round > 0 {
                    raw_legs.push(leg);
                }
            }
        }
    }
    let version: String =
        sqlx::query_scalar("SHOW server_version").fetch_one(&mut stage.conn).await.expect("a version");
    let settings = [
        ("postgres", version),
        ("rounds", ROUNDS.to_string()),
        ("messages", MESSAGES.to_string()),
        ("channels", CHANNELS.to_string()),
        ("concurrent", concurrent.to_string()),
        ("body_bytes", body.len().to_string()),
    ];
    println!("{}", heading("deliver", &settings));
    print("alert_deliver", &own_legs);
    print("raw client", &raw_legs);
    let pairs = || own_legs.iter().zip(&raw_legs);
    let cpu = |leg: &Leg| leg.own_cpu + leg.postgres_cpu;
    println!(
        "  ratio {:.2} by wall time, {:.2} by CPU time (medians over rounds)",
        median(pairs().map(|(own, raw)| own.per_second / raw.per_second)),
        median(pairs().map(|(own, raw)| cpu(raw) / cpu(own))),
    );
    ExitCode::SUCCESS
}
