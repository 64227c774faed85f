//! `isotherm down`: stop the running stack.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use isotherm_lab::process::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::args::DownArguments;
use crate::home::{Home, LOCK};
use crate::output::say;
use crate::query::HISTORY;

/// What stacks and commands make in the data folder: docs/operations.md, "What is in the data folder".
const MADE_BY_STACKS: [&str; 6] = ["running.json", "running.json.new", "identity", "demo", "up", HISTORY];

pub(crate) async fn run(home: &Home, arguments: &DownArguments) -> anyhow::Result<ExitCode> {
    match home.running()? {
        Some(stack) => {
            kill(Pid::from_raw(stack.pid), Signal::SIGTERM)
                .with_context(|| format!("could not stop process {} of the running stack", stack.pid))?;
            say!("stopping the {} stack (process {}) …", stack.kind, stack.pid);
            let stopped = eventually("the stack to stop", async || !home.is_locked()).await;
            stopped.with_context(|| {
                format!("process {} is still there; look at its logs in {}", stack.pid, home.base().display())
            })?;
            say!("stopped");
        }
        None if home.is_locked() => {
            bail!("a stack is just starting or stopping in {}; try again in a moment", home.base().display())
        }
        None => say!("nothing runs with the data in {}", home.base().display()),
    }
    if arguments.wipe && home.base().exists() {
        say!("{}", wipe(home)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes what stacks have made in their folder, and the folder itself once nothing else is in it. Says what was done.
///
/// # Errors
/// If no stack ever ran there, or one begins to; what the file system reports.
fn wipe(home: &Home) -> anyhow::Result<String> {
    let base = home.base();
    ensure!(
        home.was_used(),
        "no stack has ever run with the data in {}: nothing is removed; name the stack's folder with --data, \
         or remove this one by hand",
        base.display()
    );
    // Until all is gone, so that nobody starts in the middle of it.
    let lock = home.lock()?;
    let failed = |path: &Path| format!("could not remove {}", path.display());
    let mut others = Vec::new();
    for entry in fs::read_dir(base).with_context(|| format!("could not list {}", base.display()))? {
        let entry = entry.with_context(|| format!("could not list {}", base.display()))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name == LOCK {
            // Last of all, by which this one keeps others out.
        } else if !MADE_BY_STACKS.contains(&name.as_str()) {
            others.push(name);
        } else if entry.file_type().with_context(|| failed(&path))?.is_dir() {
            fs::remove_dir_all(&path).with_context(|| failed(&path))?;
        } else {
            fs::remove_file(&path).with_context(|| failed(&path))?;
        }
    }
    fs::remove_file(base.join(LOCK)).with_context(|| failed(&base.join(LOCK)))?;
    drop(lock);
    if others.is_empty() {
        fs::remove_dir(base).with_context(|| failed(base))?;
        return Ok(format!("removed {}", base.display()));
    }
    others.sort();
    Ok(format!("removed the data in {}; left what no stack has made: {}", base.display(), others.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_stacks_have_made_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("data");
        let home = Home::new(base.clone());
        drop(home.lock().unwrap());
        fs::create_dir_all(base.join("up/postgres")).unwrap();
        fs::write(base.join("up/postgres/password"), "x").unwrap();
        fs::write(base.join("query_history"), "select 1").unwrap();
        fs::write(base.join("photo.jpg"), "mine").unwrap();
        let said = wipe(&home).unwrap();
        assert!(said.contains("left what no stack has made: photo.jpg"), "{said}");
        assert_eq!(entries(&base), ["photo.jpg"]);

        fs::remove_file(base.join("photo.jpg")).unwrap();
        drop(home.lock().unwrap());
        assert_eq!(wipe(&home).unwrap(), format!("removed {}", base.display()));
        assert!(!base.exists());
    }

    #[test]
    fn a_folder_that_is_none_of_ours_or_is_in_use_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("demo")).unwrap();
        let home = Home::new(folder.path().to_path_buf());
        let refused = wipe(&home).unwrap_err().to_string();
        assert!(refused.contains("no stack has ever run"), "{refused}");
        assert_eq!(entries(folder.path()), ["demo"]);

        let _running = home.lock().unwrap();
        wipe(&home).unwrap_err();
        assert_eq!(entries(folder.path()), ["demo", "lock"]);
    }
}
