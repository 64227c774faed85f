//! Private Postgres servers: one per test process, or a durable one for `isotherm up`.
//!
//! A test server starts from a data folder that `initdb` made once and that is copied from then on, trusts every
//! connection from this machine, and gives up durability for speed. A durable server keeps its folder and a random
//! password between runs. Both listen on 127.0.0.1 only, and run as `nobody` when the caller is root.
//!
//! Never point this at a database that somebody else made.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::User;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

use crate::LabError;
use crate::folder::{Folder, first_closed_folder};
use crate::port::Port;
use crate::process::{Process, ProcessSpec};
use crate::tools;

mod data_folder;
mod test_database;

pub use test_database::{TestDatabase, shared};

/// The superuser of every server started here.
pub const SUPERUSER: &str = "isotherm";

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// Where the data lives.
    pub data: Data,
    /// Fixed port; a free one if absent.
    pub port: Option<u16>,
    /// Folder of `initdb` and `postgres`; [`tools::postgres_bin`] if absent.
    pub bin: Option<PathBuf>,
    /// Further settings, such as `("wal_level", "logical")`.
    pub settings: Vec<(String, String)>,
    /// What it proves itself with over TLS; without it, it speaks none.
    pub certificate: Option<Certificate>,
}

/// A certificate of a server and its private key, both in PEM.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate.
    pub pem: String,
    /// Its key.
    pub key_pem: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[certificate]")
    }
}

/// Where a server's data lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Data {
    /// In a temporary folder, without durability; gone when the server stops.
    #[default]
    Temporary,
    /// In this folder, which is created if needed and stays; survives a power cut as any Postgres does.
    Durable(PathBuf),
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: Port,
    password: Option<String>,
}

/// The user that runs the server, if it may not be the caller.
#[derive(Clone, Debug)]
pub(crate) struct Unprivileged(User);

impl Unprivileged {
    /// `None` unless the caller is root.
    fn needed() -> Result<Option<Self>, LabError> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        let user = ["nobody", "postgres"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
        user.map(|found| Some(Self(found))).ok_or(LabError::NoUnprivilegedUser)
    }

    /// Fails unless the user can get to `path`.
    fn check_can_enter(&self, path: &Path) -> Result<(), LabError> {
        match first_closed_folder(path) {
            Some(path) => Err(LabError::NotEnterable { user: self.0.name.clone(), path }),
            None => Ok(()),
        }
    }

    /// Arguments that run the following command as this user.
    fn prefix(&self) -> Vec<OsString> {
        vec![
            "setpriv".into(),
            format!("--reuid={}", self.0.uid).into(),
            format!("--regid={}", self.0.gid).into(),
            "--clear-groups".into(),
            "--".into(),
        ]
    }

    /// Makes the user the owner of `path`.
    fn own(&self, path: &Path) -> Result<(), LabError> {
        std::os::unix::fs::chown(path, Some(self.0.uid.as_raw()), Some(self.0.gid.as_raw()))
            .map_err(LabError::io("change the owner of", path))
    }
}

impl Postgres {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// Tools that are missing or out of reach, `initdb` that fails, and a server that ends early, each with its log.
    pub async fn start(options: StartOptions) -> Result<Self, LabError> {
        let bin = match &options.bin {
            Some(bin) => bin.clone(),
            None => tools::postgres_bin()?,
        };
        let unprivileged = Unprivileged::needed()?;
        if let Some(user) = &unprivileged {
            user.check_can_enter(&bin)?;
        }
        let port = match &options.data {
            Data::Durable(folder) if options.port.is_none() => Port::remembered(folder)?,
            Data::Durable(_) | Data::Temporary => Port::fixed_or_free(options.port)?,
        };
        let folder = match &options.data {
            Data::Temporary => Folder::temporary_in_memory("postgres"),
            Data::Durable(folder) => Folder::Kept(folder.clone()),
        };
        let data = folder.path().join("data");
        // Temporary: SIGQUIT stops at once, without a checkpoint. Durable: SIGINT stops cleanly but waits for nobody.
        let (stop_signal, stop_grace) = match options.data {
            Data::Temporary => (Signal::SIGQUIT, Duration::from_secs(5)),
            Data::Durable(_) => (Signal::SIGINT, Duration::from_secs(60)),
        };
        let prepared = ProcessSpec {
            name: "postgres",
            command: server_command(&options, &bin, unprivileged.as_ref(), &data, port.number()),
            environment: server_environment(),
            folder,
            stop_signal,
            stop_grace,
        }
        .prepare()?;
        let password = match &options.data {
            Data::Temporary => {
                data_folder::copy_template(&bin, unprivileged.as_ref(), prepared.folder(), &data)?;
                None
            }
            Data::Durable(_) => {
                Some(data_folder::create_durable(&bin, unprivileged.as_ref(), prepared.folder(), &data)?)
            }
        };
        if let Some(certificate) = &options.certificate {
            data_folder::write_certificate(certificate, unprivileged.as_ref(), &data)?;
        }
        let server = Self { process: prepared.go()?, port, password };
        server.wait_until_ready(&data).await?;
        Ok(server)
    }

