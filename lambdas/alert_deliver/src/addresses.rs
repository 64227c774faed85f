//! Where channels lead, opened with the keys of the secret `alerts` for as long as a message is on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use isotherm_alerts::channel::Address;
use isotherm_alerts::channels;
use isotherm_alerts::deliveries::DeliveryError;
use isotherm_alerts::seal::Keyring;
use isotherm_platform::Fault;
use isotherm_platform::database::ask;
use isotherm_types::{ChannelId, Classified};

use crate::Deliverer;

/// A new key is used after so long at the latest.
pub(crate) const KEYS_ARE_KEPT: Duration = Duration::from_secs(60);

/// Where a channel leads.
#[derive(Clone, Debug)]
pub(crate) enum Opened {
    /// There.
    Address(Arc<Address>),
    /// There, and nothing but a code may go there.
    Unconfirmed(Arc<Address>),
    /// It cannot be opened; the code of why.
    Sealed(&'static str),
    /// The channel was disabled or deleted a moment ago.
    Absent,
}

impl Deliverer {
    pub(crate) async fn keyring(&self) -> Result<Keyring, Fault> {
        let text = self.secrets.get(self.clients.secrets_manager(), &self.keys_secret_arn).await?;
        Ok(Keyring::parse(text.expose())?)
    }

    /// Where each of `channels` leads.
    pub(crate) async fn addresses(
        &self,
        ring: &Keyring,
        channels: BTreeSet<ChannelId>,
    ) -> Result<BTreeMap<ChannelId, Opened>, Fault> {
        let channels: Vec<ChannelId> = channels.into_iter().collect();
        let asked = ask(&self.pool, async |conn| channels::for_sending(conn, &channels, ring).await).await;
        let found = asked.map_err(DeliveryError::from)??;
        let opened = found.into_iter().map(|channel| {
            let opened = match channel.address {
                Ok(address) if channel.is_confirmed => Opened::Address(Arc::new(address)),
                Ok(address) => Opened::Unconfirmed(Arc::new(address)),
                Err(error) => {
                    tracing::error!(
                        channel.id = channel.id.0,
                        error.code = error.code(),
                        error.message = %error,
                        "the address of a channel cannot be opened"
                    );
                    Opened::Sealed(error.code())
                }
            };
            (channel.id, opened)
        });
        Ok(opened.collect())
    }
}
