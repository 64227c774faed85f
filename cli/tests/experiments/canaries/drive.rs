//! The stack of the drive, its secrets, and what it has said.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::experiment::Experiment;
use isotherm_lab::ministack::REGION;
use isotherm_lab::process::eventually;
use isotherm_lab::tools;
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use isotherm_local_stack::{LocalAws, names};
use isotherm_types::{Clock as _, SystemClock};
use rand::{Rng as _, RngCore};
use reqwest::Method;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::doors::{Doors, Mood};
use super::receivers::Receivers;
use super::search::{Canary, Search};
use super::secret_word;
use super::stores::{self, Searched};
use crate::stack::{Ended, Stack};

/// Account of the local stack.
pub(crate) const ACCOUNT: &str = "000000000000";
/// Blocks before anything is started: two partitions of 20 are final then.
const BLOCKS: u64 = 46;
/// How the stack file has a process log, and how the drive wants it.
const QUIET: &str = "environment: { ISOTHERM_LOG: info }";

pub(crate) struct Drive {
    pub(crate) stack: Stack,
    pub(crate) conn: PgConnection,
    pub(crate) aws: LocalAws,
    pub(crate) chain: Anvil,
    pub(crate) traffic: Traffic,
    pub(crate) doors: Doors,
    pub(crate) receivers: Receivers,
    pub(crate) random: Box<dyn RngCore>,
    pub(crate) running: Value,
    pub(crate) canaries: Vec<Canary>,
    /// What was seen of each canary: that it was needed, and did its work.
    uses: BTreeMap<&'static str, bool>,
    /// Outputs of commands, answers of the API and of functions, by whose they are.
    said: Vec<(String, String)>,
    /// Holds the stack file.
    root: TempDir,
}

impl Drive {
    /// Starts a stack that follows a chain by doors with keys.
    pub(crate) async fn start(experiment: &Experiment) -> Self {
        let mut random = experiment.random(0);
        // Blocks of now: people are not told of old ones.
        let now = SystemClock.now().timestamp().unsigned_abs();
        let chain = Anvil::start(AnvilOptions { timestamp: Some(now), ..AnvilOptions::deterministic() }).await.unwrap();
        let mut traffic = Traffic::new(chain.rpc_url(), chain.chain_id(), 7, TrafficOptions::default());
        while chain.block_number().await.unwrap() + 1 < BLOCKS {
            traffic.mine_block().await.unwrap();
        }
        let doors = Doors::open(&chain.rpc_url(), || random.random()).await;
        let [hook, failing, bot] = std::array::from_fn(|_| secret_word(random.random()));
        let slack_token = format!("xoxb-1234-{bot}");
        let receivers = Receivers::open(&hook, &failing, &slack_token).await;

        let root = tempfile::tempdir().unwrap();
        write_stack_file(root.path(), experiment.lacks("environment").then(|| doors.urls()));
        let mut stack = Stack::new().with(environment(root.path()));
        let urls = doors.urls();
        let up = ["up", "--rpc-url", &urls, "--chain", "test", "--start", "0"];
        stack.start(&[&up[..], &["--partition-blocks", "20", "--finality-depth", "4"]].concat()).await;
        let running = stack.running().unwrap();
        stores::owners_only(&stack.folder().join("running.json"));
        let text = |name: &str| running[name].as_str().unwrap().to_owned();
        let aws = LocalAws::with_secret(&text("endpoint_url"), REGION, ACCOUNT, &text("secret_access_key")).await;
        let conn = PgConnection::connect(&text("database_url")).await.unwrap();
        let mut drive = Self {
            stack,
            conn,
            aws,
            chain,
            traffic,
            doors,
            receivers,
            random: Box::new(random),
            running,
            canaries: Vec::new(),
            uses: BTreeMap::new(),
            said: Vec::new(),
            root,
        };
        for (name, secret) in [("hook_path", hook), ("failing_hook_path", failing), ("slack_token", slack_token)] {
            drive.hide(name, secret);
        }
        drive.hide_what_the_stack_has_made().await;
        drive.the_tip_is_stored().await;
        drive
    }

