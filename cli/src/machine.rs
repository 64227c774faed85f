//! Everything that runs on this machine: Postgres, the AWS emulator, what `terraform/stack.yaml` lists, and a process for
//! every ECS task.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use aws_sdk_lambda::primitives::Blob;
use isotherm_lab::aws_calls::recorder::CallRecorder;
use isotherm_lab::ministack::{Ministack, MinistackOptions, REGION};
use isotherm_lab::postgres::{Data, Postgres, StartOptions};
use isotherm_lab::tools;
use isotherm_local_stack::ecs_launcher::{EcsLauncher, LauncherOptions};
use isotherm_local_stack::egress::{AllowList, Egress};
use isotherm_local_stack::package::{Sources, operator_bundles};
use isotherm_local_stack::provision::{Change, Options, Step};
use isotherm_local_stack::{LocalAws, Provisioned, Stack, names, provision};
use isotherm_platform::stop::Stop;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::home::RunningStack;
use crate::output::say;

/// Account of the emulator; an access key id of twelve digits is the account's number.
pub(crate) const ACCOUNT: &str = "000000000000";
/// What names of buckets end with.
pub(crate) const BUCKET_SUFFIX: &str = "local";
/// Name of the one database.
const DATABASE: &str = "isotherm";
/// How often the emulator's list of ECS tasks is looked at.
const LAUNCHER_POLL: Duration = Duration::from_millis(200);

/// Where and how a machine is started.
pub(crate) struct Start {
    /// Folder for data and logs.
    pub(crate) folder: PathBuf,
    /// Whether data are to outlive the run.
    pub(crate) keep: bool,
    /// Whose tokens the functions accept, as a JSON list.
    pub(crate) token_issuers: String,
    /// The secret `alerts`: what seals channels' addresses.
    pub(crate) sealing_keys: String,
    /// File for the AWS calls of functions and operators; absent: they go straight to the emulator.
    pub(crate) record_calls: Option<PathBuf>,
    /// Hosts outside this machine that operators and functions may reach.
    pub(crate) allowed: AllowList,
}

/// The running parts. Dropping it stops them; [`Machine::stop`] lets tasks reach a safe point first.
pub(crate) struct Machine {
    launcher: EcsLauncher,
    egress: Egress,
    provisioned: Provisioned,
    aws: LocalAws,
    secret_access_key: String,
    database_url: String,
    _recorder: Option<CallRecorder>,
    _ministack: Ministack,
    _postgres: Postgres,
}

impl Machine {
    /// Starts every part and creates what the stack file lists.
    pub(crate) async fn start(start: &Start, stop: &Stop) -> anyhow::Result<Self> {
        tokio::select! {
            machine = Self::start_parts(start) => machine,
            () = stop.requested() => bail!("stopped before everything was started"),
        }
    }

    async fn start_parts(start: &Start) -> anyhow::Result<Self> {
        let programs = programs()?;
        say!("starting Postgres …");
        let postgres = Postgres::start(StartOptions { data: data(start), ..StartOptions::default() })
            .await
            .context("could not start Postgres")?;
        let database_url = migrated(&postgres).await?;
        say!("starting the AWS emulator …");
        let state = start.folder.join("aws");
        // Whoever has it can sign addresses of this stack's objects; it is of this run alone.
        let secret_access_key = Uuid::new_v4().simple().to_string();
        let environment = vec![("AWS_SECRET_ACCESS_KEY".to_owned(), secret_access_key.clone())];
        let options = MinistackOptions { state: Some(state), environment, ..MinistackOptions::default() };
        let ministack = Ministack::start(options).await.context("could not start the AWS emulator")?;
        let stack = stack()?;
        let recorder = recorder(&stack, &ministack, start).await?;
        let detours = recorder.as_ref().map(|recorder| recorder.endpoint_urls().clone());
        let egress = Egress::start(&start.allowed).await.context("could not open the way out")?;
        let aws = LocalAws::with_secret(&ministack.endpoint_url(), REGION, ACCOUNT, &secret_access_key).await;
        let aws = aws.by_way_of(detours.unwrap_or_default()).behind(egress.variables());
        let sources = Sources { programs: programs.clone(), duckdb: tools::tools_folder()?.join("duckdb") };
        let provisioned = provisioned(&stack, &aws, &sources, &database_url, start).await?;
        let bundles = operator_bundles(&stack, &sources, &start.folder.join("bundles"))
            .context("could not put together what operators need beside them")?;
        let options = LauncherOptions {
            worker: programs.join("operator-worker"),
            programs,
            bundles,
            logs: start.folder.join("logs"),
            cluster: provisioned.cluster.clone(),
            poll_interval: LAUNCHER_POLL,
        };
        let launcher = EcsLauncher::start_behind(&aws, options, egress.variables())
            .context("could not start the launcher of operators")?;
        Ok(Self {
            launcher,
            egress,
            provisioned,
            aws,
            secret_access_key,
            database_url,
            _recorder: recorder,
            _ministack: ministack,
            _postgres: postgres,
        })
    }

