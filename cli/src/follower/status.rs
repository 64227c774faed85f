//! `isotherm follower status`: where each chain's follower stands.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use isotherm_hot_store::cursor::{self, Cursor};
use isotherm_hot_store::disputed_reorg::{self, Dispute};
use isotherm_hot_store::evidence::{self, Evidence};
use isotherm_hot_store::follower_status::{self, FollowerStatus, TipArrival};
use isotherm_hot_store::lag::{self, Lag};
use isotherm_hot_store::reorg::{self, Invalidation};
use isotherm_platform::stop::Stop;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use super::{chains, view};
use crate::args::{FollowerStatusArguments, Output};
use crate::connected::Connected;
use crate::output;
use crate::output::say;

/// Blocks over which lag is measured.
const LAG_BLOCKS: i64 = 1_000;
/// Between two looks of `--watch`.
const INTERVAL: Duration = Duration::from_secs(1);
/// Moves a terminal's cursor to its upper left corner and clears it. Source: ECMA-48, CUP and ED.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What is known of one chain's follower.
pub(super) struct ChainStatus {
    pub(super) cursor: Cursor,
    /// How old the stored tip is.
    pub(super) tip_age: Option<Duration>,
    pub(super) arrival: Option<TipArrival>,
    pub(super) recent: Option<Lag>,
    pub(super) last_reorg: Option<Invalidation>,
    /// The reorg that a person decides about or has decided about; not one that is left over.
    pub(super) dispute: Option<Dispute>,
    pub(super) follower: Option<FollowerStatus>,
    /// Untrue answers of its endpoints that are kept.
    pub(super) evidence_count: u64,
    pub(super) last_evidence: Option<Evidence>,
}

pub(super) async fn run(connected: &mut Connected, wanted: &FollowerStatusArguments) -> anyhow::Result<ExitCode> {
    let name = wanted.chain.as_deref();
    if !wanted.watch {
        let found = collect(&mut connected.conn, name).await?;
        output::show(wanted.output, &to_json(&found), || print(&found))?;
        return Ok(ExitCode::SUCCESS);
    }
    let stop = Stop::on_signals().context("could not listen for signals")?;
    let clear = if std::io::stdout().is_terminal() { CLEAR } else { "" };
    loop {
        let found = collect(&mut connected.conn, name).await?;
        match wanted.output {
            Output::Json => say!("{}", to_json(&found)),
            Output::Table => {
                say!("{clear}");
                print(&found);
            }
        }
        tokio::select! {
            () = stop.requested() => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Reads what is known of the chains in one snapshot.
async fn collect(conn: &mut PgConnection, name: Option<&str>) -> anyhow::Result<Vec<ChainStatus>> {
    let mut db_tx = conn
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
        .context("could not open a snapshot")?;
    let mut found = Vec::new();
    for cursor in chains(&mut db_tx, name).await? {
        found.push(of_chain(&mut db_tx, cursor).await?);
    }
    db_tx.rollback().await.context("could not close the snapshot")?;
    Ok(found)
}

async fn of_chain(conn: &mut PgConnection, cursor: Cursor) -> anyhow::Result<ChainStatus> {
    let chain_id = cursor.chain_id;
    let dispute = disputed_reorg::read(conn, chain_id).await.context("could not read the disputed reorg")?;
    let tip_age = cursor::tip_age(conn, chain_id).await.context("could not measure the tip's age")?;
    Ok(ChainStatus {
        tip_age: tip_age.map(|(age, _)| age),
        arrival: follower_status::tip_arrival(conn, chain_id).await.context("could not read the tip's arrival")?,
        recent: lag::recent(conn, chain_id, LAG_BLOCKS).await.context("could not measure the lag")?,
        last_reorg: reorg::last(conn, chain_id).await.context("could not read the last reorg")?,
        dispute: dispute.filter(|dispute| is_open(&cursor, dispute)),
        follower: follower_status::read(conn, chain_id).await.context("could not read the follower's status")?,
        evidence_count: evidence::count(conn, chain_id).await.context("could not count the evidence")?,
        last_evidence: evidence::newest(conn, chain_id, 1).await.context("could not read the evidence")?.pop(),
        cursor,
    })
}

/// Whether `dispute` is what the chain is halted for, or waits to be replaced with a person's leave. One that is
/// neither is left over.
fn is_open(cursor: &Cursor, dispute: &Dispute) -> bool {
    dispute.is_of(cursor) || (cursor.halted.is_none() && dispute.permission.is_some())
}

fn to_json(found: &[ChainStatus]) -> Value {
    found.iter().map(view::to_json).collect()
}

fn print(found: &[ChainStatus]) {
    if found.is_empty() {
        say!("no chain is followed yet");
    }
    for status in found {
        view::print(status);
    }
}
