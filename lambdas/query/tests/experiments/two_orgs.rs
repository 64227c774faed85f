//! Two organisations with chains, jobs, tasks and queries of their own, and thousands of questions from each: whatever
//! comes back to one, rows, errors, state or records, must hold nothing of the other.
//!
//! Three judges look at the answers. Everything of an organisation holds canaries, which may be in no answer to the
//! other unless it has named them itself. What names the other's is asked once more about what nobody has, and must be
//! answered alike, and as fast. And what does not change is asked once more where the other organisation does not
//! exist, and must have the same answer.

mod answer;
mod chain;
mod draw;
mod party;
mod scene;
mod tally;

use std::future::ready;

use futures::{StreamExt, stream};
use isotherm_lab::experiment::Experiment;
use lambda_query::Route;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use draw::{Draw, KINDS};
use party::{Mark, PARTIES, Party};
use scene::{Scene, query_id, saved_name};
use tally::Tally;

/// What an organisation's thing is called.
type NameOf = fn(Mark) -> String;

const GUARDS: [&str; 2] = ["grants", "rows"];
/// Questions at a time.
const CONCURRENCY: usize = 4;

/// Where questions are asked.
struct Worlds {
    both: Scene,
    /// Each organisation without the other.
    alone: [Scene; 2],
    /// Every how manieth question of an organisation is asked there too.
    alone_every: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_two_orgs() {
    let mut experiment = Experiment::begin("two_orgs", &["grants", "rows"]);
    let questions: usize = experiment.scaled(200, 10_000);
    let [first, second] = &PARTIES;
    let worlds = Worlds {
        both: Scene::create(&[first, second]).await,
        alone: [Scene::create(&[first]).await, Scene::create(&[second]).await],
        alone_every: experiment.scaled(4, 8),
    };
    for guard in GUARDS.into_iter().filter(|guard| experiment.lacks(guard)) {
        worlds.both.remove(guard).await;
    }
    let mut conn = worlds.both.stage.pool.acquire().await.unwrap();
    experiment.figure_of_postgres(&mut conn).await;
    drop(conn);

    let turns = stream::iter(0..questions).map(|turn| worlds.turn(turn, experiment.random(turn as u64)));
    let mut tally = turns.buffer_unordered(CONCURRENCY).fold(Tally::default(), |all, one| ready(all.and(one))).await;
    for (own, other) in [(first, second), (second, first)] {
        worlds.look_at_routes(own, other, &mut tally).await;
        worlds.look_at_records(own, other, &mut tally).await;
    }
    tally.print_notes();
    experiment.figure("questions", questions);
    tally.report(&mut experiment);
    experiment.finish();
}

impl Worlds {
    /// One question of one organisation, and what else is asked for its sake.
    async fn turn(&self, turn: usize, random: ChaCha8Rng) -> Tally {
        let (place, turn) = (turn % 2, turn / 2);
        let (own, other) = (&PARTIES[place], &PARTIES[1 - place]);
        let mut draw = Draw::new(random, own, other);
        let question = draw.question(turn);
        let (kind, _) = KINDS[turn % KINDS.len()];
        let twin = question.of_nobody(other);
        let mut tally = Tally::default();

        // Chance says which goes first, so that neither always finds the machine warmer.
        let (answer, answer_of_nobody) = match &twin {
            Some(twin) if draw.toss() => {
                let of_nobody = self.both.ask(own, twin).await;
                (self.both.ask(own, &question).await, Some(of_nobody))
            }
            Some(twin) => {
                let answer = self.both.ask(own, &question).await;
                (answer, Some(self.both.ask(own, twin).await))
            }
            None => (self.both.ask(own, &question).await, None),
        };
        let asked = question.body().to_string();
        tally.look_at(&answer, (own, other), kind, &asked);
        if let (Some(twin), Some(of_nobody)) = (&twin, &answer_of_nobody) {
            tally.look_at(of_nobody, (own, other), kind, &twin.body().to_string());
            tally.compare_with_nobodys(&answer, of_nobody, other, &asked);
        }
        if question.is_steady && turn.is_multiple_of(self.alone_every) {
            let alone = self.alone[place].ask(own, &question).await;
            tally.compare_with_alone(&answer, &alone, &asked);
        }
        tally
    }

    /// What an organisation gets from all other routes, also by names of the other's.
    async fn look_at_routes(&self, own: &Party, other: &Party, tally: &mut Tally) {
        for route in [Route::ListDatasets, Route::ListSaved, Route::ListQueries] {
            let answer = self.both.call(own, route, &[], &Value::Null).await;
            tally.look_at(&answer, (own, other), route.action(), "");
        }
        let named: [(Route, NameOf); 5] = [
            (Route::ShowQuery, query_id),
            (Route::CancelQuery, query_id),
            (Route::ShowSaved, saved_name),
            (Route::RunSaved, saved_name),
            (Route::DeleteSaved, saved_name),
        ];
        for (route, name) in named {
            let (theirs, nobodys) = (name(other.mark), name(other.stand_in));
            let body = if route == Route::RunSaved { json!({}) } else { Value::Null };
            let answer = self.both.call(own, route, &[&theirs], &body).await;
            let of_nobody = self.both.call(own, route, &[&nobodys], &body).await;
            tally.look_at(&answer, (own, other), route.action(), &theirs);
            tally.look_at(&of_nobody, (own, other), route.action(), &nobodys);
            tally.compare_with_nobodys(&answer, &of_nobody, other, &theirs);
        }
    }

    /// Every record that an organisation is shown is of its own user, and it is shown all of them.
    async fn look_at_records(&self, own: &Party, other: &Party, tally: &mut Tally) {
        let listed = self.both.listed(own).await;
        let asker = json!(format!("user:{}-user", own.mark.word));
        let foreign = listed.iter().filter(|record| record["asked_by"] != asker).count();
        let held = party::plain(&json!(listed).to_string());
        let leaks = other.mark.canaries().iter().filter(|canary| held.contains(*canary)).count();
        let missing = self.both.recorded(own).await - i64::try_from(listed.len()).unwrap();
        tally.add_records(listed.len(), foreign + leaks, missing);
    }
}
