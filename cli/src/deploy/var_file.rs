//! What a file of Terraform's variables says of the account. Not all of its language: texts of one line at the top level.

use std::path::Path;

use anyhow::{Context, bail, ensure};

/// Where a release goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// Twelve digits.
    pub(crate) account_id: String,
    pub(crate) region: String,
    /// Tag of images, folder of zips.
    pub(crate) release: String,
}

/// Reads the file.
///
/// # Errors
/// If it cannot be read, or does not say account, region and release.
pub(crate) fn read(path: &Path) -> anyhow::Result<Account> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "could not read {}; terraform/README.md shows what belongs into it, and --var-file names another",
            path.display()
        )
    })?;
    account(&text).with_context(|| format!("{} does not say where the release goes", path.display()))
}

fn account(text: &str) -> anyhow::Result<Account> {
    let account_id = value(text, "account_id")?;
    ensure!(
        account_id.len() == 12 && account_id.bytes().all(|byte| byte.is_ascii_digit()),
        "account_id has to be the twelve digits of the account"
    );
    let (region, release) = (value(text, "region")?, value(text, "release")?);
    let is_plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    ensure!(
        is_plain(&region) && is_plain(&release),
        "region and release are made of letters, digits, `_`, `.` and `-`"
    );
    Ok(Account { account_id, region, release })
}

fn value(text: &str, name: &str) -> anyhow::Result<String> {
    for line in text.lines() {
        let Some((left, right)) = line.split_once('=') else { continue };
        if left.trim() != name {
            continue;
        }
        let right = right.trim();
        let quoted = right.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let Some((value, rest)) = quoted else { bail!("{name} has to be a text in quotes, on its own line") };
        let rest = rest.trim();
        ensure!(rest.is_empty() || rest.starts_with(['#', '/']), "{name}: `{rest}` is not understood");
        return Ok(value.to_owned());
    }
    bail!("the line `{name} = \"…\"` is missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "account_id    = \"123456789012\" # ours\nregion = \"eu-west-1\"\nrelease=\"0.1.0\"\n\
        allowed_hosts = [\"rpc.example.com\"]\n";

    #[test]
    fn account_region_and_release_are_read() {
        let found = account(GOOD).unwrap();
        let expected = ["123456789012", "eu-west-1", "0.1.0"].map(str::to_owned);
        assert_eq!([found.account_id, found.region, found.release], expected);
    }

    #[test]
    fn what_is_missing_or_senseless_is_named() {
        let cases = [
            ("region = \"eu-west-1\"\n", "", "`region = \"…\"` is missing"),
            ("\"123456789012\"", "123456789012", "account_id has to be a text in quotes"),
            ("\"123456789012\"", "\"1234\"", "twelve digits"),
            ("\"0.1.0\"", "\"0.1.0;rm\"", "made of letters"),
            ("\"0.1.0\"", "\"a\" + \"b\"", "is not understood"),
        ];
        for (right, wrong, expected) in cases {
            assert!(GOOD.contains(right), "{right}");
            let error = format!("{:#}", account(&GOOD.replace(right, wrong)).unwrap_err());
            assert!(error.contains(expected), "{wrong}: {error}");
        }
    }
}
