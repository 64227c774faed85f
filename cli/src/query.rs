//! `isotherm query`: SQL, asked of the query Lambda by direct invocation.
//!
//! A question goes as a request ([`request`]) to the function ([`ask`]), its answer ([`reply`]) to the screen or a file
//! ([`deliver`]). Statements come from an argument, a file or standard input ([`script`]), or from a person
//! ([`prompt`]). It judges no SQL itself and never logs any; what it parses ([`lexer`]) it parses to find where a
//! statement ends.

mod as_of;
mod ask;
mod deliver;
mod download;
mod fault;
mod lexer;
mod parameters;
mod prompt;
mod render;
mod reply;
mod request;
mod screen;
mod script;
mod statements;
mod table;
mod target;

pub(crate) use prompt::HISTORY;

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use isotherm_local_stack::LocalAws;
use serde_json::{Value, json};
use uuid::Uuid;

use self::ask::Server;
use self::reply::Reply;
use self::request::Settings;
use crate::args::{Format, QueryArguments};
use crate::connected;
use crate::home::Home;
use crate::machine;
use crate::output::say;

pub(crate) use self::as_of::AsOf;
pub(crate) use self::parameters::Parameter;
pub(crate) use self::reply::Answer;

pub(crate) async fn run(home: &Home, arguments: &QueryArguments) -> anyhow::Result<ExitCode> {
    let settings = Settings::of(arguments);
    settings.parameters.to_json()?;
    let output = arguments.output.as_deref();
    if settings.format == Format::Parquet && output.is_none() {
        bail!("Parquet goes into a file: name one with --output");
    }
    let text = text(arguments)?;
    let wants_prompt = text.is_none() && arguments.resume.is_none() && arguments.cancel.is_none();
    if wants_prompt && output.is_some() {
        bail!("--output takes the answer of a statement, and there is none; in the prompt, \\o FILE does the same");
    }
    let server = Server::new(connected::aws(&home.expect_running()?).await);
    match (text, arguments.resume, arguments.cancel) {
        (Some(text), ..) => script::run(&server, &text, &settings, output).await,
        (None, Some(query_id), _) => script::resume(&server, query_id, &settings, output).await,
        (None, None, Some(query_id)) => cancel(&server, query_id).await,
        (None, None, None) => prompt::run(&server, settings, home, &arguments.editor).await,
    }
}

/// The statements, wherever they are; nothing if a person is to type them, or none are needed.
fn text(arguments: &QueryArguments) -> anyhow::Result<Option<String>> {
    let standard_input = Path::new("-");
    match (&arguments.sql, &arguments.file) {
        (Some(sql), _) if sql != "-" => Ok(Some(sql.clone())),
        (Some(_), _) => script::read(standard_input).map(Some),
        (None, Some(path)) => script::read(path).map(Some),
        (None, None) if arguments.resume.is_some() || arguments.cancel.is_some() => Ok(None),
        (None, None) if std::io::stdin().is_terminal() => Ok(None),
        (None, None) => script::read(standard_input).map(Some),
    }
}

async fn cancel(server: &Server, query_id: Uuid) -> anyhow::Result<ExitCode> {
    match server.cancel(query_id).await? {
        Reply::Refused(fault) if fault.code != reply::CANCELLED => {
            eprint!("{}", fault::describe("", 0, &fault));
            Ok(ExitCode::FAILURE)
        }
        Reply::Refused(_) => {
            say!("query {query_id} is cancelled");
            Ok(ExitCode::SUCCESS)
        }
        Reply::Answered(_) => {
            say!("query {query_id} had ended before");
            Ok(ExitCode::SUCCESS)
        }
        Reply::Pending(state) => {
            say!("query {query_id} is {state}; it ends at its next safe point");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Asks `sql` of the query Lambda and expects rows.
///
/// # Errors
/// If the Lambda cannot be reached, or refuses the statement.
pub(crate) async fn rows(aws: &LocalAws, sql: &str) -> anyhow::Result<Answer> {
    answer(aws, &json!({ "sql": sql, "format": "json", "timeout_seconds": 30 })).await
}

/// Asks `request` of the query Lambda and expects rows, all of them.
///
/// # Errors
/// If the Lambda cannot be reached, refuses the statement, or answers more rows than come with an answer.
pub(crate) async fn all_rows(aws: &LocalAws, request: &Value) -> anyhow::Result<Answer> {
    let answer = answer(aws, request).await?;
    if answer.truncated || answer.result.is_some() {
        bail!("the answer has more rows than come at once; let the statement select less");
    }
    Ok(answer)
}

async fn answer(aws: &LocalAws, request: &Value) -> anyhow::Result<Answer> {
    match Reply::parse(&machine::invoke(aws, "query", request).await?)? {
        Reply::Answered(answer) => Ok(*answer),
        Reply::Refused(fault) => bail!("the query was refused ({}): {}", fault.code, fault.message),
        Reply::Pending(state) => bail!("the query was not answered at once: it is {state}"),
    }
}
