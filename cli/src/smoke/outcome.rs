//! What a check came to, and how it is told: `ok|failed: what, why, what to do`, with the time that it took.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::args::Output;
use crate::output::say;

/// A check that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Its name for programs.
    pub(super) name: &'static str,
    /// What was tried.
    pub(super) what: &'static str,
    pub(super) took: Duration,
    /// What was seen, or why it failed.
    pub(super) found: Result<String, String>,
    /// What to do if it failed.
    pub(super) advice: &'static str,
}

impl Outcome {
    pub(super) fn is_ok(&self) -> bool {
        self.found.is_ok()
    }

    fn line(&self) -> String {
        let millis = self.took.as_millis();
        match &self.found {
            Ok(seen) => format!("ok: {}, {seen} ({millis} ms)", self.what),
            Err(why) => format!("failed: {}, {why}; {} ({millis} ms)", self.what, self.advice),
        }
    }

    fn to_json(&self) -> Value {
        let (ok, detail) = match &self.found {
            Ok(seen) => (true, seen),
            Err(why) => (false, why),
        };
        let millis = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        let advice = (!ok).then_some(self.advice);
        json!({ "name": self.name, "what": self.what, "ok": ok, "detail": detail, "advice": advice, "duration_ms": millis })
    }
}

/// A check before it is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) advice: &'static str,
}

impl Check {
    /// Makes the check and notes how long it took. The value is for those that build on it.
    pub(super) async fn make<T>(
        self,
        check: impl Future<Output = anyhow::Result<(T, String)>>,
    ) -> (Outcome, Option<T>) {
        let began = Instant::now();
        let made = check.await;
        let took = began.elapsed();
        let (value, found) = match made {
            Ok((value, seen)) => (Some(value), Ok(seen)),
            Err(error) => (None, Err(format!("{error:#}"))),
        };
        (self.outcome(took, found), value)
    }

    /// The check as somebody else made it.
    pub(super) fn outcome(self, took: Duration, found: Result<String, String>) -> Outcome {
        Outcome { name: self.name, what: self.what, took, found, advice: self.advice }
    }
}

/// Tells people of one check as soon as it is made.
pub(super) fn tell(output: Output, outcome: &Outcome) {
    if output == Output::Table {
        say!("{}", outcome.line());
    }
}

/// Tells programs of all, and people how many failed.
pub(super) fn end(output: Output, outcomes: &[Outcome]) -> anyhow::Result<()> {
    let failed = outcomes.iter().filter(|outcome| !outcome.is_ok()).count();
    match output {
        Output::Table if failed == 0 => say!("all {} checks are well", outcomes.len()),
        Output::Table => say!("{failed} of {} checks failed", outcomes.len()),
        Output::Json => {
            let all: Vec<Value> = outcomes.iter().map(Outcome::to_json).collect();
            say!("{}", serde_json::to_string_pretty(&json!({ "ok": failed == 0, "checks": all }))?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn outcome(found: Result<String, String>) -> Outcome {
        let check = Check { name: "query", what: "the query function is asked", advice: "look at its log" };
        check.outcome(Duration::from_millis(12), found)
    }

    #[test]
    fn a_check_is_one_line() {
        assert_eq!(outcome(Ok("1".to_owned())).line(), "ok: the query function is asked, 1 (12 ms)");
        let failed = outcome(Err("it is not there".to_owned()));
        assert_eq!(failed.line(), "failed: the query function is asked, it is not there; look at its log (12 ms)");
    }

    #[test]
    fn checks_for_programs_are_the_golden_file() {
        let both = [outcome(Ok("1".to_owned())), outcome(Err("no".to_owned()))];
        golden::check(
            "smoke",
            &json!({ "ok": false, "checks": both.iter().map(Outcome::to_json).collect::<Vec<_>>() }),
        );
    }
}
