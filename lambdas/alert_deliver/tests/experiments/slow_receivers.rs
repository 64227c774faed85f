//! What receivers that hang cost the others: their messages beside hanging ones, some of their own organisation and more of another one,
//! against the same without. Nobody knows beforehand who hangs: the sender finds out.

use std::time::{Duration, Instant};

use isotherm_lab::experiment::{Experiment, milliseconds};
use isotherm_lab::webhook_zoo::Behaviour;
use lambda_alert_deliver::Limits;

use crate::stage::Stage;

const GOOD: usize = 20;
/// Those that hang, of the same organisation and of another one, which has as many channels as it may.
const HANGING_BESIDE: usize = 10;
const HANGING_ELSEWHERE: usize = 100;
/// Messages to each that hangs.
const TO_HANGING: i64 = 50;

/// What became of the messages to the good receivers.
struct Span {
    /// Until the last of them was there.
    span: Duration,
    missing: i64,
}

/// Sends `messages` to each of the good receivers, beside those that hang if `beside`.
async fn send(messages: i64, beside: bool, attempt: Duration, lacks_places: bool) -> Span {
    let mut stage = Stage::new().await;
    stage.unlimited().await;
    let (mut good, mut urls) = (Vec::new(), Vec::new());
    for _ in 0..GOOD {
        let url = stage.zoo.url(Behaviour::Accept);
        good.push(stage.webhook(&url, 6000).await);
        urls.push(url);
    }
    if beside {
        hang(&mut stage, HANGING_BESIDE).await;
        let own = stage.go_to_another_org().await;
        stage.unlimited().await;
        hang(&mut stage, HANGING_ELSEWHERE).await;
        stage.go_back(own);
    }
    stage.fire(messages, &good).await;
    let mut deliverer = stage.impatient(attempt).await;
    deliverer.limits.working = attempt + Duration::from_secs(2);
    if lacks_places {
        let concurrent = deliverer.limits.concurrent;
        deliverer.limits = Limits {
            per_org: concurrent,
            per_channel: concurrent,
            per_doubtful_channel: concurrent,
            ..deliverer.limits
        };
    }
    let began = Instant::now();
    deliverer.work().await.unwrap();
    let received: Vec<Instant> =
        urls.iter().flat_map(|url| stage.zoo.received(url)).map(|received| received.at).collect();
    let span = received.iter().max().map_or(Duration::ZERO, |last| *last - began);
    let wanted = messages * i64::try_from(GOOD).unwrap();
    Span { span, missing: wanted - i64::try_from(received.len()).unwrap() }
}

/// Channels that take a message and never answer, with messages that wait for them.
async fn hang(stage: &mut Stage, count: usize) {
    for _ in 0..count {
        let url = stage.zoo.url(Behaviour::Hang);
        let channel = stage.webhook(&url, 6000).await;
        stage.fire(TO_HANGING, &[channel]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_slow_receivers() {
    let mut experiment = Experiment::begin("slow_receivers", &["places"]);
    let messages = experiment.scaled(20, 500);
    let attempt = experiment.scaled(Duration::from_secs(3), Duration::from_secs(10));
    let rounds = experiment.scaled(1, 5);
    let lacks_places = experiment.lacks("places");
    // Each pair under the same load, and the middle of all.
    let (mut costs, mut alone_ms, mut missing, mut waited) = (Vec::new(), 0.0, 0, 0);
    for _ in 0..rounds {
        let alone = send(messages, false, attempt, lacks_places).await;
        let beside = send(messages, true, attempt, lacks_places).await;
        alone_ms = milliseconds(alone.span);
        println!("alone {:.0} ms, beside hanging ones {:.0} ms", alone_ms, milliseconds(beside.span));
        costs.push((beside.span.as_secs_f64() / alone.span.as_secs_f64() - 1.0) * 100.0);
        missing += alone.missing + beside.missing;
        waited += i64::from(beside.span >= attempt);
    }
    costs.sort_by(f64::total_cmp);
    experiment.figure("messages", messages * i64::try_from(GOOD).unwrap());
    experiment.figure("hanging", HANGING_BESIDE + HANGING_ELSEWHERE);
    experiment.figure("alone_ms", format!("{alone_ms:.0}"));
    experiment.zero("missing", missing);
    experiment.zero("waited_for_a_hanging_one", waited);
    experiment.at_most("cost_percent", costs[costs.len() / 2], 10.0);
    experiment.finish();
}
