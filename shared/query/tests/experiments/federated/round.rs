//! One chain and the queries over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use isotherm_query::as_of::{AsOf, AsOfBlock};
use isotherm_query::{QueryAnswer, QueryEngine, QueryRequest};
use isotherm_types::{BlockNumber, Classified};
use rand_chacha::ChaCha8Rng;
use sqlx::PgPool;
use tokio::sync::{RwLock, mpsc};

use super::chance::Chance;
use super::draw::{Draw, Pin};
use super::history::Moment;
use super::question::Query;
use super::relay::{Demand, Relay};
use super::tally::Tally;
use super::world::World;
use super::{dialect, reading};
use crate::made_chain::{CHAIN, CHAIN_NAME};

/// Runs of a sandbox; every second one is one query, the others are [`PACKED`] of them.
const REQUESTS: usize = 120;
const PACKED: usize = 4;
pub(crate) const QUERIES_OF_A_ROUND: usize = REQUESTS / 2 * (1 + PACKED);
/// Queries at a time.
const CONCURRENCY: usize = 4;
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long hot rows stay that have become cold: longer than any query, as it must be.
const GRACE: Duration = Duration::from_secs(16);
/// Changes that may be asked for and not made yet.
const DEMANDS: usize = 64;
/// The stream of chance from which that of each query follows.
const QUERY_STREAMS: u64 = 100;

/// What all queries of a round share.
struct Round {
    world: Arc<World>,
    /// Its queries are held until the world has changed.
    held: (QueryEngine, Relay),
    free: (QueryEngine, Relay),
    demands: mpsc::Sender<Demand>,
    /// Taken alone to drop hot rows, which would wait for whoever is held, and be waited for.
    gate: RwLock<()>,
}

/// A run of a sandbox.
struct Question {
    queries: Vec<Query>,
    pin: Option<Pin>,
    sql: String,
}

/// Runs a round; `random` gives each stream of chance. Without the guard snapshots are split.
pub(crate) async fn run(random: impl Fn(u64) -> ChaCha8Rng, splits_snapshots: bool) -> Tally {
    let world = Arc::new(World::create().await);
    let chance = Chance::begin(Arc::clone(&world), random(0)).await;
    let (demands, demanded) = mpsc::channel(DEMANDS);
    let round = Round {
        held: engine(&world, Relay::start(Some(demands.clone()), splits_snapshots).await).await,
        free: engine(&world, Relay::start(None, splits_snapshots).await).await,
        world: Arc::clone(&world),
        demands,
        gate: RwLock::default(),
    };
    let questions: Vec<(usize, ChaCha8Rng)> =
        (0..REQUESTS).map(|place| (place, random(QUERY_STREAMS + place as u64))).collect();
    let (clean, cleanings) = mpsc::channel(1);
    let asking = async {
        let asked = stream::iter(questions).map(|(place, random)| round.ask(place, random, &clean));
        let answered: Vec<Tally> = asked.buffer_unordered(CONCURRENCY).collect().await;
        drop(clean);
        round.demands.send(Demand::End).await.unwrap();
        answered
    };
    let (answered, (), ()) = tokio::join!(asking, chance.act(demanded), round.clean_up(cleanings));
    round.sum_up(answered).await
}

/// An engine that reaches Postgres through `relay`, and the relay.
async fn engine(world: &World, relay: Relay) -> (QueryEngine, Relay) {
    let pool = PgPool::connect(&relay.through(&world.platform.database.url)).await.unwrap();
    (QueryEngine { pool, ..world.platform.engine.clone() }, relay)
}

impl Round {
    /// Asks the query or queries whose turn it is, and judges the answer.
    async fn ask(&self, place: usize, mut random: ChaCha8Rng, clean: &mpsc::Sender<()>) -> Tally {
        if place % 4 == 1 {
            // A change at a moment of its own.
            self.demands.send(Demand::Change(None)).await.unwrap();
        }
        if place % 20 == 10 {
            // Full: it is being done.
            let _ = clean.try_send(());
        }
        let is_held = place.is_multiple_of(3);
        let _open = if is_held { Some(self.gate.read().await) } else { None };
        let question = self.draw(place, &mut random);
        let block = question.pin.map(|pin| AsOf {
            chain: place.is_multiple_of(2).then(|| CHAIN_NAME.to_owned()),
            block: match pin {
                Pin::Number(number) => AsOfBlock::Number(BlockNumber(number)),
                Pin::Hash(_, hash) => AsOfBlock::Hash(hash),
            },
        });
        let (engine, _) = if is_held { &self.held } else { &self.free };
        let since = self.world.history.now();
        let request = QueryRequest { as_of: block, ..QueryRequest::new(question.sql.clone(), TIMEOUT) };
        let outcome = engine.run(request).await;
        let until = self.world.history.now();

        let count = i64::try_from(question.queries.len()).unwrap();
        let over_a_change = if since.changes == until.changes { 0 } else { count };
        let mut tally = Tally { requests: 1, queries: count, over_a_change, ..Tally::default() };
        match outcome {
            Ok(answer) => self.judge(&question, &answer, (since, until), &mut tally).await,
            Err(error) => {
                tally.errors += 1;
                tally.notes.push(format!("{}: {error}: {}", error.code(), question.sql));
            }
        }
        tally
    }

