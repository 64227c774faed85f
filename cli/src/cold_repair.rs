//! `isotherm cold repair`: tasks that restore what checks have found damaged or gone.
//!
//! It reads findings and makes tasks. What is to be restored, and whether it can be, the task finds out for itself.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use isotherm_cold_store::catalog::checks;
use isotherm_control::jobs;
use isotherm_control::tasks::{self, Created, NewTask};
use isotherm_types::TaskId;
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::args::ColdRepairArguments;
use crate::connected::{Connected, actor};
use crate::home::Home;
use crate::output;
use crate::output::{say, table};

mod plan;

use plan::{BrokenObject, IngestJob, Remedy};

/// What became of one object.
struct Treated {
    object: BrokenObject,
    treatment: Treatment,
}

/// What was done about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Treatment {
    /// Nothing: it was only looked at, and could be restored by this job.
    Repairable { job: String },
    /// A task was made.
    Queued { job: String, task_id: TaskId },
    /// A task was made for this finding before.
    Already { job: String, task_id: TaskId },
    /// Nothing, for this reason.
    Refused { reason: String },
}

pub(crate) async fn run(home: &Home, wanted: &ColdRepairArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    let known = jobs::list(&mut connected.conn, connected.org_id).await.context("could not read the jobs")?;
    let (chain_id, jobs) = plan::of_chain(plan::ingest_jobs(&known), &wanted.chain)?;
    let open = checks::open(&mut connected.conn, chain_id).await.context("could not read what checks have found")?;
    let mut objects = plan::broken_objects(&open);
    if let Some(key) = &wanted.object {
        objects.retain(|object| object.key == *key);
        anyhow::ensure!(!objects.is_empty(), "no finding on {key} is open: run the chain's integrity check first");
    }
    let is_asked_for = wanted.all || wanted.object.is_some();
    let mut treated = Vec::with_capacity(objects.len());
    for object in objects {
        let treatment = treat(&mut connected.conn, &object, &jobs, is_asked_for).await?;
        treated.push(Treated { object, treatment });
    }
    if treated.iter().any(|one| matches!(one.treatment, Treatment::Queued { .. })) {
        connected.sweep().await;
    }
    let json = json!({ "chain": wanted.chain, "chain_id": chain_id, "objects": to_json(&treated) });
    output::show(wanted.printed.output, &json, || print(&wanted.chain, &treated))?;
    let is_any_refused = treated.iter().any(|one| matches!(one.treatment, Treatment::Refused { .. }));
    Ok(if is_any_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn treat(
    conn: &mut PgConnection,
    object: &BrokenObject,
    jobs: &[IngestJob],
    is_asked_for: bool,
) -> anyhow::Result<Treatment> {
    let (job, input) = match plan::remedy(object, jobs) {
        Remedy::Task { job, input } => (job, input),
        Remedy::ByHand { reason } => return Ok(Treatment::Refused { reason }),
    };
    let name = job.name.clone();
    if !is_asked_for {
        return Ok(Treatment::Repairable { job: name });
    }
    // One task a finding: what is damaged again is another one.
    let idempotency_key = format!("repair-{}", object.finding_id);
    let task = NewTask { job_id: job.id, idempotency_key, input, delay: Duration::ZERO };
    let created = tasks::create(conn, &task, &actor()).await;
    Ok(match created.with_context(|| format!("could not make a task for {}", object.key))? {
        Created::New(task_id) => Treatment::Queued { job: name, task_id },
        Created::Already(task_id) => Treatment::Already { job: name, task_id },
        Created::SourceIsLive(task_id) => {
            Treatment::Refused { reason: format!("job {name} is a source, whose {task_id} is alive; use another job") }
        }
    })
}

/// Stable word, and a sentence.
fn words(treatment: &Treatment) -> (&'static str, String) {
    match treatment {
        Treatment::Repairable { job } => ("repairable", format!("job {job} can restore it")),
        Treatment::Queued { job, task_id } => ("queued", format!("{task_id} of job {job} restores it")),
        Treatment::Already { job, task_id } => (
            "already",
            format!(
                "{task_id} of job {job} was made for this before: if it is completed, run the integrity check again; \
                 if it has failed, `isotherm tasks retry {}`",
                task_id.0
            ),
        ),
        Treatment::Refused { reason } => ("refused", reason.clone()),
    }
}

fn print(chain: &str, treated: &[Treated]) {
    if treated.is_empty() {
        say!("chain {chain}: no finding of a check is open");
        return;
    }
    let mut shown = table(&["object", "faults", "what is done"], &[]);
    for Treated { object, treatment } in treated {
        shown.add_row([object.key.clone(), object.faults.join(", "), words(treatment).1]);
    }
    say!("{shown}");
    if treated.iter().any(|one| matches!(one.treatment, Treatment::Repairable { .. })) {
        say!("`isotherm cold repair --chain {chain} --all` makes a task for each that can be restored");
    }
    if treated.iter().any(|one| matches!(one.treatment, Treatment::Queued { .. })) {
        say!("`isotherm tasks show N` says how it went; the next integrity check resolves the findings");
    }
}

fn to_json(treated: &[Treated]) -> Value {
    let each = |Treated { object, treatment }: &Treated| {
        let (word, message) = words(treatment);
        let (job, task_id) = match treatment {
            Treatment::Repairable { job } => (Some(job), None),
            Treatment::Queued { job, task_id } | Treatment::Already { job, task_id } => (Some(job), Some(task_id.0)),
            Treatment::Refused { .. } => (None, None),
        };
        json!({
            "object_key": object.key, "faults": object.faults, "outcome": word, "message": message, "job": job,
            "task_id": task_id,
        })
    };
    treated.iter().map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn repairs_for_programs_are_the_golden_file() {
        let treatments = [
            Treatment::Repairable { job: "backfill".to_owned() },
            Treatment::Queued { job: "backfill".to_owned(), task_id: TaskId(7) },
            Treatment::Already { job: "backfill".to_owned(), task_id: TaskId(6) },
            Treatment::Refused { reason: "a manifest is not made again".to_owned() },
        ];
        let treated = treatments.map(|treatment| {
            let (key, faults) = ("cold/demo/a".to_owned(), vec!["size_differs".to_owned()]);
            Treated { object: BrokenObject { finding_id: 1, key, faults }, treatment }
        });
        golden::check("cold_repair", &to_json(&treated));
    }
}
