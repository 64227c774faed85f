//! `isotherm alerts apply`: a file of rules against the running stack. All of it is put into effect, or nothing.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use isotherm_alerts::cursors;
use isotherm_alerts::definition::Definition;
use isotherm_alerts::rules as stored;
use isotherm_control::pipeline::Fault;
use isotherm_types::OrgId;
use lambda_api::ApiError;
use lambda_api::rules::{self, Author};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::file::{self, FileRule};
use super::plan::{self, Change, Planned};
use super::{all, connect};
use crate::args::{ApplyAlertsArguments, Output};
use crate::connected::actor;
use crate::home::Home;
use crate::output::say;
use crate::yaml_file;

pub(super) async fn run(home: &Home, arguments: &ApplyAlertsArguments) -> anyhow::Result<ExitCode> {
    let ApplyAlertsArguments { file, offline, plan: only_plan, pause_others, of } = arguments;
    let rules = match file::parse(&yaml_file::read(file, file::MAX_BYTES)?) {
        Ok(rules) => rules,
        Err(faults) => return Ok(refuse(file, &faults)),
    };
    if *offline {
        match of.printed.output {
            Output::Table => say!("{}: no fault; rules: {}", file.display(), rules.len()),
            Output::Json => say!("{:#}", json!({ "rules": rules.len() })),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (mut connected, org) = connect(home, of).await?;
    let before = all(&mut connected, org).await?;
    let wanted: Vec<&Definition> = rules.iter().map(|rule| &rule.definition).collect();
    let planned = plan::plan(&before, &wanted, *pause_others);
    if of.printed.output == Output::Table {
        say!("{}", plan::text(&of.org, &planned));
    }
    // Also for a plan, so that it has the faults that only the stack can know of.
    let mut db_tx = connected.conn.begin().await.context("could not begin a transaction")?;
    let faults = put(&mut db_tx, org, &rules, &planned).await.context("nothing was applied")?;
    if !faults.is_empty() {
        return Ok(refuse(file, &faults));
    }
    if *only_plan {
        db_tx.rollback().await.context("could not end a transaction")?;
    } else {
        db_tx.commit().await.context("nothing was applied")?;
    }
    match of.printed.output {
        Output::Json => say!("{:#}", plan::to_json(&of.org, &planned, !only_plan)),
        Output::Table if !*only_plan && !plan::is_empty(&planned) => say!("applied"),
        Output::Table => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Carries the plan out in the caller's transaction. Returns what is wrong with rules.
async fn put(
    db_tx: &mut PgConnection,
    org: OrgId,
    rules: &[FileRule],
    planned: &[Planned],
) -> anyhow::Result<Vec<Fault>> {
    let actor = actor();
    let mut faults = Vec::new();
    // Before any rule is locked: evaluators, and whoever else saves rules, lock them in this order.
    cursors::hold_all(db_tx, org).await?;
    for Planned { name, change, .. } in planned {
        match change {
            Change::Unchanged => {}
            Change::Paused => {
                let rule = rules::named(db_tx, org, name).await?;
                stored::pause(db_tx, org, rule.rule_id, &actor).await?;
            }
            Change::Created | Change::Changed => {
                let rule = rules.iter().find(|rule| rule.definition.name == *name);
                let rule = rule.context("a rule of the plan is in the file")?;
                match rules::save(db_tx, org, &rule.definition, Author { name: &actor, user: None }).await {
                    Ok(_) => {}
                    Err(ApiError::NotRight { faults: found, .. }) => {
                        faults.extend(found.iter().map(|error| rule.fault(error)));
                    }
                    Err(error) => return Err(anyhow::Error::new(error).context(format!("rule {name}"))),
                }
            }
        }
    }
    Ok(faults)
}

/// Prints each fault.
pub(super) fn refuse(path: &Path, faults: &[Fault]) -> ExitCode {
    for fault in faults {
        yaml_file::print_fault(path, fault.line, fault.column, &fault.message);
    }
    yaml_file::REFUSED
}
