//! What deploying does, step by step. Pure: from the arguments, the account and the stack file to programs to run, files to
//! upload and requests to make.

use isotherm_local_stack::{Stack, names};

use super::var_file::Account;
use crate::args::DeployStep;

/// What the steps follow from.
pub(super) struct Facts<'a> {
    pub(super) stack: &'a Stack,
    pub(super) account: &'a Account,
    /// Name of the environment.
    pub(super) env: &'a str,
    /// The file of variables. Terraform reads it from another folder, so it is an absolute path.
    pub(super) var_file: &'a str,
    /// Folder of what was packaged.
    pub(super) dist: &'a str,
    /// Organisations whose pipeline is applied.
    pub(super) orgs: Vec<&'a str>,
    /// What builds and pushes images; `None` to do without.
    pub(super) builder: Option<&'a str>,
    /// Whether Terraform applies without asking.
    pub(super) yes: bool,
}

/// A step of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) word: DeployStep,
    /// What it is for.
    pub(super) what: &'static str,
    pub(super) actions: Vec<Action>,
}

/// One thing that a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A program is run in the repository's folder.
    Run(Run),
    /// A file is put into a bucket, unless it is there.
    Upload { file: String, bucket: String, key: String },
    /// The errand is started inside the network and waited for.
    Errand { family: String, migrate: bool, orgs: Vec<String> },
}

/// A program with its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) words: Vec<String>,
    /// Run first; if it ends well, there is nothing to do.
    pub(super) unless: Option<Vec<String>>,
    /// A program whose output is this one's input.
    pub(super) input_of: Option<Vec<String>>,
}

/// All steps.
pub(super) fn steps(facts: &Facts<'_>) -> Vec<Step> {
    let step = |word, what, actions| Step { word, what, actions };
    let run = |words: Vec<String>| Action::Run(Run { words, ..Run::default() });
    let Account { account_id, region, .. } = facts.account;
    let state = format!("-backend-config=bucket=isotherm-state-{account_id}-{region}");
    let plan_file = format!("-out={PLAN_FILE}");
    let last = match facts.yes {
        true => terraform(facts, &["apply", "-input=false", PLAN_FILE]),
        false => terraform(facts, &["apply", &var_file(facts)]),
    };
    let orgs = facts.orgs.iter().map(|org| (*org).to_owned()).collect::<Vec<_>>();
    let applies = if orgs.is_empty() { Vec::new() } else { vec![errand(false, orgs)] };
    vec![
        step(
            DeployStep::Package,
            "build and put together what is released",
            vec![run(words(&["./isotherm", "package", "--out", facts.dist]))],
        ),
        step(
            DeployStep::Init,
            "prepare Terraform",
            vec![run(terraform(facts, &["init", "-input=false", &state, &format!("-backend-config=region={region}")]))],
        ),
        step(
            DeployStep::Storage,
            "make buckets and the images' repositories",
            vec![run(apply_targets(facts, storage(facts)))],
        ),
        step(DeployStep::Upload, "upload the functions' zips", uploads(facts)),
        step(DeployStep::Images, "build and push the images", images(facts)),
        step(
            DeployStep::Base,
            "make network, database and secrets, and what migrates",
            vec![run(apply_targets(facts, BASE.map(str::to_owned).to_vec()))],
        ),
        step(DeployStep::Migrate, "migrate the database, from inside the network", vec![errand(true, Vec::new())]),
        step(
            DeployStep::Plan,
            "plan everything else",
            vec![run(terraform(facts, &["plan", "-input=false", &var_file(facts), &plan_file]))],
        ),
        step(DeployStep::Apply, "apply the plan", vec![run(last)]),
        step(DeployStep::Pipelines, "apply the pipelines, from inside the network, and set their schedules", applies),
    ]
}

/// What is made before migrations run: new programs must not meet an old schema.
const BASE: [&str; 5] = [
    "module.platform.module.errand",
    "module.platform.aws_iam_role_policy.administrator",
    "module.platform.module.network",
    "module.platform.module.egress",
    "module.platform.module.cluster",
];
/// The kept plan, in the environment's folder.
const PLAN_FILE: &str = "deploy.tfplan";
/// Architecture of functions and operators.
const PLATFORM: &str = "linux/amd64";

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Folder of the environment.
pub(super) fn folder(env: &str) -> String {
    format!("terraform/environments/{env}")
}

fn terraform(facts: &Facts<'_>, arguments: &[&str]) -> Vec<String> {
    let mut all = words(&["terraform", &format!("-chdir={}", folder(facts.env))]);
    all.extend(words(arguments));
    all
}

fn var_file(facts: &Facts<'_>) -> String {
    format!("-var-file={}", facts.var_file)
}

fn apply_targets(facts: &Facts<'_>, targets: Vec<String>) -> Vec<String> {
    let mut all = terraform(facts, &["apply", &var_file(facts)]);
    if facts.yes {
        all.extend(words(&["-input=false", "-auto-approve"]));
    }
    all.extend(targets.into_iter().map(|target| format!("-target={target}")));
    all
}

fn storage(facts: &Facts<'_>) -> Vec<String> {
    let repository =
        |module: &str, key: &String| format!("module.platform.module.{module}[\"{key}\"].aws_ecr_repository.this");
    let operators = facts.stack.operators.keys().map(|key| repository("fargate_operator", key));
    let errands = facts.stack.errands.keys().map(|key| repository("errand", key));
    ["module.platform.module.storage".to_owned()].into_iter().chain(operators).chain(errands).collect()
}

