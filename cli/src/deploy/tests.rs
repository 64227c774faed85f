use clap::Parser as _;

use super::*;
use crate::args::{Arguments, Command};

fn arguments(words: &[&str]) -> DeployArguments {
    match Arguments::try_parse_from(["isotherm", "deploy"].iter().chain(words)).unwrap().command {
        Command::Deploy(arguments) => arguments,
        other => panic!("{other:?}"),
    }
}

fn error(outcome: anyhow::Result<ExitCode>) -> String {
    format!("{:#}", outcome.unwrap_err())
}

#[tokio::test]
async fn a_wrong_beginning_is_told_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good = write("good.tfvars", "account_id = \"123456789012\"\nregion = \"eu-west-1\"\nrelease = \"0.1.0\"\n");
    let short = write("short.tfvars", "region = \"eu-west-1\"\n");
    let pipeline = write("pipeline.yaml", "version: 1\njobs: [{ name: a }]\n");
    let cases = [
        (vec!["--env", "staging"], "there is no environment \"staging\"; there are: dev, prod"),
        (vec!["--env", "dev", "--var-file", "/nowhere.tfvars"], "could not read /nowhere.tfvars"),
        (vec!["--env", "dev", "--var-file", &short], "the line `account_id = \"…\"` is missing"),
        (vec!["--env", "dev", "--var-file", &good, "--pipeline", &pipeline], "is not applied"),
    ];
    for (words, expected) in cases {
        let error = error(run(&arguments(&words)).await);
        assert!(error.contains(expected), "{words:?}: {error}");
    }
    let dry = arguments(&["--env", "dev", "--var-file", &good, "--dry-run", "--step", "migrate"]);
    assert!(run(&dry).await.is_ok(), "a dry run needs neither account nor programs");
}

#[tokio::test]
async fn a_step_that_fails_is_named_with_the_way_to_repeat_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dev.tfvars");
    std::fs::write(&file, "account_id = \"123456789012\"\nregion = \"eu-west-1\"\nrelease = \"0.1.0\"\n").unwrap();
    let (file, dist) = (file.display().to_string(), folder.path().join("dist").display().to_string());
    let words = ["--env", "dev", "--var-file", &file, "--dist", &dist, "--step", "upload"];
    let error = error(run(&arguments(&words)).await);
    assert!(error.starts_with("step upload of dev did not end well"), "{error}");
    assert!(error.contains("SHA256SUMS; the step `package` makes it"), "{error}");
}

#[test]
fn a_plan_of_before_is_not_applied() {
    let check = |words: &[&str]| check_steps(&arguments(&[&["--env", "dev"], words].concat()));
    let refused = format!("{:#}", check(&["--yes", "--step", "apply"]).unwrap_err());
    assert!(refused.contains("give `--step plan --step apply`"), "{refused}");
    assert!(check(&["--yes", "--step", "migrate", "--step", "apply"]).is_err());
    for good in [&["--yes"][..], &["--yes", "--step", "plan", "--step", "apply"], &["--step", "apply"]] {
        assert!(check(good).is_ok(), "{good:?}");
    }
    assert!(stopped_at("dev", DeployStep::Apply).contains("`--step plan --step apply`"));
}

#[test]
fn only_the_steps_that_are_named_are_done() {
    let all = arguments(&["--env", "dev"]);
    assert!(is_asked(&all, DeployStep::Package) && is_asked(&all, DeployStep::Pipelines));
    let some = arguments(&["--env", "dev", "--step", "apply", "--step", "plan"]);
    assert!(is_asked(&some, DeployStep::Plan) && is_asked(&some, DeployStep::Apply));
    assert!(!is_asked(&some, DeployStep::Migrate));
}

#[tokio::test]
async fn a_program_runs_unless_its_check_says_that_there_is_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let touched = |name: &str| folder.path().join(name).exists();
    let run = async |words: Vec<String>, unless: Option<Vec<String>>| {
        programs::run(&plan::Run { words, unless, input_of: None }, folder.path()).await
    };
    run(words(&["touch", "a"]), Some(words(&["false"]))).await.unwrap();
    run(words(&["touch", "b"]), Some(words(&["true"]))).await.unwrap();
    assert!(touched("a") && !touched("b"));
    let piped = plan::Run { words: words(&["tee", "c"]), input_of: Some(words(&["echo", "secret"])), unless: None };
    programs::run(&piped, folder.path()).await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("c")).unwrap(), "secret\n");
    let error = run(words(&["false"]), None).await.unwrap_err().to_string();
    assert!(error.starts_with("`false` ended with exit status: 1"), "{error}");
    let error = run(words(&["no-such-program"]), None).await.unwrap_err().to_string();
    assert!(error.contains("no-such-program; is it installed?"), "{error}");
}
