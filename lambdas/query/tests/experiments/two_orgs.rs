//! Two organisations with chains, jobs, tasks and queries of their own, and thousands of questions from each: whatever
//! comes back to one, rows, errors, state or records, must hold nothing of the other.
//!
//! Three judges look at the answers. Everything of an organisation holds canaries, which may be in no answer to the
//! other unless it has named them itself. What names the other's is asked once more about what nobody has, and must be
//! answered alike, and as fast: times are compared where both are refused as unknown relations. And what does not change
//! is asked once more where the other organisation does not exist, and must have the same answer.
//!
//! So that finding nothing of the other is no accident, each relation of the platform's own has rows of both, and must show
//! each organisation its own.

mod answer;
mod chain;
mod draw;
mod party;
mod scene;
mod tally;

use std::future::ready;

use futures::{StreamExt, stream};
use isotherm_lab::experiment::Experiment;
use isotherm_query::platform_tables::ALL;
use lambda_query::Route;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use draw::{Draw, KINDS, Question};
use party::{Mark, PARTIES, Party};
use scene::{Scene, query_id, saved_name};
use tally::Tally;

/// What an organisation's thing is called.
type NameOf = fn(Mark) -> String;

const GUARDS: [&str; 2] = ["grants", "rows"];
/// Questions at a time that are asked in pairs, whose times are compared.
const PAIRS_AT_A_TIME: usize = 4;
/// Questions at a time of which no time is compared. Each may hold one of the pool's ten connections and want another.
const OTHERS_AT_A_TIME: usize = 8;

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

    let mut tally = Tally::default();
    for (own, other) in [(first, second), (second, first)] {
        worlds.look_at_relations(own, other, &mut tally).await;
    }
    let turns = (0..questions).map(|turn| Turn::draw(turn, experiment.random(turn as u64)));
    let (pairs, others): (Vec<Turn>, Vec<Turn>) = turns.partition(|turn| turn.twin.is_some());
    for (turns, at_a_time) in [(others, OTHERS_AT_A_TIME), (pairs, PAIRS_AT_A_TIME)] {
        let asked = stream::iter(turns).map(|turn| worlds.ask(turn)).buffer_unordered(at_a_time);
        tally = asked.fold(tally, |all, one| ready(all.and(one))).await;
    }
    for (own, other) in [(first, second), (second, first)] {
        worlds.look_at_routes(own, other, &mut tally).await;
        worlds.look_at_records(own, other, &mut tally).await;
    }
    tally.print_notes();
    experiment.figure("questions", questions);
    tally.report(&mut experiment);
    experiment.finish();
}

/// One question of one organisation.
struct Turn {
    /// Which of its questions.
    number: usize,
    /// Whose it is.
    place: usize,
    question: Question,
    /// The same about what is nobody's; `None` if it names nothing of the other's.
    twin: Option<Question>,
    /// Whether the twin goes first. Chance says so, and neither always finds the machine warmer.
    twin_first: bool,
}

impl Turn {
    /// Organisations take turns, and each has the kinds in turn.
    fn draw(turn: usize, random: ChaCha8Rng) -> Self {
        let (place, number) = (turn % 2, turn / 2);
        let (own, other) = (&PARTIES[place], &PARTIES[1 - place]);
        let mut draw = Draw::new(random, own, other);
        let question = draw.question(number);
        let twin = question.of_nobody(other);
        let twin_first = twin.is_some() && draw.toss();
        Self { number, place, question, twin, twin_first }
    }
}

impl Worlds {
    /// Asks a question, and what else is asked for its sake.
    async fn ask(&self, turn: Turn) -> Tally {
        let Turn { number, place, question, twin, twin_first } = turn;
        let (own, other) = (&PARTIES[place], &PARTIES[1 - place]);
        let (kind, _) = KINDS[number % KINDS.len()];
        let mut tally = Tally::default();
        let (answer, answer_of_nobody) = match &twin {
            Some(twin) if twin_first => {
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
        if question.is_steady && number.is_multiple_of(self.alone_every) {
            let alone = self.alone[place].ask(own, &question).await;
            tally.compare_with_alone(&answer, &alone, &asked);
        }
        tally
    }

    /// Every relation of the platform's own shows an organisation its own rows, and nothing of the other's.
    async fn look_at_relations(&self, own: &Party, other: &Party, tally: &mut Tally) {
        for table in ALL {
            let question = Question::of(format!("select * from {table}"));
            let answer = self.both.ask(own, &question).await;
            tally.look_at_relation(&answer, (own, other), table.name, &question.body().to_string());
        }
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

    /// Every record that an organisation is shown is of its own user or planted for it, and it is shown all of them.
    async fn look_at_records(&self, own: &Party, other: &Party, tally: &mut Tally) {
        let listed = self.both.listed(own).await;
        let askers = [json!(format!("user:{}-user", own.mark.word)), json!(own.mark.word)];
        let foreign = listed.iter().filter(|record| !askers.contains(&record["asked_by"])).count();
        let held = party::plain(&json!(listed).to_string());
        let leaks = other.mark.canaries().iter().filter(|canary| held.contains(*canary)).count();
        let missing = self.both.recorded(own).await - i64::try_from(listed.len()).unwrap();
        tally.add_records(listed.len(), foreign + leaks, missing);
    }
}
