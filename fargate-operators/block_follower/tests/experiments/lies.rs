//! Sources that lie: whatever a follower is told, it stores what the chain says, and it goes on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use isotherm_lab::experiment::Experiment;
use isotherm_lab::lies::{Liar, LieKind, Order, Tellers, Told, kinds};
use nix::sys::signal::Signal;
use rand::Rng;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

use crate::cells::judge;
use crate::chain_life::{Reorg, caught_up, reorg};
use crate::judge::broken_rules;
use crate::profile::profile;
use crate::program::Program;
use crate::stage::Stage;

mod expected;
mod findings;

use findings::Findings;

/// Addresses of the liar. One that was found out is left alone for longer than the experiment lasts.
const ADDRESSES: usize = 40;
/// A follower with fewer that have not lied yet is replaced by a new one, which knows nothing of any.
const FEWEST_LEFT: usize = 12;
/// Blocks below the chain's newest one that are looked at after each lie; all are at the end.
const RECENT: i64 = 6;
/// How long occasions for a lie are given. An endpoint that has failed, which leads up to some, is left alone for seconds.
const OCCASIONS: Duration = Duration::from_secs(60);
/// A follower that has not gone on by then never will.
const LIMIT: Duration = Duration::from_secs(20);
/// An error that has not been named by then never will: a follower writes down how its endpoints do every 2 s.
const PATIENCE: Duration = Duration::from_secs(30);
/// After one of these a client asks an endpoint in single calls for a while, of which the other kinds are not told.
const TOO_LONG: [&str; 2] = ["endless_body", "gzip_bomb"];
/// Told when an endpoint is asked for the first time, or again after it has failed.
const CHAIN_ID: &str = "wrong_chain_id";

/// Who can be asked beside the liar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    /// Only one address lies at a time, and the node itself is there.
    Honest,
    /// All addresses lie until the lie is over, and there is no other.
    Nobody,
}

/// One lie, as it is drawn.
#[derive(Clone, Copy, Debug)]
struct Plan {
    kind: &'static LieKind,
    let_through: usize,
    times: usize,
    blocks: u64,
}

/// A chain, a liar before it, and what was found so far.
struct Trial {
    stage: Stage,
    liar: Liar,
    settings: Value,
    findings: Findings,
}

/// A follower and the addresses that have lied to it.
struct Follower {
    program: Program,
    liars: BTreeSet<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_lies() {
    let mut experiment = Experiment::begin("lies", &["checks"]);
    let mut random = experiment.random(0);
    let (beside, alone) = experiment.scaled((kinds().len(), 20), (1_600, 400));
    let plans = [
        (Company::Honest, drawn(beside, Company::Honest, &mut random)),
        (Company::Nobody, drawn(alone, Company::Nobody, &mut random)),
    ];
    let settings = json!({ "profile": profile(experiment.lacks("checks")), "partition_blocks": 100 });
    let mut trial = Trial::new(settings).await;
    experiment.figure_of_postgres(&mut trial.stage.database.connect().await.unwrap()).await;
    for (company, plans) in plans {
        if trial.findings.stuck == 0 {
            trial.tell(company, &plans).await;
        }
    }
    trial.judge(0).await;
    trial.findings.write(&mut experiment);
    experiment.finish();
}

/// As many lies as are wanted: all kinds in turn, each time in another order.
fn drawn(count: usize, company: Company, random: &mut impl Rng) -> Vec<Plan> {
    let mut kinds = kinds();
    kinds.retain(|kind| company == Company::Honest || !kind.needs_company);
    let mut plans = Vec::new();
    while plans.len() < count {
        kinds.shuffle(random);
        for kind in kinds.iter().copied().take(count - plans.len()) {
            let (let_through, blocks) = (random.random_range(0..=1), random.random_range(1..=3));
            // The chain's id is asked for once in a while only: no occasion is let through.
            let let_through = if kind.name == CHAIN_ID { 0 } else { let_through };
            let times = if company == Company::Honest { random.random_range(1..=3) } else { usize::MAX };
            plans.push(Plan { kind, let_through, times, blocks });
        }
    }
    plans
}

impl Trial {
    async fn new(settings: Value) -> Self {
        let mut stage = Stage::without_finality().await;
        // More than a falling tip falls.
        stage.mine(12).await;
        let liar = Liar::start(&stage.chain.rpc_url(), ADDRESSES).await.unwrap();
        Self { stage, liar, settings, findings: Findings::default() }
    }

    /// Tells the lies one after another, until one of them stops the follower.
    async fn tell(&mut self, company: Company, plans: &[Plan]) {
        let mut follower = self.start(company).await;
        let mut is_spoilt = false;
        for plan in plans {
            if self.findings.stuck == 0 && (is_spoilt || ADDRESSES - follower.liars.len() < FEWEST_LEFT) {
                self.leave(follower).await;
                follower = self.start(company).await;
            }
            if self.findings.stuck > 0 {
                break;
            }
            self.tell_one(&mut follower, company, plan).await;
            is_spoilt = TOO_LONG.contains(&plan.kind.name);
        }
        self.leave(follower).await;
    }

    /// A new follower, which has stored a block by itself.
    async fn start(&mut self, company: Company) -> Follower {
        let mut urls = self.liar.addresses().to_vec();
        if company == Company::Honest {
            urls.push(self.stage.chain.rpc_url());
        }
        let urls = urls.join(",");
        let variables = [("RPC_URLS", urls.as_str()), ("ISOTHERM_LOG", "warn,isotherm_chain=debug")];
        let program = Program::start(&self.stage, &self.settings, &variables).await;
        self.stage.mine(1).await;
        self.findings.stuck += i64::from(caught_up(&self.stage, LIMIT).await.is_none());
        Follower { program, liars: BTreeSet::new() }
    }

