//! Other programs that deploying runs: Terraform, what builds images, the AWS command line.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::plan::Run;

/// What builds and pushes images, the first that is there wins. All three understand the same words.
const BUILDERS: [&str; 3] = ["docker", "podman", "buildah"];

/// The program that builds images, or that there is none.
///
/// # Errors
/// If there is none.
pub(super) async fn builder() -> anyhow::Result<&'static str> {
    for name in BUILDERS {
        let run = Command::new(name).arg("--version").stdin(Stdio::null()).output().await;
        if run.is_ok_and(|output| output.status.success()) {
            return Ok(name);
        }
    }
    bail!(
        "images cannot be built: none of {} is installed; install one, or give --skip-images and push the images of \
         dist/images another way",
        BUILDERS.join(", ")
    )
}

/// Runs it in `folder`, its output for everybody to see.
///
/// # Errors
/// If it cannot be started, or does not end well.
pub(super) async fn run(run: &Run, folder: &Path) -> anyhow::Result<()> {
    if let Some(check) = &run.unless
        && is_well(check, folder).await?
    {
        return Ok(());
    }
    let input = match &run.input_of {
        Some(first) => Some(output(first, folder).await?),
        None => None,
    };
    let mut command = command(&run.words, folder)?;
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().with_context(|| not_started(&run.words))?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(&input).await.with_context(|| format!("{} did not read its input", run.words[0]))?;
    }
    let status = child.wait().await.with_context(|| not_started(&run.words))?;
    ensure!(status.success(), "`{}` ended with {status}; its own words are above", named(&run.words));
    Ok(())
}

/// An output of Terraform's state.
///
/// # Errors
/// If there is none of that name: what makes it has not been applied.
pub(crate) async fn terraform_output(environment: &str, name: &str, folder: &Path) -> anyhow::Result<Value> {
    let words = ["terraform", &format!("-chdir={environment}"), "output", "-json", name].map(str::to_owned);
    let printed = output(&words, folder).await.with_context(|| {
        format!(
            "Terraform's state of {environment} has no output `{name}`; the steps `init`, `base` and `apply` make it"
        )
    })?;
    serde_json::from_slice(&printed).with_context(|| format!("Terraform's output `{name}` is no JSON"))
}

/// What the program prints; its complaints are shown.
///
/// # Errors
/// If it cannot be started, or does not end well.
pub(crate) async fn output(words: &[String], folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mut command = command(words, folder)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let output = command.spawn().with_context(|| not_started(words))?.wait_with_output().await;
    let output = output.with_context(|| not_started(words))?;
    ensure!(output.status.success(), "`{}` ended with {}", named(words), output.status);
    Ok(output.stdout)
}

async fn is_well(words: &[String], folder: &Path) -> anyhow::Result<bool> {
    let mut command = command(words, folder)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().await.with_context(|| not_started(words))?;
    Ok(status.success())
}

fn command(words: &[String], folder: &Path) -> anyhow::Result<Command> {
    let (program, arguments) = words.split_first().context("a program without a name cannot be run")?;
    // A name with a folder is meant from the repository.
    let program = if program.starts_with("./") { folder.join(program) } else { program.into() };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).kill_on_drop(true);
    Ok(command)
}

fn not_started(words: &[String]) -> String {
    format!("could not run {}; is it installed?", words.first().map_or("a program", String::as_str))
}

/// The program and what it is asked, without what may be long.
fn named(words: &[String]) -> String {
    words.iter().filter(|word| !word.starts_with('-')).take(3).cloned().collect::<Vec<_>>().join(" ")
}
