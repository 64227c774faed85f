//! `isotherm whoami`: what the API takes the token of `isotherm login` for.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::args::WhoAmIArguments;
use crate::home::Home;
use crate::output::{self, cell, say};
use crate::{local_key, orgs};

/// Longest wait for the answer: the function may have to be started.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) async fn run(home: &Home, arguments: &WhoAmIArguments) -> anyhow::Result<ExitCode> {
    let stack = home.expect_running()?;
    let token = local_key::token(home)?;
    let call = reqwest::Client::new().get(format!("{}/v1/whoami", stack.api_url)).bearer_auth(token).timeout(TIMEOUT);
    let response = call.send().await.context("could not ask the API")?;
    let is_good = response.status() == reqwest::StatusCode::OK;
    let body = response.bytes().await.context("could not read the API's answer")?;
    let body: Value = serde_json::from_slice(&body).context("the API's answer is not understood")?;
    if !is_good {
        bail!("{} ({}); `isotherm login` gets a new token", cell(&body["message"]), cell(&body["code"]));
    }
    output::show(arguments.printed.output, &body, || say!("{}", words(&body)))?;
    Ok(ExitCode::SUCCESS)
}

/// The answer for people.
fn words(me: &Value) -> String {
    let list = |value: &Value, word: &dyn Fn(&Value) -> String| {
        let words: Vec<_> = value.as_array().into_iter().flatten().map(word).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    };
    [
        ("organisation", cell(&me["org"])),
        ("user", cell(&me["user"])),
        ("role", cell(&me["role"])),
        ("permissions", list(&me["permissions"], &cell)),
        ("datasets", list(&me["grants"], &orgs::grant_words)),
        ("until", cell(&me["expires_at"])),
    ]
    .map(|(name, value)| format!("{name:<13} {value}"))
    .join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_is_told_who_they_are_and_what_they_may() {
        let me = json!({
            "org": "acme", "user": "ann", "role": "reader", "permissions": ["run_queries", "read_org"],
            "grants": [{ "chain_id": 143, "dataset": null }, { "chain_id": null, "dataset": "logs" }],
            "expires_at": "2026-11-26T22:00:00Z",
        });
        let expected = "organisation  acme\nuser          ann\nrole          reader\n\
            permissions   run_queries, read_org\ndatasets      every dataset of chain 143, logs of every chain\n\
            until         2026-11-26T22:00:00Z";
        assert_eq!(words(&me), expected);
        assert!(words(&json!({ "grants": [] })).contains("datasets      none"));
    }
}
