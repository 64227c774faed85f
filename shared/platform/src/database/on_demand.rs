//! A pool that is opened when it is first needed.
//!
//! A function that answers people must start while the database is away, so that it can say so.

use sqlx::PgPool;
use tokio::sync::OnceCell;

use super::{PoolOptions, connect_with_secret};
use crate::fault::Fault;

/// A pool that is opened when it is first needed, and tried again as long as it cannot be.
#[derive(Debug)]
pub struct OnDemandPool {
    secret_arn: String,
    options: PoolOptions,
    pool: OnceCell<PgPool>,
}

impl OnDemandPool {
    /// A pool for the address in the secret; nothing is asked yet.
    pub fn new(secret_arn: String, options: PoolOptions) -> Self {
        Self { secret_arn, options, pool: OnceCell::new() }
    }

    /// The open pool.
    ///
    /// # Errors
    /// As [`connect_with_secret`].
    pub async fn get(&self, secrets: &aws_sdk_secretsmanager::Client) -> Result<&PgPool, Fault> {
        self.pool.get_or_try_init(|| connect_with_secret(secrets, &self.secret_arn, self.options)).await
    }
}
