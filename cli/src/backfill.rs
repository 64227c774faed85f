//! `isotherm backfill`: history from the chain into cold storage.
//!
//! It finds out what is missing of a range, says what that will cost, makes tasks of the chain's job, and watches them.
//! What is fetched is fetched by the operator `cryo_ingest`; run again, it goes on where things are then.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use isotherm_chain::{ChainClient, RpcUrls};
use isotherm_control::tasks;
use isotherm_hot_store::cursor;
use isotherm_platform::secrets;
use isotherm_platform::stop::Stop;
use isotherm_types::{BlockRange, Dataset, SystemClock};
use operator_cryo_ingest::Input;
use operator_cryo_ingest::plan::Held;
use serde_json::{Value, json};

use crate::args::{BackfillArguments, FiringArguments, Output};
use crate::connected::Connected;
use crate::fire::{self, Fired, Target};
use crate::home::Home;
use crate::output;
use crate::output::{grouped, say};

mod estimate;
mod job;
mod plan;
mod watch;

pub(crate) use job::{BackfillJob, OPERATOR, all as jobs};
pub(crate) use plan::{blocks_of, outwards};

#[cfg(test)]
pub(crate) use job::tests::job as made_up_job;

use estimate::Estimate;
use plan::{Piece, Split};
use watch::{Standing, Watched};

/// Variable of the job in which its endpoints' secret is.
const RPC_URLS: &str = "RPC_URLS";

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nothing is missing, and nothing is on its way.
    Nothing,
    /// The person said no.
    Declined,
    /// Tasks are at work; nobody watches them.
    Detached,
    /// All tasks have ended.
    Ended,
}

/// All that there is to say at the end.
struct Outcome {
    job: String,
    chain: String,
    blocks: BlockRange,
    split: Split,
    estimate: Option<Estimate>,
    /// Tasks that this run made.
    made: u64,
    standing: Standing,
    end: End,
}

pub(crate) async fn run(home: &Home, arguments: &BackfillArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    let jobs = jobs(&mut connected.conn, connected.org_id).await?;
    let job = job::choose(jobs, &arguments.chain, arguments.datasets.as_deref(), arguments.job.as_deref())?;
    let partition_blocks = job.config.partition_blocks;
    let blocks = plan::whole(arguments.from, arguments.to, partition_blocks, arguments.may_begin_inside)?;
    let client = client(&connected, &job).await?;
    let heads = client.heads(job.config.finality).await.context("could not ask the chain what is final")?;
    plan::check_final(blocks, heads.finalized.map(|block| block.number), partition_blocks)?;

    let held = held(&mut connected, &job).await?;
    let of_job = tasks::of_job(&mut connected.conn, job.job.id).await.context("could not read the job's tasks")?;
    let split = plan::split(blocks, partition_blocks, &held, &of_job);
    let pieces = plan::pieces(&split.lacking, held.first().and_then(|(_, held)| held.cold));
    let about = of_job.iter().filter(|task| plan::is_about(task, blocks));
    let mut watched: Watched =
        about.filter_map(|task| Some((task.idempotency_key.clone(), plan::blocks_of(task)?))).collect();
    let mut outcome = Outcome {
        job: job.job.name.clone(),
        chain: job.config.chain.to_string(),
        blocks,
        split,
        estimate: None,
        made: 0,
        standing: Standing::of(&watched, &of_job),
        end: End::Nothing,
    };
    let printed = arguments.printed.output;
    told(printed, &outcome.situation());
    if pieces.is_empty() && watched.is_empty() {
        return outcome.finish(printed);
    }
    if !pieces.is_empty() {
        let sample = estimate::measure(&client, job.config.traces, &estimate::sample_of(&pieces)).await?;
        let estimated = estimate::estimate(&pieces, sample, &job.config);
        outcome.estimate = Some(estimated);
        told(printed, &[estimated.words()]);
        if !arguments.yes && !is_agreed(pieces.len(), &outcome.job)? {
            outcome.end = End::Declined;
            return outcome.finish(printed);
        }
    }
    let stop = Stop::on_signals().context("could not listen for Ctrl-C")?;
    for piece in &pieces {
        if stop.is_requested() {
            break;
        }
        let key = plan::firing_key(piece.blocks, &of_job);
        let fired = fire(&connected, &job, piece, arguments.may_begin_inside, &key).await?;
        watched.insert(plan::task_key(&key), piece.blocks);
        outcome.made += u64::from(fired.new);
    }
    outcome.standing = Standing::of(&watched, &of_job);
    outcome.end = End::Detached;
    if !arguments.detach {
        outcome.standing = watch::until_ended(&mut connected.conn, job.job.id, &watched, &stop).await?;
        if outcome.standing.has_ended() && !stop.is_requested() {
            outcome.end = End::Ended;
        }
    }
    outcome.finish(printed)
}

