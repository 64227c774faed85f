//! The questions that a query asks its sandbox, in their order: open, parse, plan, prepare.
//!
//! One function a message. Each fails with what the sandbox says, or because its answer is none.

use isotherm_types::Dataset;
use isotherm_types::sandbox::{Failure, Limits, Part, Request, Response, Source};

use crate::cold_files::LentFiles;
use crate::error::QueryError;
use crate::gate::CheckedTree;
use crate::literals::Rewritten;
use crate::plan::{self, Needs, Read};
use crate::platform_rows::{self, PlatformNeeds};
use crate::platform_tables::PlatformTable;
use crate::relation::{RelationName, hot_table};
use crate::sandbox_process::{SandboxProcess, Step, StepError};
use crate::scope::{ChainScope, Scope};

/// Has the process limit itself.
pub(crate) async fn open(sandbox: &mut SandboxProcess, limits: Limits) -> Step<()> {
    match sandbox.ask(&Request::Open(limits)).await? {
        Response::Opened { .. } => Ok(()),
        _ => Err(wrong_answer("open")),
    }
}

/// Asks for the tree; the place of a syntax error is moved to the user's own text.
pub(crate) async fn parse(sandbox: &mut SandboxProcess, statement: &Rewritten<'_>) -> Step<String> {
    match sandbox.ask(&Request::Parse { sql: statement.text().to_owned() }).await {
        Ok(Response::Parsed { tree }) => Ok(tree),
        Ok(_) => Err(wrong_answer("parse")),
        Err(StepError::Failure(failure)) => {
            let position = failure.position.map(|position| statement.original_position(position));
            Err(StepError::Failure(Failure { position, ..failure }))
        }
        Err(error) => Err(error),
    }
}

/// What a plan says of what is read.
pub(crate) struct Planned {
    /// Of chains.
    pub(crate) reads: Vec<Read>,
    /// Of the platform's own tables.
    pub(crate) platform: PlatformNeeds,
}

/// Asks for the plan. Where the tree still names the clock, the plan is only used to find errors: DuckDB folds
/// `localtime` to a constant when it plans and to a later one when it runs, so a filter of the first says nothing
/// about the second.
pub(crate) async fn plan(sandbox: &mut SandboxProcess, tree: &CheckedTree) -> Step<Planned> {
    let of_chains = tree.relations().keys().map(RelationName::describe);
    let relations = of_chains.chain(tree.tables().keys().map(|table| table.describe())).collect();
    match sandbox.ask(&Request::Plan { tree: tree.text().to_owned(), relations }).await? {
        Response::Planned { .. } if tree.reads_the_clock() => Ok(Planned {
            reads: plan::everything(tree.relations().keys()),
            platform: platform_rows::everything(tree.tables()),
        }),
        Response::Planned { scans } => {
            Ok(Planned { reads: plan::reads(&scans), platform: platform_rows::needs(&scans) })
        }
        _ => Err(wrong_answer("plan")),
    }
}

/// Has the relations made.
pub(crate) async fn prepare(
    sandbox: &mut SandboxProcess,
    tree: &CheckedTree,
    scope: &Scope,
    needs: &Needs,
    files: &LentFiles,
    platform: &PlatformNeeds,
) -> Step<()> {
    let of_chains = tree.relations().keys().map(|relation| Source {
        relation: relation.describe(),
        parts: scope.behind(relation).map(|chain| part(chain, relation.dataset, needs, files)).collect(),
    });
    let of_platform = tree
        .tables()
        .keys()
        .map(|table| Source { relation: table.describe(), parts: vec![part_of_platform(table, platform)] });
    let sources = of_chains.chain(of_platform);
    match sandbox.ask(&Request::Prepare { sources: sources.collect() }).await? {
        Response::Prepared {} => Ok(()),
        _ => Err(wrong_answer("prepare")),
    }
}

/// What nobody reads has a table with one column and no rows.
fn part(chain: &ChainScope, dataset: Dataset, needs: &Needs, files: &LentFiles) -> Part {
    let columns = needs.get(&(chain.id(), dataset)).map_or(&["block_number"][..], |need| need.columns.as_slice());
    Part {
        chain_id: Some(chain.id().0),
        hot_table: hot_table(chain.id(), dataset),
        hot_columns: columns.iter().map(|&name| name.to_owned()).collect(),
        cold: files.groups(chain.id(), dataset),
    }
}

/// The one part of a table of the platform's own; likewise.
fn part_of_platform(table: &PlatformTable, platform: &PlatformNeeds) -> Part {
    let first = &table.columns[..1];
    let columns: Vec<&str> = match platform.get(table) {
        Some(need) => need.columns.iter().map(|column| column.name).collect(),
        None => first.iter().map(|column| column.name).collect(),
    };
    Part {
        chain_id: None,
        hot_table: table.rows_table(),
        hot_columns: columns.into_iter().map(str::to_owned).collect(),
        cold: vec![],
    }
}

fn wrong_answer(question: &str) -> StepError {
    StepError::Broken(QueryError::SandboxProtocol { message: format!("its answer to {question} is none") })
}
