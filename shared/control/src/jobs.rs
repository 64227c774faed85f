//! Definitions of work. Table `control.jobs`, written by [`crate::pipeline::apply`].

use std::collections::BTreeMap;
use std::time::Duration;

use isotherm_types::{ChainId, Dataset, JobId, OrgId};
use sqlx::PgConnection;

use crate::codec::{count, from_json, from_word, seconds};
use crate::error::ControlError;

mod overview;
mod pause;
mod words;
pub use overview::{JobOverview, LastEnd, names, overview};
pub use pause::{PauseChange, set_paused};
pub use words::{DatasetName, Runtime, Strategy, UnknownJobWord};

/// Name of the organisation that every installation has.
pub const DEFAULT_ORG: &str = "default";

/// A definition of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its row.
    pub id: JobId,
    /// Whose it is.
    pub org_id: OrgId,
    /// Its name, unique within the organisation.
    pub name: String,
    /// The program that does the work; also the name of its queue.
    pub operator: String,
    /// Where it runs.
    pub runtime: Runtime,
    /// How events become tasks.
    pub strategy: Strategy,
    /// Whether exactly one task of it is to be alive at all times.
    pub always_on: bool,
    /// Settings for the operator.
    pub config: serde_json::Value,
    /// Environment variable of the operator → name of the secret that fills it.
    pub secrets: BTreeMap<String, String>,
    /// Datasets whose events make tasks of this job.
    pub input_datasets: Vec<DatasetName>,
    /// Datasets that it writes.
    pub output_datasets: Vec<DatasetName>,
    /// Tries before a task fails.
    pub max_attempts: u32,
    /// Tasks that may run at one time.
    pub max_concurrency: u32,
    /// Length of a lease: a worker that says nothing for so long is lost.
    pub heartbeat_timeout: Duration,
    /// Longest run of one attempt.
    pub run_timeout: Option<Duration>,
    /// An attempt whose progress stands still for so long is ended; progress is not watched if absent.
    pub stall_timeout: Option<Duration>,
    /// Among due tasks the higher goes first.
    pub priority: i32,
    /// `per_partition`: events are split at multiples of so many blocks; taken as they are if absent.
    pub partition_blocks: Option<u64>,
    /// Whether it is in the file that was applied last.
    pub active: bool,
    /// Whether a person has paused it: its tasks are made and wait.
    pub paused: bool,
}

impl Job {
    /// Whether an event about `dataset` of `chain_id` concerns this job.
    pub fn reads(&self, chain_id: ChainId, dataset: Dataset) -> bool {
        self.input_datasets.iter().any(|name| name.matches(chain_id, dataset))
    }
}

/// A row of `control.jobs` as Postgres gives it.
#[derive(sqlx::FromRow)]
pub(crate) struct JobRow {
    id: i64,
    org_id: i64,
    name: String,
    operator: String,
    runtime: String,
    strategy: String,
    always_on: bool,
    config: serde_json::Value,
    secrets: serde_json::Value,
    input_datasets: Vec<String>,
    output_datasets: Vec<String>,
    max_attempts: i32,
    max_concurrency: i32,
    heartbeat_timeout_seconds: f64,
    run_timeout_seconds: Option<f64>,
    stall_timeout_seconds: Option<f64>,
    priority: i32,
    partition_blocks: Option<i64>,
    active: bool,
    paused: bool,
}

impl TryFrom<JobRow> for Job {
    type Error = ControlError;

    fn try_from(row: JobRow) -> Result<Self, ControlError> {
        let id = JobId(row.id);
        let names = |column, words: Vec<String>| -> Result<Vec<DatasetName>, ControlError> {
            words.iter().map(|word| from_word(id, column, word)).collect()
        };
        Ok(Self {
            id,
            org_id: OrgId(row.org_id),
            runtime: from_word(id, "runtime", &row.runtime)?,
            strategy: from_word(id, "strategy", &row.strategy)?,
            secrets: from_json(id, "secrets", row.secrets)?,
            input_datasets: names("input_datasets", row.input_datasets)?,
            output_datasets: names("output_datasets", row.output_datasets)?,
            name: row.name,
            operator: row.operator,
            always_on: row.always_on,
            config: row.config,
            max_attempts: count(row.max_attempts),
            max_concurrency: count(row.max_concurrency),
            heartbeat_timeout: seconds(row.heartbeat_timeout_seconds),
            run_timeout: row.run_timeout_seconds.map(seconds),
            stall_timeout: row.stall_timeout_seconds.map(seconds),
            priority: row.priority,
            partition_blocks: row.partition_blocks.map(i64::unsigned_abs),
            active: row.active,
            paused: row.paused,
        })
    }
}

/// Reads one job, active or not.
///
/// # Errors
/// [`ControlError::UnknownJob`] if there is no such row; otherwise what Postgres or the row reports.
pub async fn read(conn: &mut PgConnection, job_id: JobId) -> Result<Job, ControlError> {
    let row: Option<JobRow> =
        sqlx::query_as("SELECT * FROM control.jobs WHERE id = $1").bind(job_id.0).fetch_optional(conn).await?;
    row.ok_or(ControlError::UnknownJob { job_id })?.try_into()
}

/// The active jobs of all organisations, by id.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn active(conn: &mut PgConnection) -> Result<Vec<Job>, ControlError> {
    let rows: Vec<JobRow> =
        sqlx::query_as("SELECT * FROM control.jobs WHERE active ORDER BY id").fetch_all(conn).await?;
    rows.into_iter().map(Job::try_from).collect()
}

/// All jobs of one organisation by name, inactive ones included.
///
/// # Errors
/// What Postgres or a row reports.
pub async fn list(conn: &mut PgConnection, org_id: OrgId) -> Result<Vec<Job>, ControlError> {
    let rows: Vec<JobRow> = sqlx::query_as("SELECT * FROM control.jobs WHERE org_id = $1 ORDER BY name")
        .bind(org_id.0)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(Job::try_from).collect()
}

/// The organisation called `name`.
///
/// # Errors
/// [`ControlError::UnknownOrg`] if there is none.
pub async fn org(conn: &mut PgConnection, name: &str) -> Result<OrgId, ControlError> {
    let row: Option<(i64,)> =
        sqlx::query_as("SELECT id FROM control.orgs WHERE name = $1").bind(name).fetch_optional(conn).await?;
    row.map(|(id,)| OrgId(id)).ok_or_else(|| ControlError::UnknownOrg { name: name.to_owned() })
}
