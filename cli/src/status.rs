//! `isotherm status`: where the running stack stands.

use std::process::ExitCode;

use anyhow::Context;

use crate::args::{Output, StatusArguments};
use crate::figures;
use crate::home::Home;
use crate::output::say;

pub(crate) async fn run(home: &Home, arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let stack = home.expect_running()?;
    let mut conn = figures::connect(&stack.database_url).await?;
    let figures = figures::collect(&mut conn).await?;
    match arguments.output {
        Output::Table => {
            say!("{} stack of chain {}, process {}, API {}", stack.kind, stack.chain, stack.pid, stack.api_url);
            figures::print(&figures);
        }
        Output::Json => {
            let text = serde_json::to_string_pretty(&figures::to_json(&figures)).context("could not write JSON")?;
            say!("{text}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
