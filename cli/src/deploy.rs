//! `isotherm deploy`: a release into an account of AWS, step by step.
//!
//! What is done is a list that follows from the arguments (`plan`); here it is printed, or carried out in order. Programs do most
//! of it, and run as they would by hand. What has to happen inside the network is done by an errand there (`errand`). Every
//! step can be repeated; none deletes data.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use aws_config::{BehaviorVersion, Region};
use isotherm_control::pipeline::{self, MAX_FILE_BYTES};
use isotherm_lab::tools;
use isotherm_local_stack::schedules::{self, CronSchedule, CronTarget};
use isotherm_local_stack::{Stack, names};
use isotherm_platform::aws::Clients;
use operator_migrate::request::{Done, PipelineFile, Request, VERSION, WantedSchedule};

use crate::args::{DeployArguments, DeployStep};
use crate::output::say;
use crate::yaml_file;

mod errand;
mod plan;
pub(crate) mod programs;
mod upload;
pub(crate) mod var_file;

use plan::{Action, Facts, Step};
use upload::Uploaded;
use var_file::Account;

pub(crate) async fn run(arguments: &DeployArguments) -> anyhow::Result<ExitCode> {
    let root = tools::repository_root().context("could not find the repository")?;
    check_environment(&root, &arguments.env)?;
    check_steps(arguments)?;
    let stack = Stack::read(&root.join("terraform/stack.yaml")).context("could not read the stack file")?;
    let var_file = absolute(&var_file(&arguments.env, arguments.var_file.as_deref()))?;
    let account = var_file::read(&var_file)?;
    let pipelines = arguments.pipelines.iter().map(|text| pipeline_file(text)).collect::<Result<Vec<_>, _>>()?;
    let builder = match (arguments.skip_images, is_asked(arguments, DeployStep::Images), arguments.dry_run) {
        (true, _, _) => None,
        (false, true, false) => Some(programs::builder().await?),
        // What would be run is shown all the same.
        (false, _, _) => Some("docker"),
    };
    let dist = absolute(&arguments.dist)?;
    let facts = Facts {
        stack: &stack,
        account: &account,
        env: &arguments.env,
        var_file: &var_file.display().to_string(),
        dist: &dist.display().to_string(),
        orgs: pipelines.iter().map(|file| file.org.as_str()).collect(),
        builder,
        yes: arguments.yes,
    };
    let mut steps = plan::steps(&facts);
    steps.retain(|step| is_asked(arguments, step.word));
    if arguments.dry_run {
        printed(&account, &arguments.env, &steps).iter().for_each(|line| say!("{line}"));
        return Ok(ExitCode::SUCCESS);
    }
    let deploying = Deploying { root, env: &arguments.env, account: &account, dist, pipelines };
    for step in &steps {
        say!("{}: {} …", word(step.word), step.what);
        deploying.carry_out(step).await.with_context(|| stopped_at(&arguments.env, step.word))?;
    }
    say!("done; `isotherm smoke --env {}` tries whether it works", arguments.env);
    Ok(ExitCode::SUCCESS)
}

fn is_asked(arguments: &DeployArguments, step: DeployStep) -> bool {
    arguments.steps.is_empty() || arguments.steps.contains(&step)
}

/// # Errors
/// If a plan of before would be applied. It is of one state and one release: none any more after a part of it was applied, and an older
/// release's after the word was changed.
fn check_steps(arguments: &DeployArguments) -> anyhow::Result<()> {
    let is_of_before =
        arguments.yes && is_asked(arguments, DeployStep::Apply) && !is_asked(arguments, DeployStep::Plan);
    ensure!(
        !is_of_before,
        "with --yes the step `apply` takes the plan of the same command; give `--step plan --step apply`"
    );
    Ok(())
}

fn stopped_at(env: &str, step: DeployStep) -> String {
    let again = match step {
        DeployStep::Apply => "plan --step apply".to_owned(),
        step => word(step),
    };
    let word = word(step);
    format!(
        "step {word} of {env} did not end well; when it is mended, the command, or `--step {again}`, can be given again"
    )
}

/// The step as `--step` has it.
fn word(step: DeployStep) -> String {
    use clap::ValueEnum as _;
    step.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Every step and what it would do.
fn printed(account: &Account, env: &str, steps: &[Step]) -> Vec<String> {
    let Account { account_id, region, release } = account;
    let mut lines =
        vec![format!("release {release} into {env}: account {account_id}, region {region}; nothing is done")];
    for (index, step) in steps.iter().enumerate() {
        lines.push(format!("{}. {}: {}", index + 1, word(step.word), step.what));
        if step.actions.is_empty() {
            lines.push("   nothing to do".to_owned());
        }
        lines.extend(step.actions.iter().flat_map(Action::lines).map(|line| format!("   {line}")));
    }
    lines.push(format!("then: isotherm smoke --env {env}"));
    lines
}

/// The file of variables of an environment.
pub(crate) fn var_file(env: &str, named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| PathBuf::from(format!("{env}.tfvars")), Path::to_path_buf)
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))
}

/// # Errors
/// If there is no such environment; those that there are are named.
pub(crate) fn check_environment(root: &Path, env: &str) -> anyhow::Result<()> {
    let folder = root.join("terraform/environments");
    let mut there = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("could not list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("could not list {}", folder.display()))?;
        if entry.path().join("backend.tf").exists() {
            there.extend(entry.file_name().into_string());
        }
    }
    there.sort();
    ensure!(there.iter().any(|name| name == env), "there is no environment {env:?}; there are: {}", there.join(", "));
    Ok(())
}

