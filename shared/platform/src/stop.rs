//! The wish to stop, told to everything that runs.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Receives the wish to stop. Clones share it; once wished it stays so.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Sends the wish to stop to every [`Stop`] made with it.
#[derive(Clone, Debug)]
pub struct StopSender(watch::Sender<bool>);

impl Stop {
    /// A pair: who wishes, and who listens.
    pub fn pair() -> (StopSender, Self) {
        let (sender, receiver) = watch::channel(false);
        (StopSender(sender), Self(receiver))
    }

    /// Wished at the first SIGTERM (ECS, systemd) or SIGINT (Ctrl-C).
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn on_signals() -> std::io::Result<Self> {
        let (sender, stop) = Self::pair();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            sender.request();
            // Kept alive with the handlers, so that a second signal does not fall back to the system's default.
            std::future::pending::<()>().await;
        });
        Ok(stop)
    }

    /// Whether it has been wished.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is wished; for ever if nobody can wish it any more.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|requested| *requested).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl StopSender {
    /// Wishes it.
    pub fn request(&self) {
        self.0.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wish_reaches_those_who_listen_later() {
        let (sender, stop) = Stop::pair();
        assert!(!stop.is_requested());
        sender.request();
        drop(sender);
        stop.clone().requested().await;
        assert!(stop.is_requested());
    }
}
