//! Lines that begin with a backslash.

use std::path::PathBuf;

use clap::ValueEnum as _;
use uuid::Uuid;

use crate::args::Format;
use crate::query::as_of::AsOf;
use crate::query::parameters::Parameter;

/// Each command as it is typed, and what it does.
pub(super) const HELP: &[(&str, &str)] = &[
    ("\\d", "relations"),
    ("\\d NAME", "columns of a relation, with types and what they hold"),
    ("\\x", "a line a value, or tables again"),
    ("\\format table|expanded|csv|json", "how answers are written"),
    ("\\timing", "the time of each query as it is seen from here, or not"),
    ("\\as_of BLOCK|off", "state that answers are of: a number, 0x and a hash, CHAIN:NUMBER; off: the newest"),
    ("\\param [NAME [VALUE]]", "parameters: all of them; without VALUE takes one away"),
    ("\\o [FILE]", "answers go to FILE; without FILE to the screen again"),
    ("\\i FILE", "runs the statements of FILE"),
    ("\\e", "the last statement in an editor, and back to be run"),
    ("\\state", "chains, tips and watermarks that a query would see now"),
    ("\\saved", "saved queries"),
    ("\\resume ID", "waits for a query that runs on its own"),
    ("\\history", "what was typed before"),
    ("\\?", "this list"),
    ("\\q", "ends; so does Ctrl-D"),
];

/// A command and what it is given.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    Relations,
    Columns(String),
    Expanded,
    Format(Option<Format>),
    Timing,
    /// To say it, to change it, or back to the newest state.
    AsOf(Option<Option<AsOf>>),
    Parameters,
    SetParameter(Parameter),
    UnsetParameter(String),
    Output(Option<PathBuf>),
    Include(PathBuf),
    Edit,
    State,
    Saved,
    Resume(Uuid),
    History,
    Help,
    Quit,
}

/// Whether `line` is a command and no SQL.
pub(super) fn is_command(line: &str) -> bool {
    line.trim_start().starts_with('\\')
}

/// What `line` asks for. A `;` at the end of a command does no harm.
///
/// # Errors
/// A sentence, if it is no command or its arguments are not understood.
pub(super) fn parse(line: &str) -> Result<Command, String> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let given = (!rest.is_empty()).then_some(rest);
    match (name, given) {
        ("\\d", None) => Ok(Command::Relations),
        ("\\d", Some(relation)) => Ok(Command::Columns(relation.to_owned())),
        ("\\format", None) => Ok(Command::Format(None)),
        ("\\format", Some(word)) => format(word).map(|format| Command::Format(Some(format))),
        ("\\as_of", None) => Ok(Command::AsOf(None)),
        ("\\as_of", Some("off")) => Ok(Command::AsOf(Some(None))),
        ("\\as_of", Some(block)) => Ok(Command::AsOf(Some(Some(block.parse()?)))),
        ("\\param", None) => Ok(Command::Parameters),
        ("\\param", Some(rest)) => match rest.split_once(char::is_whitespace) {
            Some((name, value)) => Parameter::new(name, value.trim_start()).map(Command::SetParameter),
            None => Ok(Command::UnsetParameter(rest.to_owned())),
        },
        ("\\o", path) => Ok(Command::Output(path.map(PathBuf::from))),
        ("\\i", Some(path)) => Ok(Command::Include(PathBuf::from(path))),
        ("\\i", None) => Err("\\i needs the name of a file".to_owned()),
        ("\\resume", Some(id)) => {
            id.parse().map(Command::Resume).map_err(|_| format!("{id:?} is no id of a query; it is a UUID"))
        }
        ("\\resume", None) => Err("\\resume needs the id of a query".to_owned()),
        (name, None) => bare(name),
        (name, Some(_)) => match bare(name) {
            Ok(_) => Err(format!("{name} takes nothing behind it")),
            Err(unknown) => Err(unknown),
        },
    }
}

/// Commands that take no argument.
fn bare(name: &str) -> Result<Command, String> {
    match name {
        "\\x" => Ok(Command::Expanded),
        "\\timing" => Ok(Command::Timing),
        "\\e" => Ok(Command::Edit),
        "\\state" => Ok(Command::State),
        "\\saved" => Ok(Command::Saved),
        "\\history" => Ok(Command::History),
        "\\?" => Ok(Command::Help),
        "\\q" => Ok(Command::Quit),
        _ => Err(format!("there is no command {name}; \\? lists them")),
    }
}

fn format(word: &str) -> Result<Format, String> {
    match Format::from_str(word, true) {
        Ok(Format::Parquet) => Err("Parquet goes into a file: isotherm query --format parquet -o FILE".to_owned()),
        Ok(format) => Ok(format),
        Err(_) => Err(format!("there is no format {word:?}; write table, expanded, csv or json")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_command_is_understood() {
        let id = Uuid::nil();
        let table = [
            ("\\d", Command::Relations),
            (" \\d  logs ;", Command::Columns("logs".to_owned())),
            ("\\x", Command::Expanded),
            ("\\format", Command::Format(None)),
            ("\\format CSV", Command::Format(Some(Format::Csv))),
            ("\\timing", Command::Timing),
            ("\\as_of", Command::AsOf(None)),
            ("\\as_of off", Command::AsOf(Some(None))),
            ("\\as_of demo:7", Command::AsOf(Some(Some("demo:7".parse().unwrap())))),
            ("\\param", Command::Parameters),
            ("\\param a", Command::UnsetParameter("a".to_owned())),
            ("\\param a  two words", Command::SetParameter(Parameter::new("a", "two words").unwrap())),
            ("\\o", Command::Output(None)),
            ("\\o my file.csv", Command::Output(Some(PathBuf::from("my file.csv")))),
            ("\\i x.sql", Command::Include(PathBuf::from("x.sql"))),
            ("\\e", Command::Edit),
            ("\\state;", Command::State),
            ("\\saved", Command::Saved),
            ("\\resume 00000000-0000-0000-0000-000000000000", Command::Resume(id)),
            ("\\history", Command::History),
            ("\\?", Command::Help),
            ("\\q", Command::Quit),
        ];
        for (line, command) in table {
            assert!(is_command(line));
            assert_eq!(parse(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let table = [
            ("\\nope", "\\? lists them"),
            ("\\nope x", "\\? lists them"),
            ("\\", "\\? lists them"),
            ("\\x on", "takes nothing"),
            ("\\format xml", "write table"),
            ("\\format parquet", "-o FILE"),
            ("\\as_of yesterday", "CHAIN:NUMBER"),
            ("\\param 1a 5", "no name"),
            ("\\i", "name of a file"),
            ("\\resume", "needs the id"),
            ("\\resume 7", "UUID"),
        ];
        for (line, part) in table {
            let error = parse(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn the_list_of_commands_has_no_other() {
        for (typed, _) in HELP {
            let name = typed.split(' ').next().unwrap();
            let error = parse(name).err().unwrap_or_default();
            assert!(!error.contains("no command"), "{typed}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line in "\\\\(d|format|as_of|param|o|i|resume|x)?[ ;\\PC]{0,20}") {
            let _ = parse(&line);
        }
    }
}
