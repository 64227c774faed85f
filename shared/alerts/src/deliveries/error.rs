//! Why deliveries could not be read or written. That one did not get through is no such error: [`super::fault`].

use isotherm_types::{Classified, Disposition};

use super::DeliveryId;
use crate::channels::ChannelError;

/// Why deliveries could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Postgres did not answer, or refused.
    #[error("the database did not answer a question about deliveries")]
    Database {
        /// What it reports.
        #[from]
        source: sqlx::Error,
    },
    /// A channel could not be written down.
    #[error("how a channel does could not be written down")]
    Channel {
        /// What the channels' table reports.
        #[from]
        source: ChannelError,
    },
    /// A row that this program cannot read.
    #[error("{id} cannot be read: {problem}")]
    BadRow {
        /// The row.
        id: DeliveryId,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The content of a row is not what its kind has.
    #[error("the content of {id} cannot be read")]
    BadContent {
        /// The row.
        id: DeliveryId,
        /// What serde reports.
        #[source]
        source: serde_json::Error,
    },
    /// The organisation has no such delivery.
    #[error("the organisation has no {id}")]
    NoSuchDelivery {
        /// What was asked for.
        id: DeliveryId,
    },
    /// A delivery that is not over cannot be replayed.
    #[error("{id} is {state}; only what was delivered, has failed or was cancelled can be replayed")]
    NotOver {
        /// The delivery.
        id: DeliveryId,
        /// Where it stands.
        state: String,
    },
    /// Nothing is sent to a channel that is not active.
    #[error("the channel of {id} is disabled, deleted or not confirmed; enable or confirm it first")]
    ChannelNotActive {
        /// The delivery.
        id: DeliveryId,
    },
    /// A code is not sent again.
    #[error("{id} carries a code, which is not sent again; ask for another one")]
    CarriesCode {
        /// The delivery.
        id: DeliveryId,
    },
}

impl Classified for DeliveryError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Database { .. } => Disposition::Retry,
            Self::Channel { source } => source.disposition(),
            Self::BadRow { .. }
            | Self::BadContent { .. }
            | Self::NoSuchDelivery { .. }
            | Self::NotOver { .. }
            | Self::ChannelNotActive { .. }
            | Self::CarriesCode { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Database { .. } => "alerts.delivery_database",
            Self::Channel { source } => source.code(),
            Self::BadRow { .. } => "alerts.delivery_bad_row",
            Self::BadContent { .. } => "alerts.delivery_bad_content",
            Self::NoSuchDelivery { .. } => "alerts.no_such_delivery",
            Self::NotOver { .. } => "alerts.delivery_not_over",
            Self::ChannelNotActive { .. } => "alerts.channel_not_active",
            Self::CarriesCode { .. } => "alerts.carries_code",
        }
    }
}