/// A client of the job's endpoints, as its tasks have one.
async fn client(connected: &Connected, job: &BackfillJob) -> anyhow::Result<ChainClient> {
    let name = &job.job.name;
    let Some(secret) = job.job.secrets.get(RPC_URLS) else {
        bail!("job {name} has no secret {RPC_URLS}, so nobody knows its endpoints; give it one in the pipeline file")
    };
    let urls = secrets::fetch(&connected.aws().await.secrets(), secret)
        .await
        .with_context(|| format!("could not read the endpoints of job {name}"))?;
    let urls = RpcUrls::parse(urls.expose()).with_context(|| format!("the secret {secret} is not usable"))?;
    let (chain_id, limits) = (job.config.chain_id, job.config.profile.limits());
    let client = ChainClient::connect(urls.endpoints, chain_id, limits, Arc::new(SystemClock)).await;
    client.with_context(|| format!("the endpoints of job {name} are not usable"))
}

/// What of each of the job's datasets is in cold storage, or on its way there.
async fn held(connected: &mut Connected, job: &BackfillJob) -> anyhow::Result<Vec<(Dataset, Held)>> {
    let (conn, chain_id) = (&mut connected.conn, job.config.chain_id);
    let cursor = cursor::read(conn, chain_id).await.context("could not read the chain")?;
    let mut held = Vec::with_capacity(job.config.datasets.len());
    for dataset in &job.config.datasets {
        let of_dataset = operator_cryo_ingest::held(conn, chain_id, *dataset, cursor.as_ref());
        held.push((*dataset, of_dataset.await.context("could not see what is in cold storage")?));
    }
    Ok(held)
}

/// Asks the person whether to go on.
fn is_agreed(tasks: usize, job: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to agree to the estimate: look at it, then give the command with --yes")
    }
    eprint!("make {tasks} tasks of job {job}? [y/N] ");
    std::io::stderr().flush().context("could not ask")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("could not read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn fire(
    connected: &Connected,
    job: &BackfillJob,
    piece: &Piece,
    may_begin_inside: bool,
    key: &str,
) -> anyhow::Result<Fired> {
    let input = Input { blocks: piece.blocks, may_begin_inside };
    let input = serde_json::to_value(input).context("could not write the task's input")?;
    let firing = FiringArguments { input, key: Some(key.to_owned()) };
    let fired = fire::fire(&connected.aws().await, Target::Job(&job.job.name), &firing).await;
    let blocks = piece.blocks;
    fired.with_context(|| {
        format!("could not make the task of blocks {blocks}; those before it are made: give the same command again")
    })
}

/// Says `lines` to people; programs are told at the end.
fn told(printed: Output, lines: &[String]) {
    if printed == Output::Table {
        for line in lines {
            say!("{line}");
        }
    }
}

impl Outcome {
    /// What is there of the range, and what is not.
    fn situation(&self) -> Vec<String> {
        let Self { job, chain, blocks, split, .. } = self;
        let lacking = grouped(split.lacking.len() as u64);
        let mut lines = vec![format!("blocks {blocks} of {chain}: {lacking} partitions to fetch with job {job}")];
        let others = [
            (split.held, "blocks are in cold storage already, or wait for their neighbour: they are left out"),
            (split.hot, "blocks are in hot storage only: compaction moves them, they are left out"),
            (split.asked, "blocks are asked for already: their tasks are watched"),
        ];
        lines.extend(
            others.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{} {words}", grouped(*count))),
        );
        lines
    }