fn uploads(facts: &Facts<'_>) -> Vec<Action> {
    let Account { account_id, region, release } = facts.account;
    let bucket = names::bucket("artifacts", &format!("{account_id}-{region}"));
    let zips = facts.stack.functions.keys().map(|key| format!("{}.zip", names::function(key)));
    zips.map(|zip| Action::Upload {
        file: format!("{}/functions/{zip}", facts.dist),
        bucket: bucket.clone(),
        key: format!("functions/{release}/{zip}"),
    })
    .collect()
}

fn images(facts: &Facts<'_>) -> Vec<Action> {
    let Some(builder) = facts.builder else { return Vec::new() };
    let Account { account_id, region, release } = facts.account;
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let registry = format!("{account_id}.dkr.ecr.{region}.{suffix}");
    let login = Run {
        words: words(&[builder, "login", "--username", "AWS", "--password-stdin", &registry]),
        input_of: Some(words(&["aws", "ecr", "get-login-password", "--region", region])),
        unless: None,
    };
    let mut actions = vec![Action::Run(login)];
    for family in facts.stack.operators.keys().chain(facts.stack.errands.keys()).map(|key| names::task_definition(key))
    {
        let image = format!("{registry}/{family}:{release}");
        let context = format!("{}/images/{family}", facts.dist);
        // A tag is never given twice, so an image that is there is this one.
        let is_there = || Some(words(&[builder, "manifest", "inspect", &image]));
        let build = words(&[builder, "build", "--platform", PLATFORM, "--tag", &image, &context]);
        actions.push(Action::Run(Run { words: build, unless: is_there(), input_of: None }));
        actions.push(Action::Run(Run { words: words(&[builder, "push", &image]), unless: is_there(), input_of: None }));
    }
    actions
}

fn errand(migrate: bool, orgs: Vec<String>) -> Action {
    Action::Errand { family: names::task_definition(ERRAND), migrate, orgs }
}

/// Key of the errand in the stack file.
const ERRAND: &str = "migrate";

impl Action {
    /// What a person would type for it.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::Run(run) => {
                let line = match &run.input_of {
                    Some(first) => format!("{} | {}", shell(first), shell(&run.words)),
                    None => shell(&run.words),
                };
                match &run.unless {
                    Some(check) => vec![format!("{} || {line}", shell(check))],
                    None => vec![line],
                }
            }
            Self::Upload { file, bucket, key } => vec![
                shell(&words(&["aws", "s3", "cp", file, &format!("s3://{bucket}/{key}")])) + " # unless it is there",
            ],
            Self::Errand { family, migrate, orgs } => {
                let asked = match (migrate, orgs.as_slice()) {
                    (true, _) => "migrations".to_owned(),
                    (false, orgs) => format!("the pipelines of {}", orgs.join(", ")),
                };
                vec![format!(
                    "aws ecs run-task --cluster {} --task-definition {family} … # {asked}; waits for the answer",
                    names::cluster()
                )]
            }
        }
    }
}

/// The words as a shell reads them.
fn shell(words: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    let quoted = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::golden;

    fn stack() -> Stack {
        Stack::parse(include_str!("../../../terraform/stack.yaml"), "stack.yaml").unwrap()
    }

    fn account() -> Account {
        let [account_id, region, release] = ["123456789012", "eu-west-1", "0.1.0"].map(str::to_owned);
        Account { account_id, region, release }
    }

    fn facts<'a>(stack: &'a Stack, account: &'a Account) -> Facts<'a> {
        Facts {
            stack,
            account,
            env: "dev",
            var_file: "/home/ana/dev.tfvars",
            dist: "dist",
            orgs: vec!["default"],
            builder: Some("docker"),
            yes: true,
        }
    }

    #[test]
    fn the_dry_run_is_the_golden_file() {
        let (stack, account) = (stack(), account());
        let steps = super::super::printed(&account, "dev", &steps(&facts(&stack, &account)));
        golden::check("deploy_dry_run", &json!(steps));
    }

    #[test]
    fn the_steps_are_those_that_can_be_named_in_their_order() {
        use clap::ValueEnum as _;
        let (stack, account) = (stack(), account());
        let made: Vec<DeployStep> = steps(&facts(&stack, &account)).iter().map(|step| step.word).collect();
        assert_eq!(made, DeployStep::value_variants());
        assert!(made.is_sorted());
    }

    #[test]
    fn without_yes_terraform_asks_and_without_a_builder_no_image_is_made() {
        let (stack, account) = (stack(), account());
        let facts = Facts { yes: false, builder: None, orgs: Vec::new(), ..facts(&stack, &account) };
        let steps = steps(&facts);
        let lines: Vec<String> = steps.iter().flat_map(|step| &step.actions).flat_map(Action::lines).collect();
        assert!(lines.iter().all(|line| !line.contains("-auto-approve") && !line.contains("docker")), "{lines:?}");
        let of = |word| steps.iter().find(|step| step.word == word).unwrap();
        assert!(of(DeployStep::Images).actions.is_empty() && of(DeployStep::Pipelines).actions.is_empty());
    }

    #[test]
    fn every_function_and_every_image_of_the_stack_file_goes_there() {
        let (stack, account) = (stack(), account());
        let facts = facts(&stack, &account);
        assert_eq!(uploads(&facts).len(), stack.functions.len());
        let count = stack.operators.len() + stack.errands.len();
        assert_eq!(images(&facts).len(), 1 + 2 * count, "a login, then build and push of each");
        assert_eq!(storage(&facts).len(), 1 + count);
    }

    #[test]
    fn words_are_quoted_as_a_shell_wants_them() {
        assert_eq!(shell(&words(&["a", "b c", "d\"e", "it's", ""])), "a 'b c' 'd\"e' 'it'\\''s' ''");
    }
}
