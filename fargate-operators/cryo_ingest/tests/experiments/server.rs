//! A Postgres of the experiment's own that is stopped at once, as by `pg_ctl stop -m immediate`, and goes on.

use std::path::PathBuf;

use isotherm_lab::postgres::{Data, Postgres, StartOptions};
use isotherm_lab::process::eventually;
use nix::sys::signal::Signal;

/// A server whose folder outlives it.
pub(crate) struct Server {
    options: StartOptions,
    running: Option<Postgres>,
}

impl Server {
    pub(crate) async fn start(folder: PathBuf) -> Self {
        // Only the process dies, not the machine: what it has written to the system is safe without `fsync`.
        let settings = vec![("fsync".to_owned(), "off".to_owned())];
        let options = StartOptions { data: Data::Durable(folder), settings, ..StartOptions::default() };
        let running = Postgres::start(options.clone()).await.unwrap();
        // The same address again after each stop.
        let options = StartOptions { port: Some(running.port()), ..options };
        Self { options, running: Some(running) }
    }

    pub(crate) fn running(&self) -> &Postgres {
        self.running.as_ref().unwrap()
    }

    pub(crate) async fn stop_at_once(&mut self) {
        let server = self.running.take().unwrap();
        server.process().signal(Signal::SIGQUIT).unwrap();
        eventually("the server's end", async || server.process().exit_status().is_some()).await.unwrap();
    }

    pub(crate) async fn go_on(&mut self) {
        self.running = Some(Postgres::start(self.options.clone()).await.unwrap());
    }
}