/// `FILE` of the organisation `default`, or `ORG=FILE`.
fn pipeline_file(text: &str) -> anyhow::Result<PipelineFile> {
    let (org, path) = text.split_once('=').unwrap_or(("default", text));
    let bytes = yaml_file::read(Path::new(path), MAX_FILE_BYTES)?;
    let parsed = pipeline::parse_judged(&bytes, crate::apply::configs::judge);
    parsed.with_context(|| format!("{path} is not applied"))?;
    let yaml = String::from_utf8(bytes).with_context(|| format!("{path} is no UTF-8"))?;
    Ok(PipelineFile { org: org.to_owned(), yaml })
}

/// Clients for the account, by the credentials of the environment.
///
/// # Errors
/// If there are none, or they are another account's.
pub(crate) async fn clients(account: &Account) -> anyhow::Result<Clients> {
    let config =
        aws_config::defaults(BehaviorVersion::latest()).region(Region::new(account.region.clone())).load().await;
    let caller = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await;
    let caller = caller.context(
        "AWS knows no caller by the credentials that are there; of single sign-on, \
         `eval \"$(aws configure export-credentials --format env)\"` puts them into the environment",
    )?;
    let of = caller.account().unwrap_or_default();
    ensure!(
        of == account.account_id,
        "the credentials are those of account {of}, and the file of variables says {}",
        account.account_id
    );
    Ok(Clients::from_config(config))
}

/// What steps are carried out with.
struct Deploying<'a> {
    root: PathBuf,
    env: &'a str,
    account: &'a Account,
    dist: PathBuf,
    pipelines: Vec<PipelineFile>,
}

impl Deploying<'_> {
    async fn carry_out(&self, step: &Step) -> anyhow::Result<()> {
        if step.actions.is_empty() {
            say!("  nothing to do");
        }
        for action in &step.actions {
            match action {
                Action::Run(run) => programs::run(run, &self.root).await?,
                Action::Upload { file, bucket, key } => self.upload(Path::new(file), bucket, key).await?,
                Action::Errand { family, migrate, .. } => self.errand(family, *migrate).await?,
            }
        }
        Ok(())
    }

    async fn upload(&self, file: &Path, bucket: &str, key: &str) -> anyhow::Result<()> {
        let sums = self.dist.join("SHA256SUMS");
        let sums = std::fs::read_to_string(&sums)
            .with_context(|| format!("could not read {}; the step `package` makes it", sums.display()))?;
        let Ok(name) = file.strip_prefix(&self.dist) else { bail!("{} was not packaged", file.display()) };
        let clients = clients(self.account).await?;
        let name = name.display().to_string();
        match upload::upload(clients.s3(), file, &name, &sums, bucket, key).await? {
            Uploaded::New => say!("  {key} is there"),
            Uploaded::WasThere => say!("  {key} was there"),
        }
        Ok(())
    }

    async fn errand(&self, family: &str, migrate: bool) -> anyhow::Result<()> {
        let place = programs::terraform_output(&plan::folder(self.env), "errands", &self.root).await?;
        let place = serde_json::from_value(place).context("Terraform's output `errands` is not understood")?;
        let pipelines = if migrate { Vec::new() } else { self.pipelines.clone() };
        let request = Request { version: VERSION, migrate, pipelines };
        let bucket = names::bucket("results", &format!("{}-{}", self.account.account_id, self.account.region));
        let clients = clients(self.account).await?;
        let done = errand::perform(&clients, &place, family, &bucket, &request).await?;
        tell(&done);
        if migrate {
            return Ok(());
        }
        let platform = programs::terraform_output(&plan::folder(self.env), "platform", &self.root).await?;
        let target = serde_json::from_value(platform["cron_target"].clone())
            .context("Terraform's output `platform` has no usable `cron_target`")?;
        set_schedules(&clients, &target, &done.schedules).await
    }
}

fn tell(done: &Done) {
    if let Some(migration) = done.migration {
        say!("  the database is at migration {migration}");
    }
    if done.new_password == Some(true) {
        say!("  the platform's role has a new password; running programs take it at their next start");
    }
    for pipeline in &done.pipelines {
        say!("  pipeline of {}: {} changes", pipeline.org, pipeline.changes);
    }
}

/// Makes the schedules of cron triggers those that the errand has found wanted.
async fn set_schedules(clients: &Clients, target: &CronTarget, wanted: &[WantedSchedule]) -> anyhow::Result<()> {
    let wanted: Vec<CronSchedule> = wanted
        .iter()
        .map(|schedule| CronSchedule {
            trigger_id: schedule.trigger_id,
            expression: schedule.expression.clone(),
            timezone: schedule.timezone.clone(),
        })
        .collect();
    let client = clients.scheduler();
    let found = schedules::find_cron_by(client, target).await.context("could not look the schedules up")?;
    let steps = schedules::plan_cron(&found, &wanted);
    let failures = schedules::carry_out_cron_by(client, target, &steps).await.context("could not set the schedules")?;
    for (step, error) in &failures {
        eprintln!("isotherm: schedule {}: {error}", step.name);
    }
    ensure!(failures.is_empty(), "{} schedules are not set; the step can be repeated", failures.len());
    Ok(())
}

#[cfg(test)]
mod tests;
