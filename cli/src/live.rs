//! Figures that move while a stack runs.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use isotherm_platform::stop::Stop;

use crate::figures;
use crate::machine::Machine;
use crate::output::say;

/// Without a terminal a line is printed this seldom.
const QUIET_INTERVAL: Duration = Duration::from_secs(15);

/// A person, or `isotherm down`, asked the stack to stop.
pub(crate) struct Interrupted;

/// One line that is written over on a terminal, and now and then printed elsewhere.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    last_printed: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::new_spinner().with_style(style)
        });
        Self { bar, last_printed: None }
    }

    pub(crate) fn show(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(line.to_owned());
                bar.tick();
            }
            None if self.last_printed.is_none_or(|printed| printed.elapsed() >= QUIET_INTERVAL) => {
                eprintln!("{line}");
                self.last_printed = Some(Instant::now());
            }
            None => {}
        }
    }

    pub(crate) fn clear(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows the running stack's figures until it is asked to stop.
pub(crate) async fn show(machine: &Machine, stop: &Stop, advice: Option<&str>) -> anyhow::Result<Interrupted> {
    if let Some(advice) = advice {
        say!("{advice}");
    }
    let mut conn = figures::connect(machine.database_url()).await?;
    let mut progress = Progress::new();
    loop {
        let figures = figures::collect(&mut conn).await?;
        progress.show(&figures::line(&figures));
        tokio::select! {
            () = stop.requested() => break,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    progress.clear();
    say!("stopping …");
    Ok(Interrupted)
}
