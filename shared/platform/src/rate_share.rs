//! Keeps a process's part of what a chain's endpoints permit (`isotherm_control::rate_shares`), beside its work and never
//! in its way: a database that does not answer changes nothing.

use std::time::Duration;

use isotherm_control::rate_shares::{self, Others, Purpose, RENEW_EVERY};
use isotherm_types::{ChainId, TaskId};
use sqlx::PgPool;
use tokio::task::JoinHandle;

use crate::database;

/// How often a backfill that has joined looks whether everybody else knows of it.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Longest that the end of a process is put off to make room for the others.
const FAREWELL: Duration = Duration::from_secs(1);

/// A process that is among those which ask a chain's endpoints.
#[derive(Debug)]
pub struct RateShareKeeper {
    holder: Holder,
    renewals: JoinHandle<()>,
}

impl RateShareKeeper {
    /// Joins for the newest blocks, and hands `set` the process's part, in thousandths, time and again. Returns at once:
    /// the tip waits for nobody. The row has the task's name, so that its next attempt takes it over.
    pub fn for_tip(
        pool: PgPool,
        chain_id: ChainId,
        task_id: TaskId,
        set: impl Fn(u16) + Send + Sync + 'static,
    ) -> Self {
        Holder::new(pool, chain_id, task_id, Purpose::Tip).keep(set)
    }

    /// Joins for history. Returns when everybody else has made room, or does not count any more; at once if nobody else
    /// is there or the database does not say.
    pub async fn for_backfill(
        pool: PgPool,
        chain_id: ChainId,
        task_id: TaskId,
        set: impl Fn(u16) + Send + Sync + 'static,
    ) -> Self {
        let holder = Holder::new(pool, chain_id, task_id, Purpose::Backfill);
        if let Some(others) = holder.settle().await {
            set(others.share(Purpose::Backfill));
        }
        holder.keep(set)
    }

    /// Makes room for the others at once. Whoever ends otherwise does so when its row expires.
    pub async fn leave(self) {
        let holder = self.holder.clone();
        drop(self);
        let Holder { pool, chain_id, name, .. } = &holder;
        let leaving = database::ask(pool, async |conn| rate_shares::leave(conn, *chain_id, name).await);
        if !matches!(tokio::time::timeout(FAREWELL, leaving).await, Ok(Ok(Ok(())))) {
            tracing::debug!(chain.id = chain_id.0, "the row of control.rate_shares is left to expire");
        }
    }
}

impl Drop for RateShareKeeper {
    fn drop(&mut self) {
        self.renewals.abort();
    }
}

#[derive(Clone, Debug)]
struct Holder {
    pool: PgPool,
    chain_id: ChainId,
    name: String,
    purpose: Purpose,
}

impl Holder {
    fn new(pool: PgPool, chain_id: ChainId, task_id: TaskId, purpose: Purpose) -> Self {
        Self { pool, chain_id, name: task_id.to_string(), purpose }
    }

    /// Who else is there; `None` if the database does not say.
    async fn renew(&self) -> Option<Others> {
        let Self { pool, chain_id, name, purpose } = self;
        let asked = database::ask(pool, async |conn| rate_shares::renew(conn, *chain_id, name, *purpose).await).await;
        let problem = match asked {
            Ok(Ok(others)) => return Some(others),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::debug!(chain.id = chain_id.0, error.message = problem, "the part of the rate stays as it was");
        None
    }

    /// Joins, and waits until everybody else knows.
    async fn settle(&self) -> Option<Others> {
        let joined = self.renew().await?;
        if joined.oldest_seen_at.is_none() {
            return Some(joined);
        }
        // Somebody may have looked while the row was still being written: only looks after it count.
        let mut others = self.renew().await?;
        let since = others.asked_at;
        while !others.have_all_looked_since(since) {
            tokio::time::sleep(LOOK_EVERY).await;
            others = self.renew().await?;
        }
        Some(others)
    }

    fn keep(self, set: impl Fn(u16) + Send + Sync + 'static) -> RateShareKeeper {
        let holder = self.clone();
        let renewals = tokio::spawn(async move {
            loop {
                if let Some(others) = self.renew().await {
                    set(others.share(self.purpose));
                }
                tokio::time::sleep(RENEW_EVERY).await;
            }
        });
        RateShareKeeper { holder, renewals }
    }
}
