//! `isotherm gaps`: which blocks are missing, over hot storage, cold storage and the files that wait together.
//!
//! It only looks. What was never fetched is filled by `isotherm backfill`, what hot storage has not whole by the
//! chain's follower; each gap is told with its command.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_control::tasks;
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset};
use operator_cryo_ingest::plan::Held;
use sqlx::PgConnection;

use crate::args::MissingArguments;
use crate::backfill::{self, BackfillJob};
use crate::connected::Connected;
use crate::follower::gaps::{self, Looked, MOST_SHOWN};
use crate::home::Home;
use crate::output;
use crate::stored_chains::{self, StoredChain};

mod coverage;
mod view;

use coverage::{Coverage, Places};

/// What was found of one chain.
struct Found {
    chain: StoredChain,
    /// The datasets of which anything is there, each with its coverage.
    datasets: Vec<(Places, Coverage)>,
    /// What hot storage has not whole; `None` if the chain has no follower.
    hot: Option<Looked>,
}

impl Found {
    fn is_whole(&self) -> bool {
        let is_hot_whole = self.hot.as_ref().is_none_or(|looked| looked.gap_count == 0);
        is_hot_whole && self.datasets.iter().all(|(_, coverage)| coverage.missing.is_empty())
    }
}

pub(crate) async fn run(home: &Home, arguments: &MissingArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    let jobs = backfill::jobs(&mut connected.conn, connected.org_id).await?;
    let mut found = Vec::new();
    for chain in stored_chains::find(&mut connected, arguments.chain.as_deref()).await? {
        found.push(of_chain(&mut connected.conn, chain, &jobs).await?);
    }
    output::show(arguments.printed.output, &found.iter().map(view::to_json).collect(), || view::print(&found))?;
    Ok(if found.iter().all(Found::is_whole) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn of_chain(conn: &mut PgConnection, chain: StoredChain, jobs: &[BackfillJob]) -> anyhow::Result<Found> {
    let mut datasets = Vec::new();
    for dataset in Dataset::ALL {
        let places = places(conn, &chain, dataset, jobs).await?;
        datasets.extend(places.coverage().map(|coverage| (places, coverage)));
    }
    let hot = match &chain.cursor {
        Some(cursor) => Some(gaps::look(conn, cursor.chain_id, MOST_SHOWN).await?),
        None => None,
    };
    Ok(Found { chain, datasets, hot })
}

async fn places(
    conn: &mut PgConnection,
    chain: &StoredChain,
    dataset: Dataset,
    jobs: &[BackfillJob],
) -> anyhow::Result<Places> {
    let cursor = chain.cursor.as_ref();
    let held = operator_cryo_ingest::held(conn, chain.chain_id, dataset, cursor).await;
    let Held { cold, waiting, hot_first_block } = held.context("could not see what is in cold storage")?;
    let tip = cursor.and_then(|cursor| cursor.tip).map(|tip| tip.number);
    let hot = hot_first_block.zip(tip).and_then(|(first, tip)| BlockRange::inclusive(first, tip).ok());
    let asked_from = asked_from(conn, chain.chain_id, dataset, jobs).await?;
    Ok(Places { dataset, cold, waiting, hot, asked_from })
}

/// The lowest block that a task of `jobs` was asked to fetch.
async fn asked_from(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    jobs: &[BackfillJob],
) -> anyhow::Result<Option<BlockNumber>> {
    let mut lowest = None;
    for BackfillJob { job, config } in jobs {
        if config.chain_id == chain_id && config.datasets.contains(&dataset) {
            let tasks = tasks::of_job(conn, job.id).await.context("could not read what was asked for")?;
            let asked = tasks.iter().filter_map(backfill::blocks_of).map(BlockRange::start);
            lowest = asked.chain(lowest).min();
        }
    }
    Ok(lowest)
}
