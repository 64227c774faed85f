//! `isotherm triggers`: look at the causes of tasks, fire them by hand, read what came of their firings.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_control::triggers::{self, TriggerOverview};

use crate::args::{TriggersArguments, TriggersCommand};
use crate::connected::{Connected, unknown};
use crate::fire::{self, Target};
use crate::home::Home;
use crate::output;

mod view;

pub(crate) async fn run(home: &Home, arguments: &TriggersArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    match &arguments.command {
        TriggersCommand::List { printed } => {
            let found = overview(&mut connected, None).await?;
            let json = found.iter().map(view::to_json).collect();
            output::show(printed.output, &json, || view::print_list(&found))?;
        }
        TriggersCommand::Fire { trigger, firing, printed } => {
            let fired = fire::fire(&connected.aws().await, Target::Trigger(trigger), firing).await?;
            fire::print(fired, printed.output)?;
        }
        TriggersCommand::History { trigger, limit, printed } => {
            let Some(found) = overview(&mut connected, Some(trigger)).await?.pop() else {
                let all = overview(&mut connected, None).await?;
                let names: Vec<String> = all.into_iter().map(|each| each.trigger.name).collect();
                return Err(unknown("trigger", trigger, &names));
            };
            let firings = triggers::history(&mut connected.conn, found.trigger.id, *limit)
                .await
                .with_context(|| format!("could not read the firings of {trigger}"))?;
            let json = firings.iter().map(view::firing_json).collect();
            output::show(printed.output, &json, || view::print_history(&firings))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn overview(connected: &mut Connected, name: Option<&str>) -> anyhow::Result<Vec<TriggerOverview>> {
    triggers::overview(&mut connected.conn, connected.org_id, name).await.context("could not read the triggers")
}
