//! A seeded chain with everything in it that a block can hold, followed from its first block on, through an answer that
//! is untrue and a kill: every cell of all four datasets is as the node says.

use std::time::Duration;

use isotherm_lab::experiment::Experiment;
use isotherm_lab::lies::{Liar, Order, Tellers, kinds};
use isotherm_lab::oracle::TracedBy;
use isotherm_lab::traffic::odd::OddTraffic;
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use nix::sys::signal::Signal;
use rand::Rng;
use serde_json::json;

use crate::cells::{judge, judge_traces};
use crate::chain_life::caught_up;
use crate::judge::broken_rules;
use crate::profile::profile;
use crate::program::Program;
use crate::stage::{CHAIN_ID, Stage};

/// A follower that has not caught up by then never will: most of it is the node's own time.
const LIMIT: Duration = Duration::from_secs(300);
/// One block in this many has the transactions that everyday traffic does not.
const ODD_ONE_IN: u64 = 5;
/// What is untrue in one answer. Found out where receipts are checked, and stored where they are not.
const LIE: &str = "another_log_data";
/// Transaction types 0, 1, 2 and 4; logs with none to four topics; four ways to call, creations, self-destructions.
const SHOWN: [(&str, &str, i64); 3] = [
    ("types", "SELECT count(DISTINCT transaction_type) FROM hot.transactions", 4),
    ("topic_counts", "SELECT count(DISTINCT num_nonnulls(topic0, topic1, topic2, topic3)) FROM hot.logs", 5),
    ("frame_kinds", "SELECT count(DISTINCT concat_ws(' ', action_type, action_call_type)) FROM hot.traces", 6),
];

/// A chain and what makes it grow.
struct Chain {
    stage: Stage,
    odd: OddTraffic,
    mined: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_seeded_chain() {
    let mut experiment = Experiment::begin("seeded_chain", &["checks"]);
    // Nested frames are for few: each time they cost the node a copy of its state, a second and more on a long chain.
    let (blocks, by_frames) = experiment.scaled((60, 12), (2_000, 24));
    let lacks_checks = experiment.lacks("checks");
    let mut chain = Chain::new(&mut experiment.random(0)).await;
    experiment.figure_of_postgres(&mut chain.stage.database.connect().await.unwrap()).await;
    chain.grow(blocks / 2).await;
    let liar = Liar::start(&chain.stage.chain.rpc_url(), 1).await.unwrap();
    let kind = kinds().into_iter().find(|kind| kind.name == LIE).expect("there is this kind");
    liar.begin(Order { kind, let_through: 0, times: 1, tellers: Tellers::All });
    let urls = format!("{},{}", liar.addresses()[0], chain.stage.chain.rpc_url());

    let follower = chain.follow(&urls, "trace_block", lacks_checks).await;
    let mut stuck = chain.misses_its_head().await;
    let lies = liar.end().answers;
    let rest = blocks - blocks / 2 - by_frames;
    chain.grow(rest / 2).await;
    // Wherever it is now.
    end(follower, Signal::SIGKILL).await;
    chain.grow(2).await;
    let follower = chain.follow(&urls, "trace_block", lacks_checks).await;
    chain.grow(rest - rest / 2 - 2).await;
    stuck += chain.misses_its_head().await;
    end(follower, Signal::SIGTERM).await;
    let last_flat = chain.stage.head().await.0;
    let follower = chain.follow(&chain.stage.chain.rpc_url(), "debug_trace_block", lacks_checks).await;
    while stuck == 0 && chain.mined < blocks {
        chain.grow(1).await;
        stuck += chain.misses_its_head().await;
    }
    end(follower, Signal::SIGTERM).await;

    let stage = &chain.stage;
    let flat = judge_traces(stage, 0..last_flat + 1, TracedBy::TraceBlock).await;
    let nested = judge_traces(stage, last_flat + 1..i64::MAX, TracedBy::CallTracer).await;
    let compared = judge(stage, 0..i64::MAX).await.and(flat).and(nested);
    experiment.equal("blocks", stage.stored("blocks").await, i64::try_from(blocks).unwrap() + 1);
    for dataset in ["transactions", "logs", "traces"] {
        experiment.figure(dataset, stage.stored(dataset).await);
    }
    for (name, sql, expected) in SHOWN {
        experiment.equal(name, stage.number(sql).await.unwrap(), expected);
    }
    experiment.equal("lies", i64::try_from(lies).unwrap(), 1);
    experiment.figure("cells", compared.cells);
    experiment.zero("wrong", compared.wrong);
    experiment.zero("missing", compared.missing);
    experiment.zero("extra", compared.extra);
    experiment.zero("gaps", broken_rules(stage, 0).await);
    experiment.zero("stuck", stuck);
    experiment.finish();
}

impl Chain {
    async fn new(random: &mut impl Rng) -> Self {
        let mut stage = Stage::new().await;
        let url = stage.chain.rpc_url();
        let options = TrafficOptions { transactions_per_block: 8, empty_block_one_in: 5 };
        stage.traffic = Traffic::new(url.as_str(), CHAIN_ID, random.random(), options);
        let odd = OddTraffic::start(url, CHAIN_ID, random.random()).await.unwrap();
        Self { stage, odd, mined: 0 }
    }

    async fn grow(&mut self, blocks: u64) {
        for _ in 0..blocks {
            if self.mined.is_multiple_of(ODD_ONE_IN) {
                self.odd.send().await.unwrap();
            }
            self.stage.mine(1).await;
            self.mined += 1;
        }
    }

    /// A follower that has traces by this method.
    async fn follow(&self, urls: &str, traces: &str, lacks_checks: bool) -> Program {
        let settings = json!({ "profile": profile(lacks_checks), "partition_blocks": 100, "traces": traces });
        Program::start(&self.stage, &settings, &[("RPC_URLS", urls), ("ISOTHERM_LOG", "off")]).await
    }

    /// 1 if the follower does not store the newest block.
    async fn misses_its_head(&self) -> i64 {
        i64::from(caught_up(&self.stage, LIMIT).await.is_none())
    }
}

async fn end(mut follower: Program, signal: Signal) {
    if !follower.has_ended() {
        follower.signal(signal);
    }
    follower.end().await;
}
