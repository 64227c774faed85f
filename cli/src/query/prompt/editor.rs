//! The line editor: when a text is whole, what Tab offers, colours, and what was typed before.

use std::borrow::Cow;
use std::path::Path;

use anyhow::Context as _;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Helper};

use super::commands;
use super::completion::{self, Completion};
use super::words;
use crate::query::lexer::{self, Kind};
use crate::query::statements;

/// Entries that are kept.
const MAX_ENTRIES: usize = 1_000;
/// Longest text that is kept as an entry, so that the file stays below 8 MiB.
const MAX_ENTRY_BYTES: usize = 8 * 1024;

const GREY: &str = "\x1b[90m";
const RESET: &str = "\x1b[0m";

/// The editor of the prompt.
pub(super) type Editor = rustyline::Editor<SqlHelper, DefaultHistory>;

/// What a person typed at the prompt.
pub(super) enum Typed {
    Text(String),
    /// Ctrl-C: the line is cleared.
    Nothing,
    /// Ctrl-D.
    End,
}

/// What the editor knows of SQL.
pub(super) struct SqlHelper {
    history: HistoryHinter,
    files: FilenameCompleter,
}

/// An editor that remembers nothing yet.
///
/// # Errors
/// If there is no terminal to edit on.
pub(super) fn editor() -> anyhow::Result<Editor> {
    let config = Config::builder()
        .max_history_size(MAX_ENTRIES)
        .and_then(|builder| builder.history_ignore_dups(true))
        .context("could not set up the history")?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .build();
    let mut editor = Editor::with_config(config).context("could not set up the terminal")?;
    editor.set_helper(Some(SqlHelper { history: HistoryHinter::new(), files: FilenameCompleter::new() }));
    Ok(editor)
}

/// Has `editor` remember what `file` holds, which need not be there.
///
/// # Errors
/// If it is there and cannot be read.
pub(super) fn recall(editor: &mut Editor, file: &Path) -> anyhow::Result<()> {
    if !file.exists() {
        return Ok(());
    }
    editor.load_history(file).with_context(|| format!("could not read {}", file.display()))
}

/// Waits for a whole text; `initial` stands on the line already.
///
/// # Errors
/// If the terminal is gone.
pub(super) fn read(editor: &mut Editor, prompt: &str, initial: &str) -> anyhow::Result<Typed> {
    match editor.readline_with_initial(prompt, (initial, "")) {
        Ok(text) => Ok(Typed::Text(text)),
        Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => Ok(Typed::Nothing),
        Err(ReadlineError::Eof) => Ok(Typed::End),
        Err(error) => Err(error).context("could not read from the terminal"),
    }
}

/// Keeps `text` among what was typed, in `file` as well, which only its owner may read.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn remember(editor: &mut Editor, file: &Path, text: &str) -> anyhow::Result<()> {
    if text.trim().is_empty() || text.len() > MAX_ENTRY_BYTES {
        return Ok(());
    }
    let kept = editor.add_history_entry(text.trim_end()).and_then(|_| editor.append_history(file));
    kept.with_context(|| format!("could not write {}", file.display()))
}

impl Helper for SqlHelper {}

impl Completer for SqlHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, ctx: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        match completion::complete(line, pos) {
            Completion::File => self.files.complete(line, pos, ctx),
            Completion::Words(start, words) => {
                let pairs = words.into_iter().map(|word| Pair { display: word.clone(), replacement: word });
                Ok((start, pairs.collect()))
            }
        }
    }
}

impl Hinter for SqlHelper {
    type Hint = String;

    /// The rest of the last text that began like this; a line only, since a hint is shown behind the cursor.
    fn hint(&self, line: &str, pos: usize, ctx: &Context<'_>) -> Option<String> {
        self.history.hint(line, pos, ctx).filter(|hint| !hint.contains('\n'))
    }
}

impl Highlighter for SqlHelper {
    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        if commands::is_command(line) { Cow::Borrowed(line) } else { Cow::Owned(coloured(line)) }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("{GREY}{hint}{RESET}"))
    }

    fn highlight_char(&self, _line: &str, _pos: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

impl Validator for SqlHelper {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_whole(ctx.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Whether Enter runs `text`, rather than begins another line of it.
fn is_whole(text: &str) -> bool {
    commands::is_command(text) || statements::is_complete(text)
}

/// `line` with its keywords, strings, numbers and comments in colours; nothing else is changed.
fn coloured(line: &str) -> String {
    let mut coloured = String::with_capacity(line.len() * 2);
    for token in lexer::tokens(line) {
        let text = &line[token.range()];
        let colour = match token.kind {
            Kind::Word if words::is_keyword(text) => "\x1b[1;34m",
            Kind::Text => "\x1b[32m",
            Kind::Number => "\x1b[36m",
            Kind::Comment => GREY,
            Kind::Word | Kind::QuotedName | Kind::Space | Kind::Semicolon | Kind::Sign => {
                coloured.push_str(text);
                continue;
            }
        };
        coloured.extend([colour, text, RESET]);
    }
    coloured
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn enter_runs_what_is_whole() {
        for whole in ["", "\\d", "  \\format csv", "select 1;", "select ';';", "-- so"] {
            assert!(is_whole(whole), "{whole:?}");
        }
        for open in ["select 1", "select ';", "select 1; /* \\d"] {
            assert!(!is_whole(open), "{open:?}");
        }
    }

    #[test]
    fn what_was_typed_is_kept_for_its_owner_only_and_not_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("query_history");
        let recalled = || {
            let mut editor = editor().unwrap();
            recall(&mut editor, &file).unwrap();
            editor
        };
        let mut first = recalled();
        let long = "x".repeat(MAX_ENTRY_BYTES + 1);
        for text in ["select 1;", "select 1;", "  ", " select 'not kept';", "select\n  '\\';", &long] {
            remember(&mut first, &file, text).unwrap();
        }
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let again = recalled();
        let entries: Vec<&str> = again.history().iter().map(String::as_str).collect();
        assert_eq!(entries, ["select 1;", "select\n  '\\';"]);
        for number in 0..=MAX_ENTRIES {
            remember(&mut first, &file, &format!("select {number};")).unwrap();
        }
        assert_eq!(recalled().history().iter().count(), MAX_ENTRIES);
    }

    proptest! {
        #[test]
        fn colours_change_no_letter(line in "[a-z0-9 '\"$;/*-]{0,30}|(select |from |'x' |-- |1 ){0,6}") {
            let bare = ["\x1b[1;34m", "\x1b[32m", "\x1b[36m", GREY, RESET]
                .into_iter()
                .fold(coloured(&line), |text, code| text.replace(code, ""));
            prop_assert_eq!(bare, line);
        }
    }
}
