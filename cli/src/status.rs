//! `isotherm status`: where the running stack stands.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::json;

use crate::args::StatusArguments;
use crate::home::Home;
use crate::output::{grouped, say};
use crate::{connected, dlq, exit, figures, output};

pub(crate) async fn run(home: &Home, arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let stack = home.expect_running()?;
    let mut conn = figures::connect(&stack.database_url).await?;
    let figures = figures::collect(&mut conn).await?;
    let dead_letters = match dlq::depths(&connected::aws(&stack).await).await {
        Ok(depths) => Some(depths.into_iter().filter(|(_, depth)| *depth > 0).collect::<BTreeMap<_, _>>()),
        Err(error) => {
            exit::warn(&error.context("the dead letters could not be counted"));
            None
        }
    };
    let mut json = figures::to_json(&figures);
    json["dead_letters"] = json!(dead_letters);
    output::show(arguments.output, &json, || {
        say!("{} stack of chain {}, process {}, API {}", stack.kind, stack.chain, stack.pid, stack.api_url);
        figures::print(&figures);
        if let Some(depths) = &dead_letters {
            say!("dead letters: {}", dead_letters_line(depths));
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Dead letters by queue, as a phrase.
pub(crate) fn dead_letters_line(depths: &BTreeMap<String, u64>) -> String {
    if depths.is_empty() {
        return "none".to_owned();
    }
    depths.iter().map(|(queue, depth)| format!("{} in {queue}", grouped(*depth))).collect::<Vec<_>>().join(", ")
}