    /// Connects until the server on our port is ours: it must have our data folder.
    async fn wait_until_ready(&self, data: &Path) -> Result<(), LabError> {
        let options = self.connect_options("postgres");
        self.process
            .wait_until_ready(async || {
                let Ok(mut conn) = PgConnection::connect_with(&options).await else { return false };
                let found = sqlx::query_scalar::<_, String>("SHOW data_directory").fetch_one(&mut conn).await;
                let _ = conn.close().await;
                found.is_ok_and(|found| Path::new(&found) == data)
            })
            .await
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The process, to signal or to look at.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Address of `database` for the superuser, password included.
    pub fn database_url(&self, database: &str) -> String {
        let secret = self.password.as_ref().map(|password| format!(":{password}")).unwrap_or_default();
        format!("postgres://{SUPERUSER}{secret}@127.0.0.1:{}/{database}?sslmode=disable", self.port.number())
    }

    fn connect_options(&self, database: &str) -> PgConnectOptions {
        // Not from the URL alone: an ambient PGPASSWORD or PGOPTIONS must not leak in.
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port.number())
            .username(SUPERUSER)
            .database(database)
            .ssl_mode(sqlx::postgres::PgSslMode::Disable);
        match &self.password {
            Some(password) => options.password(password),
            None => options,
        }
    }

    /// Creates an empty database. One that exists already is left as it is.
    ///
    /// # Errors
    /// [`LabError::DatabaseName`] if the name would need quoting, else what Postgres reports.
    pub async fn create_database(&self, name: &str) -> Result<(), LabError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) {
            return Err(LabError::DatabaseName { name: name.to_owned() });
        }
        let refused = |action| move |source| LabError::Postgres { action, source };
        let mut conn =
            PgConnection::connect_with(&self.connect_options("postgres")).await.map_err(refused("connect"))?;
        // The name is checked above, so quoting it is enough.
        let statement = format!("CREATE DATABASE \"{name}\"");
        let created = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut conn).await;
        let exists = created.as_ref().is_err_and(|error| {
            // SQLSTATE duplicate_database, https://www.postgresql.org/docs/current/errcodes-appendix.html
            error.as_database_error().is_some_and(|found| found.code().as_deref() == Some("42P04"))
        });
        if !exists {
            created.map_err(refused("create a database"))?;
        }
        conn.close().await.map_err(refused("disconnect"))
    }
}

fn server_command(
    options: &StartOptions,
    bin: &Path,
    unprivileged: Option<&Unprivileged>,
    data: &Path,
    port: u16,
) -> Vec<OsString> {
    let mut settings: Vec<(String, String)> = vec![
        ("port".into(), port.to_string()),
        ("listen_addresses".into(), "127.0.0.1".into()),
        ("unix_socket_directories".into(), String::new()),
        ("timezone".into(), "UTC".into()),
        ("log_timezone".into(), "UTC".into()),
        ("logging_collector".into(), "off".into()),
    ];
    if options.data == Data::Temporary {
        let fast = [
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
            ("shared_buffers", "32MB"),
            ("max_wal_size", "256MB"),
        ];
        settings.extend(fast.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    if options.certificate.is_some() {
        settings.push(("ssl".into(), "on".into()));
    }
    settings.extend(options.settings.iter().cloned());

    let mut command = unprivileged.map(Unprivileged::prefix).unwrap_or_default();
    command.extend([bin.join("postgres").into(), "-D".into(), data.into()]);
    for (name, value) in settings {
        command.extend(["-c".into(), format!("{name}={value}").into()]);
    }
    command
}

fn server_environment() -> Vec<(OsString, OsString)> {
    vec![("LC_ALL".into(), "C".into()), ("TZ".into(), "UTC".into())]
}
