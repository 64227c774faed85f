//! A plan as text for people and as JSON for programs. Pure.

use std::fmt::Write as _;

use isotherm_control::pipeline::{ChangeKind, FieldChange, Plan, PlannedTrigger};
use isotherm_control::triggers::CronConfig;
use isotherm_local_stack::provision::Change;
use isotherm_local_stack::schedules::CronStep;
use serde_json::{Value, json};

use crate::args::Output;
use crate::output::say;

/// What applying a file does.
pub(super) struct Report {
    pub(super) org: String,
    pub(super) plan: Plan,
    pub(super) schedules: Vec<ScheduleRow>,
    pub(super) warnings: Vec<String>,
}

/// What becomes of one EventBridge schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScheduleRow {
    /// The trigger's name, or the schedule's if it is no trigger's of the organisation.
    pub(super) of: String,
    pub(super) change: Change,
    /// Expression and time zone.
    pub(super) old: Option<(String, String)>,
    pub(super) new: Option<(String, String)>,
}

impl ScheduleRow {
    /// The schedule of a trigger that has no row yet, and so no schedule.
    pub(super) fn new_trigger(name: &str, cron: &CronConfig) -> Self {
        let new = Some((cron.schedule.clone(), cron.timezone.clone()));
        Self { of: name.to_owned(), change: Change::Created, old: None, new }
    }

    pub(super) fn of(step: &CronStep, trigger: Option<&PlannedTrigger>) -> Self {
        Self {
            of: trigger.map_or_else(|| step.name.clone(), |trigger| trigger.name.clone()),
            change: step.change,
            old: step.old.as_ref().map(|old| (old.expression.clone(), old.timezone.clone())),
            new: step.new.as_ref().map(|new| (new.expression.clone(), new.timezone.clone())),
        }
    }
}

/// What a person should know before applying `plan`. `kind` and `chain` are those of the running stack.
pub(super) fn warnings(plan: &Plan, kind: &str, chain: &str) -> Vec<String> {
    let follower = format!("follow-{chain}");
    let sources = plan.jobs.iter().filter(|job| job.stops_source);
    sources
        .map(|job| {
            let name = &job.name;
            if job.change != ChangeKind::Deactivated {
                return format!("job {name} is a source that runs: it is stopped, and started anew as the file says");
            }
            let mut text = format!("job {name} is a source that runs and is not in the file: it is stopped");
            if *name == follower {
                let _ = write!(
                    text,
                    "; `isotherm {kind}` made it, from a pipeline built in code: to go on following {chain}, \
                     take its job into the file, as in docs/examples"
                );
            }
            text
        })
        .collect()
}

