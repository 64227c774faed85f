//! The questions that a query asks its sandbox, in their order: open, parse, plan, prepare.
//!
//! One function a message. Each fails with what the sandbox says, or because its answer is none.

use isotherm_types::Dataset;
use isotherm_types::sandbox::{Failure, Limits, Part, Request, Response, Source};

use crate::cold_files::SignedFiles;
use crate::error::QueryError;
use crate::gate::{CheckedTree, NamedRelations};
use crate::literals::Rewritten;
use crate::plan::{self, Needs, Read};
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

/// Asks for the plan. Where the tree still names the clock, the plan is only used to find errors: DuckDB folds
/// `localtime` to a constant when it plans and to a later one when it runs, so a filter of the first says nothing
/// about the second.
pub(crate) async fn plan(sandbox: &mut SandboxProcess, tree: &CheckedTree) -> Step<Vec<Read>> {
    let relations = tree.relations().keys().map(RelationName::describe).collect();
    match sandbox.ask(&Request::Plan { tree: tree.text().to_owned(), relations }).await? {
        Response::Planned { .. } if tree.reads_the_clock() => Ok(plan::everything(tree.relations().keys())),
        Response::Planned { scans } => Ok(plan::reads(&scans)),
        _ => Err(wrong_answer("plan")),
    }
}

/// Has the relations made.
pub(crate) async fn prepare(
    sandbox: &mut SandboxProcess,
    relations: &NamedRelations,
    scope: &Scope,
    needs: &Needs,
    files: &SignedFiles,
) -> Step<()> {
    let sources = relations.keys().map(|relation| Source {
        relation: relation.describe(),
        parts: scope.behind(relation).map(|chain| part(chain, relation.dataset, needs, files)).collect(),
    });
    match sandbox.ask(&Request::Prepare { sources: sources.collect() }).await? {
        Response::Prepared {} => Ok(()),
        _ => Err(wrong_answer("prepare")),
    }
}

/// What nobody reads has a table with one column and no rows.
fn part(chain: &ChainScope, dataset: Dataset, needs: &Needs, files: &SignedFiles) -> Part {
    let columns = needs.get(&(chain.id(), dataset)).map_or(&["block_number"][..], |need| need.columns.as_slice());
    Part {
        chain_id: chain.id().0,
        hot_table: hot_table(chain.id(), dataset),
        hot_columns: columns.iter().map(|&name| name.to_owned()).collect(),
        cold: files.groups(chain.id(), dataset),
    }
}

fn wrong_answer(question: &str) -> StepError {
    StepError::Broken(QueryError::SandboxProtocol { message: format!("its answer to {question} is none") })
}
