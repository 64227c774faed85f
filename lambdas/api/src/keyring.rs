//! The keys that seal channels' addresses: the secret `alerts`, kept for a short while.

use std::time::Duration;

use isotherm_alerts::seal::Keyring;
use isotherm_platform::Fault;
use isotherm_platform::aws::Clients;
use isotherm_platform::secrets::SecretCache;

/// A new key is used after this long at the latest.
const KEY_LIFETIME: Duration = Duration::from_secs(60);

/// Where the keys are.
#[derive(Debug)]
pub struct SealingKeys {
    secret: String,
    kept: SecretCache,
}

impl SealingKeys {
    /// Those of the secret called `secret`, by name or ARN.
    pub fn new(secret: String) -> Self {
        Self { secret, kept: SecretCache::new(KEY_LIFETIME) }
    }

    /// The keys.
    ///
    /// # Errors
    /// A secret that cannot be read, or is no list of keys.
    pub async fn get(&self, clients: &Clients) -> Result<Keyring, Fault> {
        let text = self.kept.get(clients.secrets_manager(), &self.secret).await?;
        Ok(Keyring::parse(text.expose())?)
    }
}
