//! `isotherm jobs`: look at the definitions of work, hold them back, run them by hand.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_control::jobs::{self, JobOverview, PauseChange};
use serde_json::json;

use crate::args::{JobsArguments, JobsCommand, Output};
use crate::connected::{Connected, actor, unknown};
use crate::fire::{self, Target};
use crate::home::Home;
use crate::output;
use crate::output::say;

mod view;

pub(crate) async fn run(home: &Home, arguments: &JobsArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    match &arguments.command {
        JobsCommand::List { printed } => {
            let jobs = overview(&mut connected, None).await?;
            let json = jobs.iter().map(view::to_json).collect();
            output::show(printed.output, &json, || view::print_list(&jobs))?;
        }
        JobsCommand::Show { job, printed } => {
            let found = overview(&mut connected, Some(job)).await?.pop();
            let Some(found) = found else { return Err(unknown_job(&mut connected, job).await?) };
            output::show(printed.output, &view::to_json(&found), || view::print_one(&found))?;
        }
        JobsCommand::Pause { job, reason, printed } => {
            set_paused(&mut connected, job, true, reason.as_deref(), printed.output).await?;
        }
        JobsCommand::Resume { job, reason, printed } => {
            set_paused(&mut connected, job, false, reason.as_deref(), printed.output).await?;
        }
        JobsCommand::Run { job, firing, printed } => {
            let fired = fire::fire(&connected.aws().await, Target::Job(job), firing).await?;
            fire::print(fired, printed.output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn overview(connected: &mut Connected, name: Option<&str>) -> anyhow::Result<Vec<JobOverview>> {
    jobs::overview(&mut connected.conn, connected.org_id, name).await.context("could not read the jobs")
}

async fn unknown_job(connected: &mut Connected, job: &str) -> anyhow::Result<anyhow::Error> {
    let names = jobs::names(&mut connected.conn, connected.org_id).await.context("could not read the jobs")?;
    Ok(unknown("job", job, &names))
}

async fn set_paused(
    connected: &mut Connected,
    job: &str,
    paused: bool,
    reason: Option<&str>,
    printed: Output,
) -> anyhow::Result<()> {
    let (conn, org_id) = (&mut connected.conn, connected.org_id);
    let change = jobs::set_paused(conn, org_id, job, paused, &actor(), reason)
        .await
        .with_context(|| format!("could not change job {job}"))?;
    let changed = match change {
        PauseChange::Unknown => return Err(unknown_job(connected, job).await?),
        PauseChange::Already(_) => false,
        PauseChange::Changed(_) => true,
    };
    if changed && !paused {
        connected.sweep().await;
    }
    output::show(printed, &json!({ "job": job, "paused": paused, "changed": changed }), || {
        say!("{}", pause_words(job, paused, changed));
    })
}

fn pause_words(job: &str, paused: bool, changed: bool) -> String {
    match (paused, changed) {
        (true, true) => format!("job {job} is paused: what runs goes on to its end, what is queued waits"),
        (false, true) => format!("job {job} goes on"),
        (true, false) => format!("job {job} was paused already"),
        (false, false) => format!("job {job} was not paused"),
    }
}
