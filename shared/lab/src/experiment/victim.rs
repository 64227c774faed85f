//! Processes that an experiment kills.
//!
//! A victim is a second copy of the test's own program, told to run one `#[ignore]`d test, which is the victim's body. It ends
//! with SIGKILL, at a crash point that its body has armed, or by itself when its owner is gone.

use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::LabError;
use crate::process::eventually;
use crate::tools::environment;

/// Holds the order of a victim.
const VARIABLE: &str = "ISOTHERM_LAB_VICTIM";

/// A process to be killed. Dropping it kills it.
#[derive(Debug)]
pub struct Victim(Child);

impl Victim {
    /// Starts the ignored test `test` of this program, which gets `order` from [`victim_order`].
    ///
    /// # Errors
    /// [`LabError::Io`] if it cannot be started.
    pub fn start(test: &str, order: &Value) -> Result<Self, LabError> {
        let program = std::env::current_exe().map_err(LabError::io("find", "the running program"))?;
        let child = Command::new(&program)
            .args(["--exact", test, "--ignored", "--nocapture", "--test-threads", "1"])
            .env(VARIABLE, order.to_string())
            // Held open for as long as its owner lives.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(LabError::io("start", &program))?;
        Ok(Self(child))
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(Some(_)))
    }

    /// Waits for its end; returns whether abort(3) ended it, as a crash point does.
    ///
    /// # Errors
    /// [`LabError::TimedOut`] if it goes on for too long.
    pub async fn aborts(&mut self) -> Result<bool, LabError> {
        let mut status = None;
        eventually("the end of a victim", async || {
            status = self.0.try_wait().ok().flatten();
            status.is_some()
        })
        .await?;
        Ok(status.is_some_and(|status| status.signal() == Some(Signal::SIGABRT as i32)))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // SIGKILL; both fail only if it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The order that this process got as a victim; `None` in any other process. From here on it ends when its owner does.
///
/// # Panics
/// If the order is no JSON.
pub fn victim_order() -> Option<Value> {
    let order = environment(VARIABLE)?;
    let order = serde_json::from_str(&order.to_string_lossy()).expect("the order of a victim is JSON");
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    Some(order)
}
