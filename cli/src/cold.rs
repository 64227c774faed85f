//! `isotherm cold`, and of it `gc`: objects of cold storage that nothing names, shown or removed.
//!
//! What is garbage, `isotherm_cold_store::garbage` says. Before anything is removed the jobs that write cold storage
//! have to stand still: a task could be about to name a file that lies there from an earlier attempt.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use isotherm_access::orgs;
use isotherm_cold_store::garbage::{self, Fate, Garbage};
use isotherm_cold_store::objects::ListedObject;
use isotherm_cold_store::{ChainName, ObjectStore};
use isotherm_control::jobs::{self, DEFAULT_ORG, JobOverview};
use isotherm_control::task::TaskState;
use isotherm_local_stack::names;
use isotherm_types::OrgId;
use serde_json::{Value, json};

use crate::args::{ColdArguments, ColdCommand, GcArguments};
use crate::connected::Connected;
use crate::home::Home;
use crate::machine::BUCKET_SUFFIX;
use crate::output;
use crate::output::{grouped, maybe_instant, say, span, table};
use crate::stored_chains;
use crate::{backfill, cold_repair};

/// The operators that write objects of cold storage.
const WRITERS: [&str; 2] = ["parquet_compact", backfill::OPERATOR];

/// What was found, and what became of it.
struct Outcome {
    chain: String,
    bucket: String,
    garbage: Garbage,
    older_than: Duration,
    /// What became of each orphan; empty if nothing was to be deleted.
    fates: Vec<Fate>,
    is_delete: bool,
}

pub(crate) async fn run(home: &Home, arguments: &ColdArguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        ColdCommand::Gc(wanted) => collect_garbage(home, wanted).await,
        ColdCommand::Repair(wanted) => cold_repair::run(home, wanted).await,
    }
}

async fn collect_garbage(home: &Home, wanted: &GcArguments) -> anyhow::Result<ExitCode> {
    let mut connected = Connected::to(home).await?;
    let outcome = collect(&mut connected, wanted).await?;
    output::show(wanted.printed.output, &outcome.to_json(), || outcome.print())?;
    Ok(ExitCode::SUCCESS)
}

async fn collect(connected: &mut Connected, wanted: &GcArguments) -> anyhow::Result<Outcome> {
    let chain = stored_chains::find(connected, Some(&wanted.chain)).await?.pop();
    let chain = chain.with_context(|| format!("there is no chain called {:?}", wanted.chain))?;
    let name = ChainName::new(&chain.name).context("the chain cannot have objects")?;
    if wanted.delete {
        check_still(&all_jobs(connected).await.context("could not read the jobs")?, name.as_str())?;
    }
    let objects = ObjectStore::new(connected.aws().await.s3(), names::bucket("cold", BUCKET_SUFFIX));
    let conn = &mut connected.conn;
    let found = garbage::orphans(conn, &objects, chain.chain_id, &name).await;
    let garbage = found.context("could not look for objects that nothing names")?;
    let mut fates = Vec::new();
    if wanted.delete {
        for orphan in &garbage.orphans {
            let fate = garbage::delete(conn, &objects, &garbage, orphan, wanted.older_than).await;
            fates.push(fate.with_context(|| format!("could not delete {}", orphan.key))?);
        }
    }
    Ok(Outcome {
        chain: chain.name,
        bucket: objects.bucket().to_owned(),
        garbage,
        older_than: wanted.older_than,
        fates,
        is_delete: wanted.delete,
    })
}

/// The jobs of every organisation, with its name: they all write to the one cold storage.
async fn all_jobs(connected: &mut Connected) -> anyhow::Result<Vec<(String, JobOverview)>> {
    let mut all = Vec::new();
    for org in orgs::list(&mut connected.conn).await? {
        let jobs = jobs::overview(&mut connected.conn, OrgId(org.id), None).await?;
        all.extend(jobs.into_iter().map(|overview| (org.name.clone(), overview)));
    }
    Ok(all)
}

/// Checks that no job writes objects of the chain now, or may begin to. Pure.
fn check_still(jobs: &[(String, JobOverview)], chain: &str) -> anyhow::Result<()> {
    let is_writer = |(_, overview): &&(String, JobOverview)| {
        WRITERS.contains(&overview.job.operator.as_str()) && overview.job.config["chain"] == chain
    };
    let mut in_the_way = Vec::new();
    for (org, overview) in jobs.iter().filter(is_writer) {
        let name = &overview.job.name;
        let is_ours = org == DEFAULT_ORG;
        if overview.state() == "active" {
            in_the_way.push(match is_ours {
                true => format!("`isotherm jobs pause {name}`"),
                false => {
                    format!("take {name} out of the jobs of {org} (`isotherm apply --org {org}` of a file without it)")
                }
            });
        }
        if overview.count(TaskState::Running) > 0 {
            in_the_way.push(match is_ours {
                true => format!("wait until no task of {name} runs (`isotherm tasks list --job {name}`)"),
                false => format!("wait until no task of {name} of {org} runs"),
            });
        }
    }
    if in_the_way.is_empty() {
        return Ok(());
    }
    bail!(
        "jobs may write to cold storage of chain {chain} at any moment, and could name a file that is just being \
         deleted: {}; then give the command again, and let them go on after it (`isotherm jobs resume`, or the whole file)",
        in_the_way.join(", ")
    )
}

