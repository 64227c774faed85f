//! The folder on this machine that holds a stack's data, logs and state.
//!
//! `running.json` stands there while a stack runs and names it; everything else asks that file where the stack is.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use isotherm_local_stack::schedules::CronTarget;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// Held while a stack runs.
pub(crate) const LOCK: &str = "lock";

/// Looks at a lock that others hold for microseconds only.
const LOCK_ATTEMPTS: u32 = 50;

/// The folder named by `--data`.
pub(crate) struct Home {
    base: PathBuf,
}

/// What `running.json` says of the running stack. It holds the database's password and AWS's, so only its owner may read it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RunningStack {
    /// Process that holds the stack together; SIGTERM stops all of it.
    pub(crate) pid: i32,
    /// `demo` or `up`.
    pub(crate) kind: String,
    /// Name of the chain.
    pub(crate) chain: String,
    /// AWS endpoint.
    pub(crate) endpoint_url: String,
    /// Base address of the HTTP API.
    pub(crate) api_url: String,
    /// Address of the database, password included.
    pub(crate) database_url: String,
    /// What requests to the emulator are signed with.
    #[serde(default)]
    pub(crate) secret_access_key: Option<String>,
    /// Where the schedules of cron triggers go.
    pub(crate) cron_target: CronTarget,
    /// A host that the way out always leads to.
    #[serde(default)]
    pub(crate) egress_probe: Option<String>,
}

/// Held while a stack runs, so that a second one in the same folder is refused.
pub(crate) struct HomeLock {
    running: PathBuf,
    _lock: Flock<File>,
}

impl Home {
    pub(crate) fn new(base: PathBuf) -> Self {
        Self { base: std::path::absolute(&base).unwrap_or(base) }
    }

    /// The folder itself.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Folder of one kind of stack's data.
    pub(crate) fn stack_folder(&self, kind: &str) -> PathBuf {
        self.base.join(kind)
    }

    fn running_file(&self) -> PathBuf {
        self.base.join("running.json")
    }

    /// Claims the folder for a new stack.
    ///
    /// # Errors
    /// If another stack holds it, or the folder cannot be written.
    pub(crate) fn lock(&self) -> anyhow::Result<HomeLock> {
        fs::create_dir_all(&self.base)
            .with_context(|| format!("could not create the folder {}", self.base.display()))?;
        let path = self.base.join(LOCK);
        let mut file = File::create(&path).with_context(|| format!("could not write {}", path.display()))?;
        // `status` and the like hold the lock for an instant to see whether it is free.
        for _ in 0..LOCK_ATTEMPTS {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(HomeLock { running: self.running_file(), _lock: lock }),
                Err((unlocked, _)) => file = unlocked,
            }
            std::thread::yield_now();
        }
        bail!(
            "a stack already runs with the data in {}; stop it with `./isotherm down`, or name another folder with --data",
            self.base.display()
        )
    }

    /// Whether a stack has ever run with the data in the folder.
    pub(crate) fn was_used(&self) -> bool {
        self.base.join(LOCK).exists()
    }

    /// Whether some process holds the folder.
    pub(crate) fn is_locked(&self) -> bool {
        let file = OpenOptions::new().write(true).open(self.base.join(LOCK));
        file.is_ok_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err())
    }

    /// The running stack, or `None` if there is none (a left-over file of a stack that was killed does not count).
    ///
    /// # Errors
    /// If the file is there but cannot be read.
    pub(crate) fn running(&self) -> anyhow::Result<Option<RunningStack>> {
        if !self.is_locked() {
            return Ok(None);
        }
        let path = self.running_file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("could not read {}", path.display())),
        };
        serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("{} is not what this program writes", path.display()))
    }

    /// The running stack.
    ///
    /// # Errors
    /// If none runs.
    pub(crate) fn expect_running(&self) -> anyhow::Result<RunningStack> {
        self.running()?.with_context(|| {
            format!(
                "no stack runs with the data in {}; start one with `./isotherm demo` or `./isotherm up`, \
                 or name its folder with --data",
                self.base.display()
            )
        })
    }
}

impl HomeLock {
    /// Tells other commands where the stack is.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn announce(&self, stack: &RunningStack) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(stack).context("could not write down the stack")?;
        let written = self.running.with_extension("json.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&written)
            .with_context(|| format!("could not write {}", written.display()))?;
        file.write_all(&text)
            .and_then(|()| fs::rename(&written, &self.running))
            .with_context(|| format!("could not write {}", self.running.display()))
    }
}

impl Drop for HomeLock {
    fn drop(&mut self) {
        // Only ours can be there, since the lock is still held.
        let _ = fs::remove_file(&self.running);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> RunningStack {
        RunningStack {
            pid: 1,
            kind: "demo".to_owned(),
            chain: "demo".to_owned(),
            endpoint_url: "http://127.0.0.1:1".to_owned(),
            api_url: "http://127.0.0.1:1/x".to_owned(),
            database_url: "postgres://secret".to_owned(),
            secret_access_key: None,
            cron_target: CronTarget {
                group: "isotherm-triggers".to_owned(),
                function_arn: "arn:function".to_owned(),
                role_arn: "arn:role".to_owned(),
                retry_attempts: 1,
                max_event_age_seconds: 60,
            },
            egress_probe: None,
        }
    }

    #[test]
    fn one_stack_at_a_time_and_it_is_gone_when_its_process_is() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().to_path_buf());
        assert!(home.running().unwrap().is_none());
        let lock = home.lock().unwrap();
        assert!(home.running().unwrap().is_none(), "not announced yet");
        lock.announce(&stack()).unwrap();
        assert_eq!(home.running().unwrap().unwrap().kind, "demo");
        assert!(home.lock().is_err());
        drop(lock);
        assert!(home.running().unwrap().is_none());
        fs::write(folder.path().join("running.json"), serde_json::to_vec(&stack()).unwrap()).unwrap();
        assert!(home.running().unwrap().is_none(), "a file left over by a killed stack does not count");
    }

    #[test]
    fn only_its_owner_may_read_where_the_stack_is() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let lock = Home::new(folder.path().to_path_buf()).lock().unwrap();
        lock.announce(&stack()).unwrap();
        let mode = fs::metadata(folder.path().join("running.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
