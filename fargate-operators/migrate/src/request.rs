//! What is asked and what is answered: two JSON objects in the bucket `results`, side by side. Why either side believes that they
//! are the other's is in [`crate::seal`].

use serde::{Deserialize, Serialize};

/// The variable with the key of the request.
pub const VARIABLE: &str = "ISOTHERM_ERRAND_REQUEST";
/// Version of both forms.
pub const VERSION: u32 = 2;
/// Where requests and answers lie: they are gone when results are. Nobody else inside may write there.
/// Source: terraform/stack.yaml, `folders`.
pub const FOLDER: &str = "deploy";

/// Key of the request called `id`.
pub fn request_key(id: &str) -> String {
    format!("{FOLDER}/{id}/request.json")
}

/// Key of the answer to the request at `request_key`.
pub fn answer_key(request_key: &str) -> String {
    let folder = request_key.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/answer.json")
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// Whether the role is to be made and migrations are to be run.
    pub migrate: bool,
    /// Pipelines to apply, each the whole of its organisation's.
    #[serde(default)]
    pub pipelines: Vec<PipelineFile>,
}

/// A pipeline file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineFile {
    /// Whose it is.
    pub org: String,
    /// Its text.
    pub yaml: String,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Answer {
    /// All of it was done.
    Done(Done),
    /// It was not; what came before is done. The request can be repeated.
    Failed {
        /// As in `docs/errors.md`.
        code: String,
        /// The error and its causes.
        message: String,
    },
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The newest migration, if migrations were asked for.
    pub migration: Option<i64>,
    /// Whether the platform's role has a new password, if migrations were asked for.
    pub new_password: Option<bool>,
    /// Each pipeline's organisation, and how many of its jobs and triggers changed.
    pub pipelines: Vec<AppliedPipeline>,
    /// The schedules that all active cron triggers want, of every organisation.
    pub schedules: Vec<WantedSchedule>,
}

/// A pipeline that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedPipeline {
    /// Whose it is.
    pub org: String,
    /// Jobs and triggers that were made, changed or deactivated.
    pub changes: usize,
}

/// The schedule of one cron trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedSchedule {
    /// Row of `control.triggers`.
    pub trigger_id: i64,
    /// `rate(…)`, `cron(…)` or `at(…)`.
    pub expression: String,
    /// A name of the IANA database.
    pub timezone: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_lies_beside_its_request() {
        assert_eq!(answer_key(&request_key("a")), "deploy/a/answer.json");
    }

    #[test]
    fn both_forms_are_what_they_were() {
        let request =
            json!({ "version": 2, "migrate": true, "pipelines": [{ "org": "default", "yaml": "version: 1" }] });
        let read: Request = serde_json::from_value(request.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), request);
        let done = json!({
            "outcome": "done", "migration": 16, "new_password": false,
            "pipelines": [{ "org": "default", "changes": 2 }],
            "schedules": [{ "trigger_id": 7, "expression": "rate(1 minute)", "timezone": "UTC" }],
        });
        let read: Answer = serde_json::from_value(done.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), done);
        let failed = json!({ "outcome": "failed", "code": "migrate.schema", "message": "m" });
        let read: Answer = serde_json::from_value(failed.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), failed);
        let unknown = json!({ "version": 2, "migrate": true, "drop": true });
        assert!(serde_json::from_value::<Request>(unknown).is_err());
    }
}
