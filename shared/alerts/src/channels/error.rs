//! Why a channel was not had, made or changed. No variant says anything of an address.

use isotherm_types::{ChannelId, Classified, Disposition};

use crate::channel::{AddressFault, UnknownKind};
use crate::seal::SealError;

/// Why a channel was not had, made or changed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The organisation has no such channel.
    #[error("the organisation has no {channel}")]
    NoSuchChannel {
        /// What was asked for.
        channel: ChannelId,
    },
    /// A channel has this name already.
    #[error("the organisation has a channel called {name:?} already")]
    ChannelExists {
        /// The name.
        name: String,
    },
    /// The organisation has as many channels as it may.
    #[error("the organisation has {most} channels, and may have no more; delete one first")]
    TooManyChannels {
        /// How many it may have.
        most: i64,
    },
    /// A rule would have nobody to tell.
    #[error(
        "the channel {name:?} is the only one of the rules {rules}; give them another channel first, or delete them"
    )]
    LastOfRules {
        /// The channel's name.
        name: String,
        /// Names of the rules, as far as they are said.
        rules: String,
    },
    /// A channel that is confirmed, or need not be.
    #[error("the channel {name:?} needs no code: it is confirmed")]
    NothingToConfirm {
        /// Its name.
        name: String,
    },
    /// No further code is sent for now.
    #[error("no further code is sent for now, as there are {limit} at most; use the last one, or try again later")]
    TooManyCodes {
        /// How many there are at most.
        limit: &'static str,
    },
    /// There is no code that could be right.
    #[error(
        "no code counts for the channel {name:?}: it is not sent yet, was tried too often or is older than an hour; ask for another one"
    )]
    NoCodeCounts {
        /// The channel's name.
        name: String,
    },
    /// Not the code that was sent.
    #[error("this is not the code that was sent last; it may be tried {tries_left} times more")]
    WrongCode {
        /// How often.
        tries_left: i32,
    },
    /// A field that cannot be right.
    #[error("the {field} of a channel has to be {expected}")]
    BadField {
        /// Which one, as in a request.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// Only its owner and admins see where a channel leads.
    #[error("only its owner and admins see the address of {channel}")]
    NotOwner {
        /// The channel.
        channel: ChannelId,
    },
    /// The address could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Postgres did not answer, or refused.
    #[error("the database did not answer a question about channels")]
    Database {
        /// What it reports.
        #[from]
        source: sqlx::Error,
    },
}

impl ChannelError {
    /// HTTP status under which a caller is told.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::NotOwner { .. } => 403,
            Self::NoSuchChannel { .. } => 404,
            Self::ChannelExists { .. }
            | Self::TooManyChannels { .. }
            | Self::LastOfRules { .. }
            | Self::NothingToConfirm { .. }
            | Self::TooManyCodes { .. }
            | Self::NoCodeCounts { .. } => 409,
            Self::BadField { .. } | Self::WrongCode { .. } => 422,
            Self::Seal(_) => 500,
            Self::Database { .. } => match self.disposition() {
                Disposition::GiveUp => 500,
                Disposition::Retry | Disposition::RetryAfter(_) => 503,
            },
        }
    }
}

impl Classified for ChannelError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Seal(error) => error.disposition(),
            Self::Database { source } => database_disposition(source),
            Self::NoSuchChannel { .. }
            | Self::ChannelExists { .. }
            | Self::TooManyChannels { .. }
            | Self::LastOfRules { .. }
            | Self::NothingToConfirm { .. }
            | Self::TooManyCodes { .. }
            | Self::NoCodeCounts { .. }
            | Self::WrongCode { .. }
            | Self::BadField { .. }
            | Self::NotOwner { .. } => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchChannel { .. } => "alerts.no_such_channel",
            Self::ChannelExists { .. } => "alerts.channel_exists",
            Self::TooManyChannels { .. } => "alerts.too_many_channels",
            Self::LastOfRules { .. } => "alerts.last_channel",
            Self::NothingToConfirm { .. } => "alerts.nothing_to_confirm",
            Self::TooManyCodes { .. } => "alerts.too_many_codes",
            Self::NoCodeCounts { .. } => "alerts.no_code_counts",
            Self::WrongCode { .. } => "alerts.wrong_code",
            Self::BadField { .. } => "alerts.bad_channel",
            Self::NotOwner { .. } => "alerts.not_channel_owner",
            Self::Seal(error) => error.code(),
            Self::Database { .. } => "alerts.channel_database",
        }
    }
}

impl From<AddressFault> for ChannelError {
    fn from(fault: AddressFault) -> Self {
        Self::BadField { field: fault.field, expected: fault.expected }
    }
}

impl From<UnknownKind> for ChannelError {
    fn from(unknown: UnknownKind) -> Self {
        sqlx::Error::Decode(Box::new(unknown)).into()
    }
}

/// Retry, unless the statement itself is at fault.
///
/// Source: SQLSTATE classes 22 (data exception), 23 (integrity constraint) and 42 (syntax or access rule), PostgreSQL
/// manual, appendix A.
fn database_disposition(error: &sqlx::Error) -> Disposition {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref().and_then(|code| code.get(..2)) {
        Some("22" | "23" | "42") => Disposition::GiveUp,
        Some(_) => Disposition::Retry,
        None => match error {
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::InvalidArgument(_) => Disposition::GiveUp,
            _ => Disposition::Retry,
        },
    }
}
