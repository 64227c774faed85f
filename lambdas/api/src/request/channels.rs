//! Calls about channels, parsed strictly. Pure. What leads to people, and codes, are hidden from `Debug` by their types.

use isotherm_alerts::channel::Address;
use isotherm_alerts::channels::ConfirmationCode;
use isotherm_alerts::definition::FieldError;
use isotherm_platform::lambda::http::HttpCall;
use isotherm_types::Classified as _;
use serde::Deserialize;
use serde_json::Value;

use super::body;
use crate::error::ApiError;
use crate::route::Route;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum ChannelRequest {
    /// Channels, by name.
    List,
    /// A new channel.
    Create {
        /// What rules are to call it.
        name: String,
        /// What it is to be.
        wanted: WantedChannel,
    },
    /// One channel.
    Show {
        /// Its name.
        name: String,
    },
    /// A channel, new or in the place of the one of its name.
    Save {
        /// What rules call it.
        name: String,
        /// What it is to be.
        wanted: WantedChannel,
    },
    /// A channel is to go.
    Delete {
        /// Its name.
        name: String,
    },
    /// A message that the channel works.
    Test {
        /// Its name.
        name: String,
    },
    /// A disabled channel is to be used again.
    Enable {
        /// Its name.
        name: String,
    },
    /// Messages may come.
    Confirm {
        /// The channel's name.
        name: String,
        /// The code that it was sent; absent: it is to be sent another one.
        code: Option<ConfirmationCode>,
    },
}

/// What a channel is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedChannel {
    /// Where it leads; as before if absent.
    pub address: Option<Address>,
    /// Messages a minute; as before, or the usual number, if absent.
    pub per_minute: Option<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    name: String,
    address: Option<Value>,
    per_minute: Option<i32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmBody {
    code: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaveBody {
    name: Option<String>,
    address: Option<Value>,
    per_minute: Option<i32>,
}

impl ChannelRequest {
    /// Reads a call of `route`; `None` if the route is about something else.
    ///
    /// # Errors
    /// As [`super::Request::of_http`]; [`ApiError::NotRight`] for an address that is none.
    pub(super) fn of_http(route: Route, call: &HttpCall) -> Result<Option<Self>, ApiError> {
        let name = || call.path_parameter("name").map(str::to_owned).ok_or(ApiError::NoRoute);
        Ok(Some(match route {
            Route::ListChannels => Self::List,
            Route::CreateChannel => {
                let CreateBody { name, address, per_minute } = body(call)?;
                Self::Create { name, wanted: wanted(address, per_minute)? }
            }
            Route::ShowChannel => Self::Show { name: name()? },
            Route::SaveChannel => {
                let (name, SaveBody { name: given, address, per_minute }) = (name()?, body(call)?);
                if given.is_some_and(|given| given != name) {
                    return Err(bad("name", "it has to be the name in the path, or left out"));
                }
                Self::Save { name, wanted: wanted(address, per_minute)? }
            }
            Route::DeleteChannel => Self::Delete { name: name()? },
            Route::TestChannel => Self::Test { name: name()? },
            Route::EnableChannel => Self::Enable { name: name()? },
            Route::ConfirmChannel => {
                let ConfirmBody { code } = if call.body_bytes() == 0 { ConfirmBody::default() } else { body(call)? };
                let code = code.map(|text| ConfirmationCode::parse(&text)).transpose();
                Self::Confirm { name: name()?, code: code.map_err(|no_code| bad("code", no_code.to_string()))? }
            }
            _ => return Ok(None),
        }))
    }

    /// The route by which this comes in.
    pub fn route(&self) -> Route {
        match self {
            Self::List => Route::ListChannels,
            Self::Create { .. } => Route::CreateChannel,
            Self::Show { .. } => Route::ShowChannel,
            Self::Save { .. } => Route::SaveChannel,
            Self::Delete { .. } => Route::DeleteChannel,
            Self::Test { .. } => Route::TestChannel,
            Self::Enable { .. } => Route::EnableChannel,
            Self::Confirm { .. } => Route::ConfirmChannel,
        }
    }
}

fn wanted(address: Option<Value>, per_minute: Option<i32>) -> Result<WantedChannel, ApiError> {
    // What serde reports could quote a token.
    let forms = "it has to be {kind: email, to}, {kind: sms, number}, {kind: webhook, url, keys?} or {kind: slack, token, channel}";
    let read = |address| serde_json::from_value::<Address>(address).map_err(|_hidden| bad("address", forms));
    let address = address.map(read).transpose()?;
    if let Some(fault) = address.as_ref().and_then(|address| address.check().err()) {
        return Err(bad(fault.field, format!("it has to be {}", fault.expected)));
    }
    Ok(WantedChannel { address, per_minute })
}

/// The fault of a field of a channel.
pub(crate) fn bad(field: &'static str, message: impl Into<String>) -> ApiError {
    let code = isotherm_alerts::channels::ChannelError::BadField { field, expected: "" }.code();
    ApiError::bad_channel(code, FieldError::new(field, message))
}
