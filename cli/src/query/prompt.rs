//! The prompt of `isotherm query`: statements until `;`, commands that begin with a backslash.
//!
//! Reading a line is [`editor`]'s part, understanding a command [`commands`]', doing it [`session`]'s.

mod catalogue;
mod commands;
mod completion;
mod editor;
mod session;
mod words;

use std::process::ExitCode;

use self::editor::Typed;
use self::session::{Next, Session};
use super::ask::Server;
use super::request::Settings;
use crate::exit;
use crate::home::Home;
use crate::output::say;

/// File in the data folder with what was typed before.
pub(crate) const HISTORY: &str = "query_history";

/// Reads and runs what a person types, until the person has enough. `program` is the person's editor.
///
/// # Errors
/// If there is no terminal.
pub(super) async fn run(server: &Server, settings: Settings, home: &Home, program: &str) -> anyhow::Result<ExitCode> {
    let history = home.base().join(HISTORY);
    let mut editor = editor::editor()?;
    if let Err(error) = editor::recall(&mut editor, &history) {
        exit::warn(&error);
    }
    if !settings.quiet {
        say!("SQL ends with `;`. \\d lists relations, \\? commands, \\q ends.");
    }
    let mut session = Session::new(server, settings, program);
    let mut initial = String::new();
    loop {
        let prompt = session.prompt();
        let typed = tokio::task::block_in_place(|| editor::read(&mut editor, &prompt, &initial))?;
        initial.clear();
        let text = match typed {
            Typed::Text(text) => text,
            Typed::Nothing => continue,
            Typed::End => return Ok(ExitCode::SUCCESS),
        };
        if let Err(error) = editor::remember(&mut editor, &history, &text) {
            exit::warn(&error);
        }
        match session.take(&text, &editor).await {
            Next::Line => {}
            Next::Edit(text) => initial = text,
            Next::End => return Ok(ExitCode::SUCCESS),
        }
    }
}
