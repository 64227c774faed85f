//! `isotherm query`: one statement, asked of the query Lambda by direct invocation.

use std::process::ExitCode;

use anyhow::{Context, bail};
use isotherm_lab::ministack::REGION;
use isotherm_local_stack::{LocalAws, names};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{Format, QueryArguments};
use crate::home::Home;
use crate::machine::ACCOUNT;
use crate::output::say;
use crate::{machine, output};

/// What the query Lambda answers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Reply {
    Refused { error: QueryFault },
    Answer(Answer),
}

/// Rows, their columns, and the chain state that they were read from.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) columns: Vec<AnswerColumn>,
    pub(crate) rows: Vec<Vec<Value>>,
    row_count: u64,
    #[serde(default)]
    truncated: bool,
    pub(crate) state: Vec<ChainState>,
    duration_ms: u64,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AnswerColumn {
    pub(crate) name: String,
    #[serde(rename = "type")]
    sql_type: String,
}

/// The one state of a chain that an answer was read from.
#[derive(Debug, Deserialize)]
pub(crate) struct ChainState {
    pub(crate) chain: String,
    pub(crate) tip_number: Option<u64>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct QueryFault {
    code: String,
    message: String,
    detail: Option<String>,
    position: Option<u64>,
}

pub(crate) async fn run(home: &Home, arguments: &QueryArguments) -> anyhow::Result<ExitCode> {
    let stack = home.expect_running()?;
    let aws = LocalAws::new(&stack.endpoint_url, REGION, ACCOUNT).await;
    match ask(&aws, &arguments.sql, arguments.timeout_seconds).await? {
        Ok(answer) => {
            print(&answer, arguments.format)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(fault) => {
            eprint!("{}", describe(&arguments.sql, &fault));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Asks `sql` of the query Lambda and expects rows.
///
/// # Errors
/// If the Lambda cannot be reached, or refuses the statement.
pub(crate) async fn rows(aws: &LocalAws, sql: &str) -> anyhow::Result<Answer> {
    match ask(aws, sql, 30).await? {
        Ok(answer) => Ok(answer),
        Err(fault) => bail!("the query was refused ({}): {}", fault.code, fault.message),
    }
}

async fn ask(aws: &LocalAws, sql: &str, timeout_seconds: u64) -> anyhow::Result<Result<Answer, QueryFault>> {
    let function = names::function("query");
    let request = json!({ "sql": sql, "format": "json", "timeout_seconds": timeout_seconds });
    let payload = machine::invoke(aws, "query", &request).await?;
    let reply = serde_json::from_slice(&payload).with_context(|| {
        format!("the answer of {function} is not understood: {}", String::from_utf8_lossy(&payload))
    })?;
    Ok(match reply {
        Reply::Answer(answer) => Ok(answer),
        Reply::Refused { error } => Err(error),
    })
}

fn print(answer: &Answer, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => print_table(answer),
        Format::Csv => print_csv(answer)?,
        Format::Json => {
            let columns: Vec<_> =
                answer.columns.iter().map(|column| json!({ "name": column.name, "type": column.sql_type })).collect();
            let state: Vec<_> = answer.state.iter().map(ChainState::to_json).collect();
            let mut whole = answer.rest.clone();
            for (key, value) in [
                ("columns", json!(columns)),
                ("rows", json!(answer.rows)),
                ("row_count", json!(answer.row_count)),
                ("truncated", json!(answer.truncated)),
                ("state", json!(state)),
                ("duration_ms", json!(answer.duration_ms)),
            ] {
                whole.insert(key.to_owned(), value);
            }
            say!("{}", serde_json::to_string_pretty(&whole).context("could not write JSON")?);
        }
    }
    Ok(())
}

impl ChainState {
    fn to_json(&self) -> Value {
        let mut whole = self.rest.clone();
        whole.insert("chain".to_owned(), json!(self.chain));
        whole.insert("tip_number".to_owned(), json!(self.tip_number));
        Value::Object(whole)
    }
}

fn print_table(answer: &Answer) {
    let headings: Vec<&str> = answer.columns.iter().map(|column| column.name.as_str()).collect();
    let is_number = |column: &&AnswerColumn| !["VARCHAR", "BLOB", "BOOLEAN"].contains(&column.sql_type.as_str());
    let right: Vec<&str> = answer.columns.iter().filter(is_number).map(|column| column.name.as_str()).collect();
    let mut table = output::table(&headings, &right);
    for row in &answer.rows {
        table.add_row(row.iter().map(output::cell));
    }
    say!("{table}");
    let states: Vec<String> = answer
        .state
        .iter()
        .map(|state| match state.tip_number {
            Some(tip) => format!("{} at block {}", state.chain, output::grouped(tip)),
            None => format!("{}, nothing stored yet", state.chain),
        })
        .collect();
    let rows = if answer.row_count == 1 { "row" } else { "rows" };
    let cut = if answer.truncated { ", cut off at the row limit" } else { "" };
    say!("{} {rows}{cut} in {} ms ({})", output::grouped(answer.row_count), answer.duration_ms, states.join("; "));
}

fn print_csv(answer: &Answer) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(std::io::stdout().lock());
    writer.write_record(answer.columns.iter().map(|column| &column.name)).context("could not write CSV")?;
    for row in &answer.rows {
        writer.write_record(row.iter().map(output::cell)).context("could not write CSV")?;
    }
    writer.flush().context("could not write CSV")
}

/// The fault in words, with the statement's line and a mark below the place where that is known.
fn describe(sql: &str, fault: &QueryFault) -> String {
    let mut text = format!("isotherm: {} ({})\n", fault.message, fault.code);
    if let Some(detail) = &fault.detail {
        text.push_str(detail);
        text.push('\n');
    }
    let position = fault.position.and_then(|position| usize::try_from(position).ok());
    if let Some(before) = position.and_then(|position| sql.get(..position)) {
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = sql[line_start..].lines().next().unwrap_or("");
        let column = before[line_start..].chars().count();
        let number = before.matches('\n').count() + 1;
        let label = format!("line {number}: ");
        text.push_str(&format!("{label}{line}\n{}^\n", " ".repeat(label.len() + column)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_marked_below_its_place() {
        let fault = QueryFault {
            code: "query.syntax".to_owned(),
            message: "syntax error at or near \"form\"".to_owned(),
            detail: None,
            position: Some(9),
        };
        let text = describe("select *\nform blocks", &fault);
        assert_eq!(text, "isotherm: syntax error at or near \"form\" (query.syntax)\nline 2: form blocks\n        ^\n");
    }

    #[test]
    fn a_position_outside_the_statement_is_left_out() {
        let fault = QueryFault { code: "x".to_owned(), message: "m".to_owned(), detail: None, position: Some(99) };
        assert_eq!(describe("select 1", &fault), "isotherm: m (x)\n");
    }
}