    /// How it ended.
    fn words(&self) -> Vec<String> {
        let Self { job, blocks, standing, end, made, .. } = self;
        let mut lines: Vec<String> = standing.lost.iter().map(watch::Lost::words).collect();
        lines.push(match end {
            End::Nothing => format!("nothing of blocks {blocks} is left to fetch"),
            End::Declined => "no task was made".to_owned(),
            End::Detached => format!(
                "{made} tasks were made; they go on by themselves: `isotherm tasks list --job {job}` shows them, the \
                 same command watches them, `isotherm tasks cancel` takes them back"
            ),
            End::Ended if standing.lost.is_empty() => {
                let done = grouped(standing.done_blocks);
                format!("{done} blocks are fetched; `isotherm gaps` shows if any are missing")
            }
            End::Ended => "mend the cause and give the same command again: what is fetched is kept".to_owned(),
        });
        lines
    }

    fn to_json(&self) -> Value {
        let Self { job, chain, blocks, split, estimate, made, standing, end } = self;
        let end = match end {
            End::Nothing => "nothing_to_fetch",
            End::Declined => "declined",
            End::Detached => "detached",
            End::Ended => "ended",
        };
        let to_fetch: Vec<BlockRange> = split.lacking.iter().map(|piece| piece.blocks).collect();
        json!({
            "job": job, "chain": chain, "blocks": blocks, "partitions_to_fetch": to_fetch,
            "blocks_in_place": split.held, "blocks_hot_only": split.hot, "blocks_asked_before": split.asked,
            "estimate": estimate.map(Estimate::to_json), "tasks_made": made, "tasks": standing.to_json(), "end": end,
        })
    }

    /// Exit code 1 if a task ended without its work done, or none was made.
    fn finish(&self, printed: Output) -> anyhow::Result<ExitCode> {
        output::show(printed, &self.to_json(), || told(printed, &self.words()))?;
        let is_well = self.end != End::Declined && self.standing.lost.is_empty();
        Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::plan::tests::range;
    use crate::golden;

    fn outcome(end: End) -> Outcome {
        let lacking = vec![Piece { blocks: range(0, 100), partitions: 1, fetched: 100 }];
        let sample = estimate::Sample { blocks: 2, bytes: 3_000 };
        let estimate = Estimate { blocks: 100, requests: 3, calls: 202, bytes: 150_000, sample };
        Outcome {
            job: "backfill-demo".to_owned(),
            chain: "demo".to_owned(),
            blocks: range(0, 500),
            split: Split { lacking, held: 100, hot: 0, asked: 300 },
            estimate: Some(estimate),
            made: 1,
            standing: watch::tests::standing(),
            end,
        }
    }

    #[test]
    fn an_outcome_for_programs_is_the_golden_file() {
        golden::check("backfill", &outcome(End::Detached).to_json());
    }

    #[test]
    fn people_are_told_what_is_left_out_and_how_to_go_on() {
        let lines = outcome(End::Ended).situation();
        assert_eq!(lines[0], "blocks 0..500 of demo: 1 partitions to fetch with job backfill-demo");
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[1].starts_with("100 blocks are in cold storage") && lines[2].starts_with("300 blocks are asked"));

        let words = |end| outcome(end).words().pop().unwrap();
        assert!(words(End::Detached).contains("`isotherm tasks list --job backfill-demo`"));
        assert!(words(End::Ended).contains("same command again"));
        assert!(words(End::Nothing).contains("nothing of blocks 0..500"));
    }

    #[test]
    fn a_lost_task_and_a_no_are_failures() {
        let code = |outcome: Outcome| format!("{:?}", outcome.finish(Output::Table).unwrap());
        let well = Outcome { standing: Standing::default(), ..outcome(End::Ended) };
        assert_eq!(code(well), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(outcome(End::Ended)), format!("{:?}", ExitCode::FAILURE));
        let declined = Outcome { standing: Standing::default(), ..outcome(End::Declined) };
        assert_eq!(code(declined), format!("{:?}", ExitCode::FAILURE));
    }
}
