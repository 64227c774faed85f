//! What a person has set at the prompt, and doing what is typed there.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use uuid::Uuid;

use super::catalogue;
use super::commands::{self, Command, HELP};
use super::editor::Editor;
use crate::args::Format;
use crate::exit;
use crate::output::{self, say};
use crate::query::ask::{Interrupts, Outcome, Server, left_running};
use crate::query::parameters::Parameters;
use crate::query::reply::{Answer, QueryFault};
use crate::query::request::Settings;
use crate::query::target::Target;
use crate::query::{deliver, fault, screen, script, statements};

/// Asked to see the state that a query reads.
const LOOK: &str = "select 1";

/// What comes after a text was taken.
pub(super) enum Next {
    /// Another line.
    Line,
    /// Another line, on which this stands already.
    Edit(String),
    End,
}

/// What a person has set.
pub(super) struct Session<'s> {
    server: &'s Server,
    settings: Settings,
    /// The editor of `\e`, with its options.
    program: &'s str,
    timing: bool,
    output: Option<(PathBuf, File)>,
    /// The last SQL.
    last: String,
}

impl<'s> Session<'s> {
    pub(super) fn new(server: &'s Server, settings: Settings, program: &'s str) -> Self {
        Self { server, settings, program, timing: false, output: None, last: String::new() }
    }

    /// What stands before the cursor: the block, if answers are not of the newest state.
    pub(super) fn prompt(&self) -> String {
        self.settings.as_of.as_ref().map_or_else(|| "isotherm> ".to_owned(), |as_of| format!("isotherm @{as_of}> "))
    }

    /// Does what `text` asks for. What goes wrong is told, and no reason to end.
    pub(super) async fn take(&mut self, text: &str, editor: &Editor) -> Next {
        let done = if commands::is_command(text) {
            match commands::parse(text) {
                Ok(command) => self.command(command, editor).await,
                Err(words) => Err(anyhow!(words)),
            }
        } else {
            text.trim().clone_into(&mut self.last);
            self.statements(text).await.map(|()| Next::Line)
        };
        done.unwrap_or_else(|error| {
            let _ = exit::report(&error);
            Next::Line
        })
    }

    async fn command(&mut self, command: Command, editor: &Editor) -> anyhow::Result<Next> {
        match command {
            Command::Quit => return Ok(Next::End),
            Command::Edit => return tokio::task::block_in_place(|| self.edit()).map(Next::Edit),
            Command::Relations => say!("{}", catalogue::relations()),
            Command::Columns(name) => say!("{}", catalogue::columns(&name).map_err(|words| anyhow!(words))?),
            Command::Output(path) => self.redirect(path)?,
            Command::Include(path) => self.statements(&script::read(&path)?).await?,
            Command::State => self.show_state().await?,
            Command::Saved => self.show_saved().await?,
            Command::Resume(query_id) => self.resume(query_id).await?,
            Command::History => show_history(editor),
            Command::Help => HELP.iter().for_each(|(typed, does)| say!("{typed:<28} {does}")),
            setting => self.set(setting),
        }
        Ok(Next::Line)
    }

    /// Changes or shows what later queries are asked with.
    fn set(&mut self, command: Command) {
        let settings = &mut self.settings;
        match command {
            Command::Expanded if settings.format == Format::Expanded => settings.format = Format::Table,
            Command::Expanded => settings.format = Format::Expanded,
            Command::Format(Some(format)) => settings.format = format,
            Command::Timing => {
                self.timing = !self.timing;
                say!("timing is {}", if self.timing { "on" } else { "off" });
            }
            Command::AsOf(Some(as_of)) => settings.as_of = as_of,
            Command::SetParameter(parameter) => settings.parameters.set(parameter),
            Command::UnsetParameter(name) => {
                let was_set = settings.parameters.remove(&name);
                if !was_set {
                    say!("there is no parameter {name}");
                }
            }
            Command::Parameters => settings.parameters.iter().for_each(|(name, value)| say!("{name} = {value}")),
            Command::Format(None) => say!("answers are written as {}", settings.format.as_str()),
            Command::AsOf(None) => match &settings.as_of {
                Some(as_of) => say!("answers are as of block {as_of}"),
                None => say!("answers are of the newest state"),
            },
            _ => {}
        }
    }

    /// Runs the statements of `text` until one fails.
    async fn statements(&mut self, text: &str) -> anyhow::Result<()> {
        for statement in statements::split(text) {
            let query_id = Uuid::now_v7();
            let began = Instant::now();
            let mut interrupts = Interrupts::listen()?;
            let own = self.settings.for_one_of_many(statement.text);
            let outcome = self.server.ask(statement.text, &own, query_id, &mut interrupts).await?;
            let describe = |fault: &QueryFault| fault::describe(text, statement.offset, fault);
            if !self.end(outcome, query_id, &mut interrupts, describe).await? {
                break;
            }
            if self.timing {
                say!("{} ms as seen from here", began.elapsed().as_millis());
            }
        }
        Ok(())
    }

