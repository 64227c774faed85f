//! `isotherm secrets set`: what webhooks of the running stack are signed with.
//!
//! The value comes from standard input, never from an argument, where the list of processes and the shell's history would
//! show it. It is never printed.

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::{Context, bail};
use isotherm_control::webhook::SigningKey;
use isotherm_local_stack::names;
use isotherm_local_stack::provision::{Change, secrets};

use crate::args::{SecretsArguments, SecretsCommand};
use crate::connected;
use crate::home::Home;
use crate::output::say;

/// What names of webhooks' keys begin with.
const WEBHOOK: &str = "webhook/";
/// Longest rest of the name.
const MAX_NAME: usize = 63;

pub(crate) async fn run(home: &Home, arguments: &SecretsArguments) -> anyhow::Result<ExitCode> {
    let SecretsCommand::Set { name } = &arguments.command;
    check_name(name)?;
    let running = home.expect_running()?;
    let value = value(&read_standard_input()?)?;
    let aws = connected::aws(&running).await;
    let (_, change) = secrets::ensure(&aws, name, &value).await.context("could not store the secret")?;
    let secret = names::secret(name);
    match change {
        Change::Unchanged => say!("{secret} has this value already"),
        Change::Created => say!("{secret} is stored"),
        Change::Updated | Change::Removed => say!("{secret} is replaced; the old value counts for up to a minute more"),
    }
    Ok(ExitCode::SUCCESS)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter);
    match name.strip_prefix(WEBHOOK) {
        Some(rest) if (1..=MAX_NAME).contains(&rest.len()) && rest.chars().all(allowed) => Ok(()),
        _ => bail!("{name:?} is no name of a secret: write webhook/NAME, NAME of a-z, 0-9, _ and -"),
    }
}

fn read_standard_input() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        eprintln!("type the value, then Enter and Ctrl-D (it is shown: from a file or a pipe it is not)");
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("could not read the value from standard input")?;
    Ok(text)
}

/// The value without the line's end that most programs put there.
fn value(text: &str) -> anyhow::Result<String> {
    let value = text.strip_suffix('\n').unwrap_or(text);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if SigningKey::parse(value).is_none() {
        bail!("the value is no signing key: it is empty, or not base64 after whsec_");
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_webhooks_are_set_here() {
        for good in ["webhook/orders", "webhook/a-b_1", &format!("webhook/{}", "x".repeat(63))] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "webhook/", "database", "rpc/monad", "webhook/a/b", "webhook/A", "isotherm/webhook/a"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_end_of_the_line_is_no_part_of_the_value() {
        for text in ["key", "key\n", "key\r\n"] {
            assert_eq!(value(text).unwrap(), "key");
        }
        assert_eq!(value("two\nlines\n").unwrap(), "two\nlines");
        for bad in ["", "\n", "whsec_", "whsec_?"] {
            let error = value(bad).unwrap_err().to_string();
            assert!(!error.contains('?'), "{error}");
        }
    }
}