impl Outcome {
    /// What becomes, or would become, of the orphan at `index`, as a stable word.
    fn word(&self, index: usize, orphan: &ListedObject) -> &'static str {
        match self.fates.get(index) {
            Some(Fate::Deleted) => "deleted",
            Some(Fate::TooYoung) => "too_young",
            Some(Fate::Named) => "named_meanwhile",
            None if self.garbage.is_older_than(orphan, self.older_than) => "would_be_deleted",
            None => "too_young",
        }
    }

    fn print(&self) {
        for line in self.lines() {
            say!("{line}");
        }
    }

    fn lines(&self) -> Vec<String> {
        let Garbage { object_count, orphans, strangers, .. } = &self.garbage;
        let mut lines = Vec::new();
        if !orphans.is_empty() {
            let mut shown = table(&["object", "bytes", "written (UTC)", "what becomes of it"], &["bytes"]);
            for (index, orphan) in orphans.iter().enumerate() {
                let word = self.word(index, orphan).replace('_', " ");
                let (bytes, written) = (grouped(orphan.size_bytes), maybe_instant(orphan.modified_at));
                shown.add_row([orphan.key.clone(), bytes, written, word]);
            }
            lines.push(shown.to_string());
        }
        for stranger in strangers {
            lines.push(format!("{} is no object of cold storage; it is left alone", stranger.key));
        }
        let (chain, bucket, looked_at) = (&self.chain, &self.bucket, grouped(*object_count));
        let count = grouped(orphans.len() as u64);
        lines.push(format!("chain {chain}: of {looked_at} objects in {bucket} nothing names {count}"));
        let due = orphans.iter().filter(|orphan| self.garbage.is_older_than(orphan, self.older_than)).count();
        if !self.is_delete && due > 0 {
            let (due, age) = (grouped(due as u64), span(self.older_than));
            lines.push(format!("nothing was removed; --delete removes the {due} that are older than {age}"));
        }
        lines
    }

    fn to_json(&self) -> Value {
        let orphans: Vec<Value> = self
            .garbage
            .orphans
            .iter()
            .enumerate()
            .map(|(index, orphan)| {
                let mut object = object_json(orphan);
                object["fate"] = json!(self.word(index, orphan));
                object
            })
            .collect();
        let strangers: Vec<Value> = self.garbage.strangers.iter().map(object_json).collect();
        json!({
            "chain": self.chain, "bucket": self.bucket, "object_count": self.garbage.object_count,
            "older_than_seconds": self.older_than.as_secs(), "orphans": orphans, "strangers": strangers,
        })
    }
}

fn object_json(object: &ListedObject) -> Value {
    json!({ "key": object.key, "size_bytes": object.size_bytes, "modified_at": object.modified_at })
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::backfill::made_up_job;
    use crate::golden;

    fn at(time: &str) -> DateTime<Utc> {
        format!("2026-11-26T{time}Z").parse().unwrap()
    }

    fn outcome(fates: Vec<Fate>) -> Outcome {
        let object = |key: &str, time: &str| ListedObject {
            key: format!("cold/demo/logs/{key}"),
            size_bytes: 1_234,
            modified_at: Some(at(time)),
        };
        let garbage = Garbage {
            looked_at: at("12:00:00"),
            object_count: 9,
            orphans: vec![
                object("logs_0000000000_0000000099.parquet", "10:00:00"),
                object("logs_0000000100_0000000199.parquet", "11:59:00"),
                object("logs_0000000200_0000000299.parquet", "09:00:00"),
            ],
            strangers: vec![object("notes.txt", "08:00:00")],
        };
        let is_delete = !fates.is_empty();
        let older_than = Duration::from_secs(3_600);
        Outcome { chain: "demo".to_owned(), bucket: "cold-local".to_owned(), garbage, older_than, fates, is_delete }
    }

    #[test]
    fn garbage_for_programs_is_the_golden_file() {
        let deleted = outcome(vec![Fate::Deleted, Fate::TooYoung, Fate::Named]);
        golden::check("cold_gc", &[outcome(Vec::new()), deleted].iter().map(Outcome::to_json).collect());
    }

    #[test]
    fn people_are_told_what_would_go_and_what_went() {
        let shown = outcome(Vec::new()).lines().join("\n");
        let parts = ["of 9 objects in cold-local nothing names 3", "would be deleted", "too young", "removes the 2"];
        for part in parts {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(shown.contains("notes.txt is no object of cold storage"), "{shown}");
        let deleted = outcome(vec![Fate::Deleted, Fate::TooYoung, Fate::Named]).lines().join("\n");
        assert!(deleted.contains("named meanwhile") && !deleted.contains("--delete"), "{deleted}");
    }

    fn overview(paused: bool, running: u64) -> JobOverview {
        let mut job = made_up_job("backfill", "demo", &[isotherm_types::Dataset::Logs]).job;
        job.paused = paused;
        let tasks = TaskState::ALL.map(|state| (state, if state == TaskState::Running { running } else { 0 }));
        JobOverview { job, tasks, last_end: None, triggers: Vec::new() }
    }

    #[test]
    fn nothing_is_deleted_while_a_job_may_write() {
        let of = |org: &str, overview| vec![(org.to_owned(), overview)];
        check_still(&of("default", overview(true, 0)), "demo").unwrap();
        check_still(&of("default", overview(false, 3)), "another").unwrap();
        let refused =
            |paused, running| check_still(&of("default", overview(paused, running)), "demo").unwrap_err().to_string();
        assert!(refused(false, 0).contains("`isotherm jobs pause backfill`"), "{}", refused(false, 0));
        let running = refused(true, 1);
        assert!(running.contains("wait until no task of backfill runs"), "{running}");
        assert!(!running.contains("jobs pause"), "{running}");

        let others = check_still(&of("others", overview(false, 1)), "demo").unwrap_err().to_string();
        assert!(others.contains("take backfill out of the jobs of others"), "{others}");
        assert!(others.contains("no task of backfill of others runs"), "{others}");
    }
}
