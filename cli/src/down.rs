//! `isotherm down`: stop the running stack.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, bail};
use isotherm_lab::process::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::args::DownArguments;
use crate::home::Home;
use crate::output::say;

pub(crate) async fn run(home: &Home, arguments: &DownArguments) -> anyhow::Result<ExitCode> {
    match home.running()? {
        Some(stack) => {
            kill(Pid::from_raw(stack.pid), Signal::SIGTERM)
                .with_context(|| format!("could not stop process {} of the running stack", stack.pid))?;
            say!("stopping the {} stack (process {}) …", stack.kind, stack.pid);
            let stopped = eventually("the stack to stop", async || !home.is_locked()).await;
            stopped.with_context(|| {
                format!("process {} is still there; look at its logs in {}", stack.pid, home.base().display())
            })?;
            say!("stopped");
        }
        None if home.is_locked() => {
            bail!("a stack is just starting or stopping in {}; try again in a moment", home.base().display())
        }
        None => say!("nothing runs with the data in {}", home.base().display()),
    }
    if arguments.wipe && home.base().exists() {
        fs::remove_dir_all(home.base()).with_context(|| format!("could not remove {}", home.base().display()))?;
        say!("removed {}", home.base().display());
    }
    Ok(ExitCode::SUCCESS)
}