    async fn resume(&mut self, query_id: Uuid) -> anyhow::Result<()> {
        let mut interrupts = Interrupts::listen()?;
        let outcome = self.server.resume(query_id, self.settings.quiet, &mut interrupts).await?;
        self.end(outcome, query_id, &mut interrupts, |fault| fault::describe("", 0, fault)).await.map(drop)
    }

    /// Tells how a query ended; whether with an answer.
    async fn end(
        &self,
        outcome: Outcome,
        query_id: Uuid,
        interrupts: &mut Interrupts,
        describe: impl Fn(&QueryFault) -> String,
    ) -> anyhow::Result<bool> {
        let answer = match outcome {
            Outcome::Answered(answer) => answer,
            Outcome::Refused(fault) => {
                eprint!("{}", describe(&fault));
                return Ok(false);
            }
            Outcome::Cancelled => {
                eprintln!("isotherm: the query was cancelled");
                return Ok(false);
            }
            Outcome::LeftRunning => {
                eprintln!("isotherm: {}; here, \\resume {query_id} does", left_running(query_id));
                return Ok(false);
            }
        };
        let target = self.output.as_ref().map_or(Target::Screen, |(path, file)| Target::Behind(path, file));
        deliver::deliver(&answer, query_id, &self.settings, target, screen::width(), interrupts).await?;
        Ok(true)
    }

    fn redirect(&mut self, path: Option<PathBuf>) -> anyhow::Result<()> {
        self.output = match path {
            Some(path) => {
                let file = File::create(&path).with_context(|| format!("could not write {}", path.display()))?;
                Some((path, file))
            }
            None => None,
        };
        Ok(())
    }

    /// The last SQL as it comes out of the person's editor.
    fn edit(&self) -> anyhow::Result<String> {
        let mut words = self.program.split_whitespace();
        let program = words.next().context("there is no editor: name one with --editor or EDITOR")?;
        let file = tempfile::Builder::new().prefix("query-").suffix(".sql").tempfile();
        let mut file = file.context("could not make a file for the editor")?;
        file.write_all(self.last.as_bytes()).context("could not write the statement down")?;
        let path: &Path = file.path();
        let ended = Process::new(program).args(words).arg(path).status();
        let ended = ended.with_context(|| format!("could not start the editor {program}"))?;
        if !ended.success() {
            bail!("the editor {program} has failed ({ended}); nothing is changed");
        }
        let text = std::fs::read_to_string(path).context("could not read what the editor has written")?;
        Ok(text.trim().to_owned())
    }

    async fn show_state(&self) -> anyhow::Result<()> {
        let mut interrupts = Interrupts::listen()?;
        let settings = Settings { parameters: Parameters::default(), format: Format::Json, ..self.settings.clone() };
        match self.server.ask(LOOK, &settings, Uuid::now_v7(), &mut interrupts).await? {
            Outcome::Answered(answer) => say!("{}", states(&answer)),
            Outcome::Refused(fault) => eprint!("{}", fault::describe(LOOK, 0, &fault)),
            Outcome::Cancelled | Outcome::LeftRunning => {}
        }
        Ok(())
    }

    async fn show_saved(&self) -> anyhow::Result<()> {
        match self.server.saved().await? {
            Ok(saved) if saved.is_empty() => say!("no query is saved"),
            Ok(saved) => {
                let mut table = output::table(&["name", "statement"], &[]);
                for query in saved {
                    table.add_row([query.name, query.sql]);
                }
                say!("{table}");
            }
            Err(fault) => eprint!("{}", fault::describe("", 0, &fault)),
        }
        Ok(())
    }
}

/// Tips and watermarks as a table.
fn states(answer: &Answer) -> String {
    let mut table = output::table(&["chain", "tip", "tip hash", "watermark"], &["tip", "watermark"]);
    for state in &answer.state {
        let tip = state.tip_number.map_or_else(String::new, |tip| tip.to_string());
        let field = |name| output::cell(state.field(name));
        table.add_row([state.chain.clone(), tip, field("tip_hash"), field("watermark")]);
    }
    table.to_string()
}

fn show_history(editor: &Editor) {
    for (index, text) in editor.history().iter().enumerate() {
        say!("{:>5}  {}", index + 1, text.replace('\n', "\n       "));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::query::reply::tests::answer;

    #[test]
    fn the_state_has_tip_and_watermark_of_every_chain() {
        let text = states(&answer(&json!({ "state": [
            { "chain": "demo", "tip_number": 9, "tip_hash": "0xab", "watermark": 4 },
            { "chain": "empty", "tip_number": null, "tip_hash": null, "watermark": null },
        ] })));
        for part in ["demo", "9", "0xab", "4", "empty"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