    /// Stops the follower, if it has not stopped by itself, and looks whom it has blamed.
    async fn leave(&mut self, mut follower: Follower) {
        if !follower.program.has_ended() {
            follower.program.signal(Signal::SIGTERM);
        }
        follower.program.end().await;
        let blamed: BTreeSet<String> =
            follower.program.errors_after(0).into_iter().filter_map(|error| error.liar).collect();
        self.findings.innocents += i64::try_from(blamed.difference(&follower.liars).count()).unwrap();
    }

    /// Tells one lie, and looks whether the follower goes on after it.
    async fn tell_one(&mut self, follower: &mut Follower, company: Company, plan: &Plan) {
        let (kind, before) = (plan.kind, self.findings.faults());
        let known = follower.program.errors_after(0).len();
        let start = self.stage.head().await.0 - RECENT;
        let tellers = if company == Company::Honest { Tellers::First } else { Tellers::All };
        self.liar.begin(Order { kind, let_through: plan.let_through, times: plan.times, tellers });
        self.give_occasion(company, plan).await;
        let goes_on = match company {
            // The others say what is true meanwhile.
            Company::Honest => caught_up(&self.stage, LIMIT).await.is_some(),
            Company::Nobody => {
                // What the chain has not any more is there to be replaced when the lie is over.
                if !kind.needs_reorg() {
                    let compared = judge(&self.stage, start..i64::MAX).await;
                    self.findings.wrong += compared.wrong + compared.extra;
                }
                true
            }
        };
        let told = self.liar.end();
        let goes_on = goes_on && caught_up(&self.stage, LIMIT).await.is_some() && !follower.program.has_ended();
        self.findings.stuck += i64::from(!goes_on);
        follower.liars.extend(told.by.iter().cloned());
        self.take_down(follower, kind, &told, known).await;
        if goes_on {
            self.judge(start).await;
        }
        if expected::may_be_honest(kind.name) {
            let mut blamed = follower.program.errors_after(known).into_iter().filter_map(|error| error.liar);
            self.findings.innocents += i64::from(blamed.any(|liar| told.by.contains(&liar)));
        }
        if self.findings.faults() > before {
            self.findings.troubled.insert(kind.name);
        }
    }

    /// Lets the chain grow, or replace its newest blocks, until the lie is told: once, or again after it was heard.
    async fn give_occasion(&mut self, company: Company, plan: &Plan) {
        let enough = if company == Company::Honest { 1 } else { 2 };
        let given_from = Instant::now();
        while given_from.elapsed() < OCCASIONS {
            // What comes is seen at once, so that it is asked for at once.
            self.liar.hold();
            if plan.kind.needs_reorg() {
                reorg(&mut self.stage, Reorg::Equal, plan.blocks + 1).await;
            } else {
                self.stage.mine(plan.blocks).await;
            }
            self.liar.release();
            let (head, began) = (self.stage.head().await, Instant::now());
            while self.liar.told() < enough && self.stage.tip().await.as_ref() != Some(&head) {
                if began.elapsed() > LIMIT {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if self.liar.told() > 0 {
                return;
            }
        }
    }

    /// Takes down what was told, and by which names the follower has found it out.
    async fn take_down(&mut self, follower: &Follower, kind: &'static LieKind, told: &Told, known: usize) {
        let expected = expected::codes(kind.name);
        let began = Instant::now();
        let (mut codes, mut is_named) = self.named(follower, told, known, &expected).await;
        while told.answers > 0 && !is_named && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(5)).await;
            (codes, is_named) = self.named(follower, told, known, &expected).await;
        }
        self.findings.take_down(kind.name, told.answers, is_named, codes);
    }

    /// The errors that were named after the first `known`, and whether one of them is as expected: in the log, or where
    /// the follower writes down how an endpoint does that has lied.
    async fn named(
        &self,
        follower: &Follower,
        told: &Told,
        known: usize,
        expected: &[&'static str],
    ) -> (BTreeSet<String>, bool) {
        let logged = follower.program.errors_after(known).into_iter().map(|error| error.code);
        // That is said of an answer that was held too long, too.
        let mut codes: BTreeSet<String> = logged.filter(|code| code != "chain.unreachable").collect();
        let is_expected = |code: &String| expected.contains(&code.as_str());
        if expected.is_empty() || codes.iter().any(is_expected) {
            return (codes, true);
        }
        let last = "SELECT last_error_code FROM hot.endpoints WHERE name = ANY($1) AND last_error_code IS NOT NULL";
        let last: Vec<String> =
            sqlx::query_scalar(last).bind(told.by.clone()).fetch_all(&self.stage.pool).await.unwrap();
        codes.extend(last.into_iter().filter(is_expected));
        let is_named = codes.iter().any(is_expected);
        (codes, is_named)
    }

    /// Compares what is stored from block `start` on with the chain, and with the store's own rules.
    async fn judge(&mut self, start: i64) {
        let compared = judge(&self.stage, start..i64::MAX).await;
        self.findings.wrong += compared.wrong + compared.extra;
        self.findings.lost += compared.missing;
        self.findings.gaps += broken_rules(&self.stage, start).await;
    }
}
