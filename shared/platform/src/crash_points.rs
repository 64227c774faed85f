//! Arms the crash point that the environment names, for tests and experiments.
//!
//! The points are `isotherm_types::CrashPoint`. It must never matter in production: release builds have none.

use isotherm_types::crash_point::Armed;

use crate::config::Environment;

/// `ISOTHERM_CRASH_POINT`: `worker.claimed:2` ends the process at its second passage of that point.
pub const CRASH_POINT_VARIABLE: &str = "ISOTHERM_CRASH_POINT";

/// Arms this process as its environment says. A value that names no point is reported and arms nothing.
pub fn arm_as_told() {
    let mut environment = Environment::of_process();
    let told = environment.optional_parsed::<Armed>(CRASH_POINT_VARIABLE, "the name of a crash point and a hit");
    match environment.check() {
        Ok(checked) => {
            if let Some(armed) = told.open(&checked) {
                armed.arm();
            }
        }
        Err(error) => tracing::error!(error.code = "config.invalid", error.message = %error, "no crash point is armed"),
    }
}