    async fn hide_what_the_stack_has_made(&mut self) {
        let doors: Vec<(&'static str, String)> =
            self.doors.doors.iter().map(|door| (door.name, door.key.clone())).collect();
        for (name, key) in doors {
            self.hide(name, key);
        }
        let url = self.text("database_url");
        let password = password_of(&url).to_owned();
        // One letter more.
        let wrong = url.replace(&format!(":{password}@"), &format!(":{password}x@"));
        let is_refused = PgConnection::connect(&wrong).await.is_err();
        self.saw("database_password", is_refused);
        self.hide("database_password", password);
        self.hide("aws_secret", self.text("secret_access_key"));
        let identity = self.stack.folder().join("identity");
        let keys: Value = serde_json::from_str(&fs::read_to_string(identity.join("alerts.json")).unwrap()).unwrap();
        self.hide("sealing_key", STANDARD.decode(keys["keys"][0]["key"].as_str().unwrap()).unwrap());
        let pem = fs::read_to_string(identity.join("key.pem")).unwrap();
        let encoded: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        // Source: RFC 8410, section 7: sixteen bytes of wrapping, then the key itself.
        self.hide("issuer_key", &STANDARD.decode(encoded).unwrap()[16..48]);
    }

    pub(crate) async fn the_tip_is_stored(&self) {
        let head = self.chain.block_number().await.unwrap();
        eventually("the chain's head to be stored", async || self.stack.tip().await == head).await.unwrap();
    }

    pub(crate) fn word(&mut self) -> String {
        secret_word(self.random.random())
    }

    /// A text of `running.json`.
    pub(crate) fn text(&self, name: &str) -> String {
        self.running[name].as_str().unwrap().to_owned()
    }

    /// Has `secret` searched for.
    pub(crate) fn hide(&mut self, name: &'static str, secret: impl AsRef<[u8]>) {
        self.canaries.push(Canary::new(name, secret));
    }

    /// Whether the canary did its work, where that was looked at; once not is never.
    pub(crate) fn saw(&mut self, name: &'static str, is_used: bool) {
        let known = self.uses.entry(name).or_insert(true);
        *known &= is_used;
    }

    /// How many canaries nobody needed, which are printed.
    pub(crate) fn unused(&mut self) -> i64 {
        let keys: Vec<_> = self.doors.doors.iter().map(|door| (door.name, door.with_key() > 0)).collect();
        for (name, is_used) in keys {
            self.saw(name, is_used);
        }
        let used = |canary: &&Canary| self.uses.get(canary.name) == Some(&true);
        let unused: Vec<_> = self.canaries.iter().filter(|canary| !used(canary)).map(|canary| canary.name).collect();
        unused.iter().for_each(|name| println!("{name} was not used"));
        i64::try_from(unused.len()).unwrap()
    }

    /// Keeps what somebody said, to be searched.
    pub(crate) fn note(&mut self, whose: impl Into<String>, said: impl Into<String>) {
        self.said.push((whose.into(), said.into()));
    }

    /// Runs a command and keeps what it prints.
    pub(crate) async fn run(&mut self, arguments: &[&str]) -> Ended {
        let ended = self.stack.run(arguments).await;
        self.note_end(arguments, ended)
    }

    pub(crate) async fn run_with_input(&mut self, arguments: &[&str], input: &str) -> Ended {
        let ended = self.stack.run_with_input(arguments, input).await;
        self.note_end(arguments, ended)
    }

    fn note_end(&mut self, arguments: &[&str], ended: Ended) -> Ended {
        let words = &arguments[..arguments.len().min(2)];
        self.note(format!("isotherm {}", words.join(" ")), format!("{}{}", ended.stdout, ended.stderr));
        ended
    }

    /// The same, for a command that must end well.
    pub(crate) async fn must(&mut self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended
    }

    /// Calls the API with a token and a body; its status and its answer, which is kept.
    pub(crate) async fn call(&mut self, method: Method, path: &str, token: &str, body: &Value) -> (u16, String) {
        let whose = format!("{method} {path}");
        let (status, answer) = self.ask(method, path, token, body).await;
        self.note(whose, &answer);
        (status, answer)
    }

    /// The same, for an answer that is to show a secret: it is not kept.
    pub(crate) async fn ask(&self, method: Method, path: &str, token: &str, body: &Value) -> (u16, String) {
        let url = format!("{}{path}", self.text("api_url"));
        let mut request = reqwest::Client::new().request(method, url).bearer_auth(token);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let head = format!("{:?}", answer.headers());
        let status = answer.status().as_u16();
        (status, format!("{}\n{head}", answer.text().await.unwrap()))
    }

    /// What the commands of another stack need to be like this one's.
    pub(crate) fn another(&self) -> Stack {
        Stack::new().with(environment(self.root.path()))
    }

    /// Has a function start anew, with these variables besides.
    pub(crate) async fn restart(&self, function: &str, more: &[(&str, &str)]) {
        let (lambda, name) = (self.aws.lambda(), names::function(function));
        let found = lambda.get_function_configuration().function_name(&name).send().await.unwrap();
        let mut variables = found.environment().and_then(|found| found.variables()).cloned().unwrap();
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let environment = aws_sdk_lambda::types::Environment::builder().set_variables(Some(variables)).build();
        lambda.update_function_configuration().function_name(&name).environment(environment).send().await.unwrap();
        eventually(format!("{function} to be configured"), async || {
            let found = lambda.get_function_configuration().function_name(&name).send().await.unwrap();
            found.last_update_status() == Some(&aws_sdk_lambda::types::LastUpdateStatus::Successful)
        })
        .await
        .unwrap();
    }

    /// Stops the stack, whose files stay, and searches what was said.
    pub(crate) async fn end(mut self, search: &Search) -> (Stack, Searched) {
        self.doors.set_all(Mood::Honest);
        self.must(&["down"]).await;
        assert_eq!(self.stack.ended().await, Some(0), "{}", self.stack.log());
        let mut searched = Searched::default();
        for (whose, said) in &self.said {
            searched.add(search, whose, said.as_bytes());
        }
        (self.stack, searched)
    }
}

/// The password in `postgres://user:password@…`.
pub(crate) fn password_of(url: &str) -> &str {
    url.split_once("://").unwrap().1.split_once('@').unwrap().0.split_once(':').unwrap().1
}

/// What has commands read the stack file of `root`, and otherwise do as all do.
fn environment(root: &Path) -> Vec<(String, std::ffi::OsString)> {
    let tools = tools::tools_folder().unwrap();
    vec![
        ("ISOTHERM_ROOT".to_owned(), root.into()),
        ("ISOTHERM_TOOLS".to_owned(), tools.into()),
        ("RUST_BACKTRACE".to_owned(), "1".into()),
    ]
}

/// The stack file of the repository, but for its logs: all of them, and the stack of each panic. `told`: an address that every process
/// is told as well, as a plain variable.
fn write_stack_file(root: &Path, told: Option<String>) {
    let file = tools::repository_root().unwrap().join("terraform/stack.yaml");
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(QUIET), "no process of the stack file has `{QUIET}`");
    let told = told.map(|url| format!(", ISOTHERM_NOTE: \"{url}\"")).unwrap_or_default();
    let loud = format!("environment: {{ ISOTHERM_LOG: trace, RUST_BACKTRACE: \"1\"{told} }}");
    fs::create_dir(root.join("terraform")).unwrap();
    fs::write(root.join("terraform/stack.yaml"), text.replace(QUIET, &loud)).unwrap();
}