    fn draw(&self, place: usize, random: &mut ChaCha8Rng) -> Question {
        let marks = self.world.history.landmarks();
        let mut draw = Draw::new(random, &marks);
        let is_packed = place % 2 == 1;
        let first_turn = place / 2 * (1 + PACKED) + place % 2;
        let turns = first_turn..first_turn + if is_packed { PACKED } else { 1 };
        let mut queries: Vec<Query> = turns.map(|turn| draw.query(turn)).collect();
        let pin = (place % 5 == 4).then(|| draw.pin());
        let of_the_whole = match pin {
            Some(Pin::Number(_)) => Some("as_of_number"),
            Some(Pin::Hash(..)) => Some("as_of_hash"),
            None => None,
        };
        queries[0].kinds.extend(of_the_whole);
        let sql = if is_packed {
            queries[0].kinds.insert("packed");
            dialect::packed_for_platform(&queries)
        } else {
            dialect::for_platform(&queries[0])
        };
        Question { queries, pin, sql }
    }

    /// Compares an answer with that of the judge, for the chain of the tip that it names.
    async fn judge(&self, question: &Question, answer: &QueryAnswer, asked: (Moment, Moment), tally: &mut Tally) {
        let state = answer.summary.state.iter().find(|state| state.chain_id == CHAIN);
        let Some(tip) = state.and_then(|state| state.tip_hash) else {
            tally.mismatches += 1;
            tally.notes.push(format!("the answer names no tip: {}", question.sql));
            return;
        };
        tally.tips.insert(tip);
        if !self.world.history.was_tip(tip, asked.0, asked.1) {
            tally.out_of_time += 1;
            tally.notes.push(format!("{tip} was not the tip then: {}", question.sql));
        }
        let found = reading::rows(&answer.batches);
        let is_packed = question.queries.len() > 1;
        let found = if is_packed { reading::unpacked(&question.queries, found) } else { vec![found] };
        let mut session = self.world.oracle.borrow().await;
        assert!(session.stand_on(tip, question.pin.map(Pin::number)).await, "{tip} was made");
        for (query, found) in question.queries.iter().zip(found) {
            tally.kinds.extend(&query.kinds);
            let expected = session.answer(query).await;
            tally.rows += i64::try_from(expected.len()).unwrap();
            tally.empty_answers += i64::from(expected.is_empty());
            if let Some(difference) = reading::difference(query, found, expected, !is_packed) {
                tally.mismatches += 1;
                let (sql, judge) = (dialect::for_platform(query), dialect::for_postgres(query));
                let state = &answer.summary.state;
                tally.notes.push(format!("{difference}\n  {sql}\n  {judge}\n  {:?} {state:?}", question.pin));
            }
        }
        self.world.oracle.give_back(session).await;
    }

    /// Drops hot rows as often as it is asked to.
    async fn clean_up(&self, mut cleanings: mpsc::Receiver<()>) {
        while cleanings.recv().await.is_some() {
            let _alone = self.gate.write().await;
            self.world.clean_up(GRACE).await;
        }
    }

    /// All answers together, and what happened meanwhile; then the connections are closed.
    async fn sum_up(self, answered: Vec<Tally>) -> Tally {
        let history = &self.world.history;
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let mut tally = Tally {
            held: self.held.1.held(),
            split_snapshots: self.held.1.split() + self.free.1.split(),
            reorgs: count(&history.reorgs),
            appends: count(&history.appends),
            compactions: count(&history.compactions),
            merges: count(&history.merges),
            cleanups: count(&history.cleanups),
            ..Tally::default()
        };
        answered.into_iter().for_each(|one| tally.add(one));
        for pool in [&self.held.0.pool, &self.free.0.pool, &self.world.platform.engine.pool] {
            pool.close().await;
        }
        tally
    }
}
