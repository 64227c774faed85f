//! The AWS emulator (ministack) as a private server on a free port.
//!
//! It runs with an environment of its own, since the Lambda processes that it starts inherit it; they belong to its
//! session, so they die with it. All its files go to its folder. Its Docker support is pointed at nothing: it would
//! otherwise stop containers that it finds on the machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::LabError;
use crate::folder::Folder;
use crate::port::Port;
use crate::process::{Process, ProcessSpec};
use crate::tools;

/// Region of the emulator.
pub const REGION: &str = "us-east-1";

static SHARED: OnceCell<Ministack> = OnceCell::const_new();

/// How the emulator is started.
#[derive(Clone, Debug, Default)]
pub struct MinistackOptions {
    /// Fixed port; a free one if absent.
    pub port: Option<u16>,
    /// Folder to keep state in between runs; absent: nothing outlives the server.
    pub state: Option<PathBuf>,
    /// Further variables, which the Lambda processes inherit too.
    pub environment: Vec<(String, String)>,
}

/// A running emulator. Dropping it stops it and the Lambda processes that it started.
#[derive(Debug)]
pub struct Ministack {
    process: Process,
    port: Port,
    client: reqwest::Client,
}

impl Ministack {
    /// Starts an emulator and waits until it is healthy.
    ///
    /// # Errors
    /// [`LabError::ToolMissing`], or a server that ends early, with its log.
    pub async fn start(options: MinistackOptions) -> Result<Self, LabError> {
        let python = tools::ministack_python()?;
        let port = match &options.state {
            Some(folder) if options.port.is_none() => kept_port(folder)?,
            Some(_) | None => Port::fixed_or_free(options.port)?,
        };
        let folder = match &options.state {
            Some(folder) => Folder::Kept(folder.clone()),
            None => Folder::temporary("ministack"),
        };
        let persist = if options.state.is_some() { "1" } else { "0" };
        // On SIGTERM it waits for running Lambda functions and then writes its state; without state there is no point.
        let (stop_signal, stop_grace) = match options.state {
            Some(_) => (Signal::SIGTERM, Duration::from_secs(20)),
            None => (Signal::SIGKILL, Duration::from_secs(1)),
        };
        let scratch = folder.path().join("tmp");
        let mut environment = vec![
            ("HOME".to_owned(), folder.path().display().to_string()),
            ("TMPDIR".to_owned(), scratch.display().to_string()),
            ("STATE_DIR".to_owned(), folder.path().join("state").display().to_string()),
            ("S3_DATA_DIR".to_owned(), folder.path().join("s3").display().to_string()),
            ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()),
        ];
        let fixed = [
            ("GATEWAY_PORT", port.number().to_string().as_str()),
            ("BIND_HOST", "127.0.0.1"),
            ("MINISTACK_HOST", "127.0.0.1"),
            ("MINISTACK_REGION", REGION),
            ("IOT_MTLS_ENABLED", "0"),
            ("SFTP_ENABLED", "0"),
            ("LAMBDA_EXECUTOR", "local"),
            ("DOCKER_HOST", "unix:///nonexistent/docker.sock"),
            ("PERSIST_STATE", persist),
            ("S3_PERSIST", persist),
            ("LOG_LEVEL", "INFO"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        environment.extend(fixed);
        environment.extend(options.environment);

        let prepared = ProcessSpec {
            name: "ministack",
            command: vec![python.into(), "-m".into(), "ministack.app".into()],
            environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            folder,
            stop_signal,
            stop_grace,
        }
        .prepare()?;
        if options.state.is_some() {
            // Secrets are among the state, and runs of before may have left them in files that everybody may read.
            let owner_only = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(prepared.folder(), owner_only)
                .map_err(LabError::io("close to others", prepared.folder()))?;
        }
        // Code that Lambda functions ran from is unpacked here; a leftover of a killed run is useless.
        let _ = std::fs::remove_dir_all(&scratch);
        std::fs::create_dir_all(&scratch).map_err(LabError::io("create", &scratch))?;

        let server = Self { process: prepared.go()?, port, client: reqwest::Client::new() };
        server.process.wait_until_ready(async || server.is_healthy().await).await?;
        Ok(server)
    }

    /// The emulator of this process, started by the first caller. Use a fresh [`account`] per test.
    ///
    /// # Errors
    /// As [`Ministack::start`].
    pub async fn shared() -> Result<&'static Self, LabError> {
        SHARED.get_or_try_init(|| Self::start(MinistackOptions::default())).await
    }

    /// Whether it answers its health check, with every initial script done.
    pub async fn is_healthy(&self) -> bool {
        let url = format!("{}/_ministack/health", self.endpoint_url());
        match self.client.get(url).timeout(Duration::from_secs(5)).send().await {
            Ok(response) => response.status().is_success(),
            Err(_) => false,
        }
    }

    /// Address of every service, for `AWS_ENDPOINT_URL`.
    pub fn endpoint_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The process, to signal or to look at.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Reads one of its inspection pages, such as `/_ministack/ses/messages`.
    ///
    /// # Errors
    /// Transport errors, and an answer that is not JSON.
    pub async fn inspect(&self, path: &str) -> Result<Value, LabError> {
        let url = format!("{}{path}", self.endpoint_url());
        let failed = |source| LabError::Http { url: url.clone(), method: path.to_owned(), source };
        let response = self.client.get(&url).send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(failed)?;
        serde_json::from_slice(&bytes).map_err(|_| LabError::HttpStatus {
            url: url.clone(),
            method: path.to_owned(),
            status,
            body: String::from_utf8_lossy(&bytes).chars().take(200).collect(),
        })
    }
}

/// A fresh AWS account: the emulator takes an access key id of twelve digits for the account's number, and keeps
/// accounts apart. Only bucket names are shared by all.
pub fn account() -> String {
    format!("{:012}", rand::random_range(100_000_000_000_u64..1_000_000_000_000))
}

/// The port of the last run in this folder; if somebody has taken it, a new one, to which the kept addresses are moved.
///
/// Queues are kept under their whole URLs: under another port, mappings would not find theirs.
fn kept_port(folder: &Path) -> Result<Port, LabError> {
    let last = std::fs::read_to_string(folder.join("port")).unwrap_or_default();
    let port = Port::remembered(folder)?;
    let (old, new) = (format!("127.0.0.1:{}", last.trim()), format!("127.0.0.1:{}", port.number()));
    if last.trim().is_empty() || old == new {
        return Ok(port);
    }
    for service in ["sqs", "lambda"] {
        let file = folder.join("state").join(format!("{service}.json"));
        // A service that was never used has no file.
        if let Ok(text) = std::fs::read_to_string(&file) {
            std::fs::write(&file, text.replace(&old, &new)).map_err(LabError::io("write", &file))?;
        }
    }
    Ok(port)
}
