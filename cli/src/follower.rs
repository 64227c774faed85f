//! `isotherm follower`: how each chain is followed, what to decide where the follower may not, what is missing, and what
//! endpoints were caught at.
//!
//! It reads what the follower wrote and notes what a person decides. What is to be done about it, the follower does.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_hot_store::cursor::{self, Cursor};
use sqlx::PgConnection;

use crate::args::{FollowerArguments, FollowerCommand};
use crate::connected::{Connected, unknown};
use crate::home::Home;

mod advice;
mod evidence;
pub(crate) mod gaps;
mod resume;
mod status;
mod view;

pub(crate) async fn run(home: &Home, arguments: &FollowerArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    match &arguments.command {
        FollowerCommand::Status(wanted) => status::run(&mut connected, wanted).await,
        FollowerCommand::Resume(decision) => resume::run(&mut connected, decision).await,
        FollowerCommand::Gaps(wanted) => gaps::run(&mut connected, wanted).await,
        FollowerCommand::Evidence(wanted) => evidence::run(&mut connected, wanted).await,
    }
}

/// The chain of this name or chain id; all chains if none is named.
async fn chains(conn: &mut PgConnection, name: Option<&str>) -> anyhow::Result<Vec<Cursor>> {
    let cursors = cursor::all(conn).await.context("could not read the chains")?;
    let Some(name) = name else { return Ok(cursors) };
    let is_meant = |cursor: &Cursor| cursor.chain == name || cursor.chain_id.to_string() == name;
    match cursors.iter().find(|cursor| is_meant(cursor)) {
        Some(cursor) => Ok(vec![cursor.clone()]),
        None => {
            let names: Vec<String> = cursors.into_iter().map(|cursor| cursor.chain).collect();
            Err(unknown("chain", name, &names))
        }
    }
}
