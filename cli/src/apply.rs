//! `isotherm plan` and `isotherm apply`: a pipeline file against the running stack.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use isotherm_control::jobs;
use isotherm_control::pipeline::{self, MAX_FILE_BYTES, Pipeline, PipelineError, Plan};
use isotherm_control::triggers::{self, TriggerConfig};
use isotherm_lab::ministack::REGION;
use isotherm_local_stack::LocalAws;
use isotherm_local_stack::schedules::{self, CronSchedule};
use isotherm_types::OrgId;
use serde_json::json;
use sqlx::PgConnection;

use self::report::{Report, ScheduleRow};
use crate::args::{ApplyArguments, Output, PlanArguments};
use crate::home::{Home, RunningStack};
use crate::output::say;
use crate::{connected, figures, machine, yaml_file};

pub(crate) mod configs;
mod report;

/// Exit code of `plan --exit-code` when there is something to change.
const CHANGES: u8 = 2;

pub(crate) async fn plan(home: &Home, arguments: &PlanArguments) -> anyhow::Result<ExitCode> {
    let pipeline = match read(&arguments.file)? {
        Ok(pipeline) => pipeline,
        Err(error) => return Ok(refuse(&arguments.file, &error)),
    };
    if arguments.offline {
        let (jobs, triggers) = (pipeline.jobs.len(), pipeline.triggers.len());
        match arguments.output {
            Output::Table => say!("{}: no fault; jobs: {jobs}, triggers: {triggers}", arguments.file.display()),
            Output::Json => say!("{:#}", json!({ "jobs": jobs, "triggers": triggers })),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut side = Side::connect(home.expect_running()?, &arguments.org).await?;
    let report = side.report(&pipeline).await?;
    report.print(arguments.output, None);
    let has_changes = arguments.exit_code && !report.is_empty();
    Ok(if has_changes { ExitCode::from(CHANGES) } else { ExitCode::SUCCESS })
}

pub(crate) async fn apply(home: &Home, arguments: &ApplyArguments) -> anyhow::Result<ExitCode> {
    let pipeline = match read(&arguments.file)? {
        Ok(pipeline) => pipeline,
        Err(error) => return Ok(refuse(&arguments.file, &error)),
    };
    let mut side = Side::connect(home.expect_running()?, &arguments.org).await?;
    let report = side.report(&pipeline).await?;
    if arguments.output == Output::Table {
        report.print(Output::Table, None);
    }
    let applied = pipeline::apply(&mut side.conn, side.org_id, &pipeline, &connected::actor())
        .await
        .context("nothing was applied: could not write the definitions")?;
    if applied.plan != report.plan {
        eprintln!(
            "isotherm: somebody else changed the definitions meanwhile; what was applied is the whole file all the same"
        );
    }
    let failures = crate::schedules::bring_in_line(&mut side.conn, &side.aws, &side.stack.cron_target)
        .await
        .context("the definitions are applied, but no schedule was set; run the command again to complete it")?;
    if arguments.output == Output::Json {
        report.print(Output::Json, Some(&failures));
    }
    if !failures.is_empty() {
        failures.iter().for_each(|failure| eprintln!("isotherm: {failure}"));
        eprintln!(
            "isotherm: the definitions are applied, but not every schedule is set; run the command again to complete it"
        );
        return Ok(ExitCode::FAILURE);
    }
    if arguments.output == Output::Table && !report.is_empty() {
        say!("applied");
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<Result<Pipeline, PipelineError>> {
    Ok(pipeline::parse_judged(&yaml_file::read(path, MAX_FILE_BYTES)?, configs::judge))
}

/// Prints each fault.
fn refuse(path: &Path, error: &PipelineError) -> ExitCode {
    for fault in &error.faults {
        yaml_file::print_fault(path, fault.line, fault.column, &fault.message);
    }
    yaml_file::REFUSED
}

/// The stack that the file is compared with.
struct Side {
    stack: RunningStack,
    conn: PgConnection,
    aws: LocalAws,
    org: String,
    org_id: OrgId,
}

impl Side {
    async fn connect(stack: RunningStack, org: &str) -> anyhow::Result<Self> {
        let mut conn = figures::connect(&stack.database_url).await?;
        let org_id = jobs::org(&mut conn, org).await.context("could not find the organisation")?;
        let aws = LocalAws::new(&stack.endpoint_url, REGION, machine::ACCOUNT).await;
        Ok(Self { stack, conn, aws, org: org.to_owned(), org_id })
    }

    async fn report(&mut self, pipeline: &Pipeline) -> anyhow::Result<Report> {
        let stored = pipeline::stored(&mut self.conn, self.org_id).await.context("could not read the definitions")?;
        let plan = pipeline::plan(&stored, pipeline).context("could not compare the file with what is stored")?;
        let schedules = self.schedules(&plan).await?;
        let warnings = report::warnings(&plan, &self.stack.kind, &self.stack.chain);
        Ok(Report { org: self.org.clone(), plan, schedules, warnings })
    }

    /// What has to be done about the schedules once `plan` is carried out.
    async fn schedules(&mut self, plan: &Plan) -> anyhow::Result<Vec<ScheduleRow>> {
        let active = triggers::active(&mut self.conn, "cron").await.context("could not read the triggers")?;
        let others = active.iter().filter(|trigger| trigger.org_id != self.org_id);
        let mut wanted: Vec<CronSchedule> = others
            .filter_map(|trigger| match &trigger.config {
                TriggerConfig::Cron(cron) => Some(CronSchedule::new(trigger.id.0, cron)),
                TriggerConfig::Webhook(_) | TriggerConfig::Threshold(_) => None,
            })
            .collect();
        let mut rows = Vec::new();
        for trigger in &plan.triggers {
            match (&trigger.schedule, trigger.id) {
                (Some(cron), Some(id)) => wanted.push(CronSchedule::new(id.0, cron)),
                (Some(cron), None) => rows.push(ScheduleRow::new_trigger(&trigger.name, cron)),
                (None, _) => {}
            }
        }
        let found = schedules::find_cron(&self.aws, &self.stack.cron_target)
            .await
            .context("could not look the schedules up")?;
        let steps = schedules::plan_cron(&found, &wanted);
        let own = |id: i64| plan.triggers.iter().find(|trigger| trigger.id.is_some_and(|own| own.0 == id));
        rows.extend(steps.iter().map(|step| ScheduleRow::of(step, step.trigger_id.and_then(own))));
        Ok(rows)
    }
}
