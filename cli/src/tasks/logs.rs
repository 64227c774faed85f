//! The logs of a task's attempts: what was kept of each, and where the whole lies on this machine.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use isotherm_control::tasks::TaskDetails;
use serde::Serialize;
use serde_json::{Value, json};

use crate::output::say;

/// The log of one attempt.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct AttemptLog {
    /// The attempt's number.
    attempt: i64,
    worker: String,
    /// How it ended; absent while it runs.
    outcome: Option<String>,
    /// The end of the operator's standard error; absent while it runs, and of an attempt that was lost.
    stderr_tail: Option<String>,
    /// The whole log, with those of the worker and of its other tasks.
    file: Option<PathBuf>,
}

/// The logs of all attempts, or of the one called `attempt`.
///
/// # Errors
/// If there is no such attempt, or the folder cannot be read.
pub(super) fn of(details: &TaskDetails, attempt: Option<i64>, folder: &Path) -> anyhow::Result<Vec<AttemptLog>> {
    let wanted = details.attempts.iter().filter(|each| attempt.is_none_or(|wanted| each.fence == wanted));
    let mut logs = Vec::new();
    for each in wanted {
        logs.push(AttemptLog {
            attempt: each.fence,
            worker: each.worker.clone(),
            outcome: each.outcome.clone(),
            stderr_tail: each.stderr_tail.clone(),
            file: file_of(folder, &details.task.operator, &each.worker)?,
        });
    }
    if let (Some(wanted), true) = (attempt, logs.is_empty()) {
        let there: Vec<String> = details.attempts.iter().map(|attempt| attempt.fence.to_string()).collect();
        bail!("{} has no attempt {wanted}; it has: {}", details.task.task_id, there.join(", "));
    }
    Ok(logs)
}

/// The file in which the worker writes: `<operator>-<ECS task>.log`, known by the worker's name in it, which its first lines
/// tell.
fn file_of(folder: &Path, operator: &str, worker: &str) -> anyhow::Result<Option<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("could not read {}", folder.display())),
    };
    let prefix = format!("{operator}-");
    for entry in entries {
        let path = entry.with_context(|| format!("could not read {}", folder.display()))?.path();
        let is_operators = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(&prefix) && name.ends_with(".log"));
        if is_operators && names(&path, worker).with_context(|| format!("could not read {}", path.display()))? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Whether one of the file's first lines names the worker.
fn names(path: &Path, worker: &str) -> std::io::Result<bool> {
    const FIRST_LINES: usize = 50;
    for line in BufReader::new(File::open(path)?).split(b'\n').take(FIRST_LINES) {
        if String::from_utf8_lossy(&line?).contains(worker) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn print(logs: &[AttemptLog]) {
    if logs.is_empty() {
        say!("no attempt has been made");
    }
    for log in logs {
        let outcome = log.outcome.as_deref().unwrap_or("running");
        say!("attempt {}, {outcome}, worker {}", log.attempt, log.worker);
        match &log.file {
            Some(file) => say!("whole log: {}", file.display()),
            None => say!("whole log: not on this machine"),
        }
        match log.stderr_tail.as_deref() {
            None => say!("nothing was kept"),
            Some("") => say!("it wrote nothing"),
            Some(tail) => say!("{}", tail.trim_end_matches('\n')),
        }
    }
}

pub(super) fn to_json(logs: &[AttemptLog]) -> Value {
    json!(logs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use crate::tasks::view::tests::details;

    #[test]
    fn each_attempt_leads_to_its_workers_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        file("noop-ecs1.log", "{\"worker.name\":\"noop-a\"}\n");
        file("noop-ecs2.log", "{\"worker.name\":\"noop-b\"}\n");
        file("other-ecs3.log", "noop-a\n");
        let logs = of(&details(), None, folder.path()).unwrap();
        let names: Vec<_> = logs.iter().map(|log| log.file.as_ref().unwrap().file_name().unwrap()).collect();
        assert_eq!(names, ["noop-ecs1.log", "noop-ecs2.log"]);
        let second = of(&details(), Some(2), folder.path()).unwrap();
        assert_eq!(second[0].stderr_tail.as_deref(), Some("last words\n"));
        let error = of(&details(), Some(5), folder.path()).unwrap_err().to_string();
        assert_eq!(error, "task 7 has no attempt 5; it has: 1, 2");
    }

    #[test]
    fn logs_for_programs_are_the_golden_file() {
        let logs = of(&details(), None, Path::new("/nowhere/at/all")).unwrap();
        golden::check("tasks_logs", &to_json(&logs));
    }
}