    /// Clients for the emulator.
    pub(crate) fn aws(&self) -> &LocalAws {
        &self.aws
    }

    /// Address of the database, password included.
    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Names and addresses of what was created.
    pub(crate) fn provisioned(&self) -> &Provisioned {
        &self.provisioned
    }

    /// What other commands are told of this stack.
    pub(crate) fn running(&self, kind: &str, chain: &str) -> RunningStack {
        RunningStack {
            pid: std::process::id().cast_signed(),
            kind: kind.to_owned(),
            chain: chain.to_owned(),
            endpoint_url: self.provisioned.endpoint_url.clone(),
            api_url: self.provisioned.api_url.clone(),
            database_url: self.database_url.clone(),
            secret_access_key: Some(self.secret_access_key.clone()),
            cron_target: self.provisioned.cron_target.clone(),
            egress_probe: Some(self.egress.probe_url()),
        }
    }

    /// Stops operators first, each at a safe point, then everything else.
    pub(crate) async fn stop(self) {
        self.launcher.stop().await;
    }
}

fn data(start: &Start) -> Data {
    if start.keep { Data::Durable(start.folder.join("postgres")) } else { Data::Temporary }
}

/// Folder of the built programs: the one that this program is in.
fn programs() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("could not find this program's own file")?;
    own.parent().map(Path::to_path_buf).context("this program's file has no folder")
}

/// Creates the database unless it is there, brings it up to date, and gives its address.
async fn migrated(postgres: &Postgres) -> anyhow::Result<String> {
    if PgConnection::connect(&postgres.database_url(DATABASE)).await.is_err() {
        postgres.create_database(DATABASE).await.context("could not create the database")?;
    }
    let database_url = postgres.database_url(DATABASE);
    // The cause is left out on purpose: it could hold the address, and the address holds the password.
    let mut conn = PgConnection::connect(&database_url)
        .await
        .ok()
        .context("the database that was just started does not answer")?;
    operator_migrate::schema::migrate(&mut conn).await.context(
        "could not migrate the database; if the data are of another version of Isotherm, use that one, or remove them \
         with `isotherm down --wipe`",
    )?;
    Ok(database_url)
}

fn stack() -> anyhow::Result<Stack> {
    let root = tools::repository_root().context("could not find the repository")?;
    Stack::read(&root.join("terraform/stack.yaml")).context("could not read the stack file")
}

/// A proxy for each role, if calls are to be recorded.
async fn recorder(stack: &Stack, ministack: &Ministack, start: &Start) -> anyhow::Result<Option<CallRecorder>> {
    let Some(file) = &start.record_calls else { return Ok(None) };
    let functions = stack.functions.keys().map(|key| names::function_role(key));
    let roles = functions.chain(stack.operators.keys().map(|key| names::operator_role(key)));
    let recorder = CallRecorder::start(&ministack.endpoint_url(), roles, file).await;
    recorder.map(Some).context("could not record the calls of functions and operators")
}

async fn provisioned(
    stack: &Stack,
    aws: &LocalAws,
    sources: &Sources,
    database_url: &str,
    start: &Start,
) -> anyhow::Result<Provisioned> {
    let database = json!({ "url": database_url }).to_string();
    let options = Options {
        sources: sources.clone(),
        bucket_suffix: BUCKET_SUFFIX.to_owned(),
        secrets: BTreeMap::from([("database".to_owned(), database), ("alerts".to_owned(), start.sealing_keys.clone())]),
        token_issuers: start.token_issuers.clone(),
    };
    say!("creating queues, buckets, functions, schedules and routes …");
    let mut changed = 0;
    let mut on_step = |step: Step| changed += u32::from(step.change != Change::Unchanged);
    let provisioned =
        provision(stack, aws, &options, &mut on_step).await.context("could not carry out the stack file")?;
    say!("{changed} things created or changed");
    Ok(provisioned)
}

/// Invokes a function of the stack and gives back its answer.
///
/// # Errors
/// If it cannot be reached, or ended with an error that it did not answer itself.
pub(crate) async fn invoke(aws: &LocalAws, function: &str, event: &Value) -> anyhow::Result<Vec<u8>> {
    let name = names::function(function);
    let answer = aws
        .lambda()
        .invoke()
        .function_name(&name)
        .payload(Blob::new(event.to_string()))
        .send()
        .await
        .with_context(|| format!("could not invoke {name}"))?;
    let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
    if let Some(kind) = answer.function_error {
        bail!("{name} failed ({kind}): {}", String::from_utf8_lossy(&payload));
    }
    Ok(payload)
}