impl Report {
    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.plan.is_empty() && self.schedules.iter().all(|row| row.change == Change::Unchanged)
    }

    /// Prints it; with `failures` of the schedules as JSON, if it was applied.
    pub(super) fn print(&self, output: Output, failures: Option<&[String]>) {
        match output {
            Output::Table => say!("{}", self.text()),
            Output::Json => say!("{:#}", self.json(failures)),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let plan = &self.plan;
        let jobs = plan.jobs.iter().map(|job| ("job", &job.name, job.change, &job.fields));
        let triggers = plan.triggers.iter().map(|trigger| ("trigger", &trigger.name, trigger.change, &trigger.fields));
        for (noun, name, change, fields) in jobs.chain(triggers) {
            let (sign, verb) = words(change);
            let _ = writeln!(text, "{sign} {verb:<10} {noun} {name}");
            fields.iter().for_each(|field| {
                let _ = writeln!(text, "               {}", field_text(field));
            });
        }
        for row in &self.schedules {
            let (sign, verb) = schedule_words(row.change);
            let sides: Vec<String> = row.old.iter().chain(&row.new).map(schedule_text).collect();
            let sides = if row.change == Change::Unchanged { &sides[..1] } else { &sides[..] };
            let _ = writeln!(text, "{sign} {verb:<10} schedule of {}: {}", row.of, sides.join(" → "));
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text + &self.count_line()
    }

    fn count_line(&self) -> String {
        let definitions = |wanted| self.plan.changes().filter(|change| *change == wanted).count();
        let schedules = |wanted| self.schedules.iter().filter(|row| row.change == wanted).count();
        let org = &self.org;
        if self.is_empty() {
            return format!(
                "nothing to do in organisation {org}: {} job(s), {} trigger(s) and {} schedule(s) are as the file says",
                self.plan.jobs.len(),
                self.plan.triggers.len(),
                self.schedules.len()
            );
        }
        format!(
            "organisation {org}: {} to create, {} to change, {} to deactivate, {} left; \
             schedules: {} to create, {} to change, {} to remove, {} left",
            definitions(ChangeKind::Created),
            definitions(ChangeKind::Changed),
            definitions(ChangeKind::Deactivated),
            definitions(ChangeKind::Unchanged),
            schedules(Change::Created),
            schedules(Change::Updated),
            schedules(Change::Removed),
            schedules(Change::Unchanged),
        )
    }

    fn json(&self, failures: Option<&[String]>) -> Value {
        let jobs = self.plan.jobs.iter().map(|job| {
            json!({ "name": job.name, "change": job.change, "fields": job.fields, "stops_source": job.stops_source })
        });
        let triggers = self
            .plan
            .triggers
            .iter()
            .map(|trigger| json!({ "name": trigger.name, "change": trigger.change, "fields": trigger.fields }));
        let side = |side: &Option<(String, String)>| {
            side.as_ref().map(|(schedule, timezone)| json!({ "schedule": schedule, "timezone": timezone }))
        };
        let schedules = self.schedules.iter().map(|row| {
            let (_, verb) = schedule_words(row.change);
            json!({ "of": row.of, "change": verb, "old": side(&row.old), "new": side(&row.new) })
        });
        json!({
            "organisation": self.org,
            "has_changes": !self.is_empty(),
            "jobs": jobs.collect::<Vec<_>>(),
            "triggers": triggers.collect::<Vec<_>>(),
            "schedules": schedules.collect::<Vec<_>>(),
            "warnings": self.warnings,
            "applied": failures.is_some(),
            "failures": failures.unwrap_or_default(),
        })
    }
}

fn words(change: ChangeKind) -> (char, &'static str) {
    match change {
        ChangeKind::Created => ('+', "create"),
        ChangeKind::Changed => ('~', "change"),
        ChangeKind::Unchanged => (' ', "leave"),
        ChangeKind::Deactivated => ('-', "deactivate"),
    }
}

fn schedule_words(change: Change) -> (char, &'static str) {
    match change {
        Change::Created => ('+', "create"),
        Change::Updated => ('~', "change"),
        Change::Unchanged => (' ', "leave"),
        Change::Removed => ('-', "remove"),
    }
}

fn field_text(field: &FieldChange) -> String {
    let side = |side: &Option<Value>| side.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
    format!("{}: {} → {}", field.field, side(&field.old), side(&field.new))
}

fn schedule_text((schedule, timezone): &(String, String)) -> String {
    format!("{schedule} in {timezone}")
}

#[cfg(test)]
mod tests {
    use isotherm_control::pipeline::{self, Stored};

    use super::*;

    fn row(of: &str, change: Change, old: Option<&str>, new: Option<&str>) -> ScheduleRow {
        let side = |side: Option<&str>| side.map(|schedule| (schedule.to_owned(), "UTC".to_owned()));
        ScheduleRow { of: of.to_owned(), change, old: side(old), new: side(new) }
    }

    /// The demo's file planned over nothing, then turned into a bit of everything.
    fn report() -> Report {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/demo-pipeline.yaml");
        let pipeline = pipeline::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
        let mut plan = pipeline::plan(&Stored::default(), &pipeline).unwrap();
        plan.jobs[0].change = ChangeKind::Deactivated;
        plan.jobs[0].stops_source = true;
        plan.jobs[1].change = ChangeKind::Changed;
        plan.jobs[1].fields = vec![
            FieldChange { field: "config.chain".to_owned(), old: Some(json!("a\u{1b}[2J")), new: Some(json!("demo")) },
            FieldChange { field: "run_timeout_seconds".to_owned(), old: None, new: Some(json!(600.0)) },
        ];
        plan.jobs[2].change = ChangeKind::Unchanged;
        let schedules = vec![
            row("heartbeat-every-minute", Change::Created, None, Some("rate(1 minute)")),
            row("hourly", Change::Updated, Some("rate(1 hour)"), Some("rate(2 hours)")),
            row("daily", Change::Unchanged, Some("rate(1 day)"), Some("rate(1 day)")),
            row("trigger-9", Change::Removed, Some("rate(1 day)"), None),
        ];
        let warnings = warnings(&plan, "demo", "demo");
        Report { org: "default".to_owned(), plan, schedules, warnings }
    }

    #[test]
    fn a_plan_reads_line_by_line_and_ends_with_its_counts() {
        let expected = "\
- deactivate job follow-demo
~ change     job compact-demo
               config.chain: \"a\\u001b[2J\" → \"demo\"
               run_timeout_seconds: nothing → 600.0
  leave      job backfill-demo
+ create     job check-demo
+ create     job heartbeat
+ create     trigger compact-when-final
+ create     trigger check-every-day
+ create     trigger heartbeat-every-minute
+ create     schedule of heartbeat-every-minute: rate(1 minute) in UTC
~ change     schedule of hourly: rate(1 hour) in UTC → rate(2 hours) in UTC
  leave      schedule of daily: rate(1 day) in UTC
- remove     schedule of trigger-9: rate(1 day) in UTC
warning: job follow-demo is a source that runs and is not in the file: it is stopped; `isotherm demo` made it, from a \
pipeline built in code: to go on following demo, take its job into the file, as in docs/examples
organisation default: 5 to create, 1 to change, 1 to deactivate, 1 left; schedules: 1 to create, 1 to change, 1 to remove, \
1 left";
        assert_eq!(report().text(), expected);
    }

    #[test]
    fn a_plan_without_changes_says_so_in_one_line_more() {
        let mut report = report();
        report.plan.jobs.iter_mut().for_each(|job| {
            job.change = ChangeKind::Unchanged;
            job.fields.clear();
        });
        report.plan.triggers.iter_mut().for_each(|trigger| trigger.change = ChangeKind::Unchanged);
        report.schedules.retain(|row| row.change == Change::Unchanged);
        assert!(report.is_empty());
        let last =
            "nothing to do in organisation default: 5 job(s), 3 trigger(s) and 1 schedule(s) are as the file says";
        assert_eq!(report.text().lines().last(), Some(last));
        report.schedules.push(row("hourly", Change::Created, None, Some("rate(1 hour)")));
        assert!(!report.is_empty(), "a schedule alone is a change");
    }

    #[test]
    fn json_says_the_same() {
        let planned = report().json(None);
        assert_eq!((&planned["has_changes"], &planned["applied"]), (&json!(true), &json!(false)));
        assert_eq!(planned["jobs"][0]["stops_source"], json!(true));
        assert_eq!(
            planned["jobs"][1]["fields"][1],
            json!({ "field": "run_timeout_seconds", "old": null, "new": 600.0 })
        );
        assert_eq!(planned["schedules"][1]["new"], json!({ "schedule": "rate(2 hours)", "timezone": "UTC" }));
        let applied = report().json(Some(&["schedule trigger-1: no".to_owned()]));
        assert_eq!((&applied["applied"], &applied["failures"][0]), (&json!(true), &json!("schedule trigger-1: no")));
    }
}
