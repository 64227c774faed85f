//! Messages to receivers of every kind for six days, two in five of which fail: attempts on schedule, ids that stay, signatures that are
//! fresh, receivers that are gone or only fail disabled and their owner told, and nothing lost that could be delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use isotherm_alerts::channel::Address;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::process::eventually;
use isotherm_lab::webhook_zoo::{Behaviour, Received};
use isotherm_types::ChannelId;
use standardwebhooks::Webhook;

use crate::stage::{NEW_KEY, Stage};
use crate::virtual_time::VirtualTime;

const DAYS: u64 = 6;
const DAY: Duration = Duration::from_secs(86_400);
/// Messages come so often.
const WAVE: Duration = Duration::from_secs(12 * 3600);
/// How long an attempt may take here.
const ATTEMPT: Duration = Duration::from_millis(250);
/// What the receiver that has too many requests asks for.
const ASKED: Duration = Duration::from_secs(3600);
/// The schedule, as its users are told of it.
const DELAYS: [u64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// One receiver with its channel.
struct Receiver {
    url: String,
    channel: ChannelId,
    is_good: bool,
    least_wait: Duration,
}

fn behaviours(elsewhere: &str) -> (Vec<Behaviour>, Vec<Behaviour>) {
    let redirect = Behaviour::Redirect { status: 302, location: elsewhere.to_owned() };
    let busy = Behaviour::TooManyRequests { retry_after: Some(ASKED.as_secs().to_string()) };
    let mut good = vec![Behaviour::Accept; 9];
    good.extend([Behaviour::LongBody, Behaviour::ResetMidBody, Behaviour::AcceptAfter(Duration::from_millis(20))]);
    let failing = vec![
        Behaviour::Status(500),
        Behaviour::Status(404),
        Behaviour::Hang,
        Behaviour::SlowLoris,
        Behaviour::Close,
        redirect,
        busy,
        Behaviour::Status(410),
    ];
    (good, failing)
}

async fn receivers(stage: &mut Stage, elsewhere: &str) -> Vec<Receiver> {
    let (good, failing) = behaviours(elsewhere);
    let mut receivers = Vec::new();
    let all = good.into_iter().map(|good| (good, true)).chain(failing.into_iter().map(|failing| (failing, false)));
    for (behaviour, is_good) in all {
        let least_wait = match behaviour {
            Behaviour::TooManyRequests { .. } => ASKED,
            _ => Duration::ZERO,
        };
        let url = stage.zoo.url(behaviour);
        let channel = stage.webhook(&url, 6000).await;
        receivers.push(Receiver { url, channel, is_good, least_wait });
    }
    receivers
}

/// Rules that what one receiver was sent has broken.
#[derive(Default)]
struct Broken {
    strange_ids: i64,
    early: i64,
    late: i64,
    stale_timestamps: i64,
    bad_signatures: i64,
    /// Answers that ask for a wait and came after the sender's patience.
    unheard: i64,
}

/// The HTTP statuses that the sender was given at each attempt, by a message's id; none if it heard no answer.
type Statuses = BTreeMap<String, Vec<Option<i32>>>;

impl Broken {
    fn judge(
        &mut self,
        receiver: &Receiver,
        received: &[Received],
        known: &Statuses,
        time: &VirtualTime,
        slack: Duration,
    ) {
        let webhook = Webhook::new(NEW_KEY).unwrap();
        let mut attempts = BTreeMap::<&str, Vec<Duration>>::new();
        for request in received {
            let id = request.header("webhook-id");
            self.strange_ids += i64::from(!known.contains_key(id));
            let timestamp: i64 = request.header("webhook-timestamp").parse().unwrap_or(0);
            let age = time.wall_clock(request.at).timestamp() - timestamp;
            self.stale_timestamps += i64::from(!(-1..=5).contains(&age));
            let signature = webhook.sign(id, timestamp, &request.body).unwrap();
            let signatures = request.header("webhook-signature");
            self.bad_signatures += i64::from(!signatures.split(' ').any(|one| one == signature));
            attempts.entry(id).or_default().push(time.of(request.at));
        }
        for (id, instants) in attempts {
            let statuses = known.get(id).map_or(&[][..], Vec::as_slice);
            let gaps = instants.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
            for (place, (gap, delay)) in gaps.zip(DELAYS).enumerate() {
                let delay = Duration::from_secs(delay);
                // Nobody can wait as asked by an answer that was not heard.
                let is_unheard =
                    receiver.least_wait > Duration::ZERO && statuses.get(place).is_none_or(Option::is_none);
                let least = if is_unheard { delay } else { delay.max(receiver.least_wait) };
                self.unheard += i64::from(is_unheard);
                let (is_early, is_late) = (gap < least, gap > least.mul_f64(1.1) + slack);
                self.early += i64::from(is_early);
                self.late += i64::from(is_late);
                if is_early || is_late {
                    println!(
                        "{} {id}: {gap:?} after attempt {}, not {least:?}, of {statuses:?}",
                        receiver.url,
                        place + 1
                    );
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_deliveries() {
    let mut experiment = Experiment::begin("deliveries", &["schedule", "gone", "retry"]);
    let messages: i64 = experiment.scaled(480, 10_000);
    // How much passes between two looks, when something is due.
    let step = experiment.scaled(Duration::from_secs(1800), Duration::from_secs(300));
    let mut stage = Stage::new().await;
    experiment.figure_of_postgres(&mut stage.conn).await;
    stage.unlimited().await;
    let elsewhere = stage.zoo.url(Behaviour::Accept);
    let receivers = receivers(&mut stage, &elsewhere).await;
    stage.channel(Address::Email { to: "ann@example.org".to_owned() }, 60).await;
    let deliverer = stage.impatient(ATTEMPT).await;
    let waves = i64::try_from(DAYS * 2).unwrap();
    let channels: Vec<ChannelId> = receivers.iter().map(|receiver| receiver.channel).collect();
    let each = messages / waves / i64::try_from(channels.len()).unwrap();

    let mut time = VirtualTime::begin();
    let mut wave = Duration::ZERO;
    let mut unsent = 0;
    let end = DAY * u32::try_from(DAYS).unwrap() + WAVE;
    while time.now() < end {
        if time.now() >= wave && wave < DAY * u32::try_from(DAYS).unwrap() {
            stage.fire(each, &channels).await;
            wave += WAVE;
        }
        deliverer.work().await.unwrap();
        if experiment.lacks("schedule") {
            stage.run("UPDATE alerts.deliveries SET not_before = now() WHERE state = 'queued'").await;
        }
        if experiment.lacks("gone") {
            stage
                .run("UPDATE alerts.channels SET state = 'active', disabled_reason = NULL WHERE state = 'disabled'")
                .await;
        }
        if experiment.lacks("retry") {
            stage
                .run("UPDATE alerts.deliveries SET state = 'failed', finished_at = now() WHERE state = 'queued'")
                .await;
        }
        unsent = settle(&mut stage, &receivers, unsent).await;
        stage.pass(step).await;
        time.jump(step);
    }

    let known = "SELECT 'msg_' || replace(d.id::text, '-', ''), array_agg(a.status ORDER BY a.attempt)
                   FROM alerts.deliveries d LEFT JOIN alerts.delivery_attempts a ON a.delivery_id = d.id GROUP BY d.id";
    let known: Vec<(String, Vec<Option<i32>>)> = sqlx::query_as(known).fetch_all(&mut stage.conn).await.unwrap();
    let known = Statuses::from_iter(known);
    let mut broken = Broken::default();
    let (mut requests, mut missed) = (0, 0);
    let slack = step + Duration::from_secs(120);
    for receiver in &receivers {
        let received = stage.zoo.received(&receiver.url);
        requests += received.len();
        broken.judge(receiver, &received, &known, &time, slack);
        if receiver.is_good {
            let ids: BTreeSet<&str> = received.iter().map(|request| request.header("webhook-id")).collect();
            missed += each * waves - i64::try_from(ids.len()).unwrap();
        }
    }
    experiment.figure("messages", each * waves * i64::try_from(channels.len()).unwrap());
    experiment.figure("requests", requests);
    experiment.zero("missed", missed);
    experiment.zero("strange_ids", broken.strange_ids);
    experiment.zero("early", broken.early);
    experiment.zero("late", broken.late);
    // A sender that heard none would be excused from every wait that was asked for.
    experiment.figure("unheard", broken.unheard);
    experiment.figure("unsent", unsent);
    experiment.zero("mostly_unheard", i64::from(10 * broken.unheard > each * waves));
    experiment.zero("stale_timestamps", broken.stale_timestamps);
    experiment.zero("bad_signatures", broken.bad_signatures);
    experiment.zero("redirects_followed", i64::try_from(stage.zoo.count(&elsewhere)).unwrap());
    judge_rows(&mut experiment, &mut stage).await;
    experiment.finish();
}

/// Waits until each request is noted whose attempt is over: noted after the jump, it would seem to have come after it. Returns how many
/// never came, of attempts whose time was over before anything was sent; `unsent` of them are known.
async fn settle(stage: &mut Stage, receivers: &[Receiver], unsent: usize) -> usize {
    let attempts = "SELECT count(*) FROM alerts.delivery_attempts a JOIN alerts.deliveries d ON d.id = a.delivery_id
                     WHERE d.kind <> 'notice'";
    let attempts = usize::try_from(stage.count(attempts).await).unwrap();
    let noted = || receivers.iter().map(|receiver| stage.zoo.count(&receiver.url)).sum::<usize>();
    let all = eventually("the requests of ended attempts", async || noted() + unsent >= attempts);
    let _ = tokio::time::timeout(ATTEMPT * 8, all).await;
    attempts.saturating_sub(noted())
}

async fn judge_rows(experiment: &mut Experiment, stage: &mut Stage) {
    let gone = stage.count("SELECT count(*) FROM alerts.channels WHERE disabled_reason = 'alerts.receiver_gone'").await;
    experiment.equal("gone", gone, 1);
    let failed =
        stage.count("SELECT count(*) FROM alerts.channels WHERE disabled_reason = 'alerts.failed_for_days'").await;
    experiment.equal("disabled_after_days", failed, 7);
    let notices =
        stage.count("SELECT count(*) FROM alerts.deliveries WHERE kind = 'notice' AND state = 'delivered'").await;
    experiment.equal("owner_told", notices, 8);
    let short = "SELECT count(*) FROM alerts.deliveries
                  WHERE state = 'failed' AND attempts <> 10 AND last_error_code <> 'alerts.receiver_gone'";
    let given_up_early = stage.count(short).await;
    experiment.zero("given_up_early", given_up_early);
    let unexplained =
        "SELECT count(*) FROM alerts.deliveries WHERE state IN ('failed', 'cancelled') AND last_error_code IS NULL";
    let unexplained = stage.count(unexplained).await;
    experiment.zero("unexplained", unexplained);
    let mismatched = "SELECT count(*) FROM alerts.deliveries d
                       WHERE attempts <> (SELECT count(*) FROM alerts.delivery_attempts a WHERE a.delivery_id = d.id)";
    let mismatched = stage.count(mismatched).await;
    experiment.zero("attempts_not_logged", mismatched);
}
