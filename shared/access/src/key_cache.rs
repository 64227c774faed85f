//! How long an issuer's published keys are used, and when they are fetched again. The plan is pure; `KeyCache` carries
//! it out.
//!
//! Whoever sends tokens decides how often a key is asked for that is not there, so that may cause a fetch only once a
//! minute. An issuer that does not answer stops nobody for some hours; but a key that it has withdrawn meanwhile must not
//! be good for ever.

use chrono::{DateTime, TimeDelta, Utc};
use isotherm_types::disposition::error_chain;
use jsonwebtoken::DecodingKey;
use tokio::sync::Mutex;

use crate::error::AccessError;
use crate::fetch::{FetchError, FetchKeys};
use crate::key_set::KeySet;
use crate::token::TokenAlgorithm;

/// Keys are used for so long before they are fetched again.
pub const FRESH: TimeDelta = TimeDelta::minutes(10);
/// There is no second try, whatever for, within this time.
pub const BETWEEN_FETCHES: TimeDelta = TimeDelta::minutes(1);
/// Keys are used for so long while the issuer does not answer.
pub const OVER_AN_OUTAGE: TimeDelta = TimeDelta::hours(6);

/// What is to be done about a key that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Use the key that is there.
    Use,
    /// Fetch the keys, then look again.
    Fetch,
    /// The issuer has no such key.
    Refuse,
    /// It cannot be told.
    Unavailable,
}

/// What is known of an issuer's keys.
#[derive(Debug, Default)]
struct State {
    keys: Option<(KeySet, DateTime<Utc>)>,
    last_try: Option<DateTime<Utc>>,
}

impl State {
    /// The plan at `now` for a key that is among those that are there, or is not.
    fn plan(&self, is_there: bool, now: DateTime<Utc>) -> Plan {
        // A clock that was set back must not stop fetching.
        let may_try = self.last_try.is_none_or(|last| now - last >= BETWEEN_FETCHES || now < last);
        let Some((_, fetched_at)) = self.keys else {
            return if may_try { Plan::Fetch } else { Plan::Unavailable };
        };
        let age = now - fetched_at;
        let last_try_failed = self.last_try.is_some_and(|last| last != fetched_at);
        match (age < FRESH, age < OVER_AN_OUTAGE, is_there) {
            (true, _, true) => Plan::Use,
            _ if may_try => Plan::Fetch,
            (_, true, true) => Plan::Use,
            (_, true, false) if !last_try_failed => Plan::Refuse,
            _ => Plan::Unavailable,
        }
    }

    fn find(&self, id: &str, algorithm: TokenAlgorithm) -> Option<&DecodingKey> {
        self.keys.as_ref().and_then(|(keys, _)| keys.find(id, algorithm))
    }
}

/// The published keys of one issuer. Calls that need the same fetch wait for one another and make one.
#[derive(Debug, Default)]
pub(crate) struct KeyCache(Mutex<State>);

impl KeyCache {
    /// The key called `id`; `None` if the issuer has none of this name for `algorithm`.
    ///
    /// # Errors
    /// [`AccessError::IssuerUnavailable`] if it cannot be told.
    pub(crate) async fn key(
        &self,
        (id, algorithm): (&str, TokenAlgorithm),
        (issuer, url): (&str, &str),
        fetcher: &dyn FetchKeys,
        now: DateTime<Utc>,
    ) -> Result<Option<DecodingKey>, AccessError> {
        let mut state = self.0.lock().await;
        let mut plan = state.plan(state.find(id, algorithm).is_some(), now);
        let mut failure = None;
        if plan == Plan::Fetch {
            state.last_try = Some(now);
            match fetch(fetcher, url).await {
                Ok(keys) => state.keys = Some((keys, now)),
                Err(error) => failure = Some(error),
            }
            plan = state.plan(state.find(id, algorithm).is_some(), now);
        }
        if let (Some(error), Plan::Use) = (&failure, plan) {
            tracing::warn!(
                issuer.name = issuer,
                error.message = error_chain(error),
                "the issuer's keys were not to be had; those of before are used"
            );
        }
        match plan {
            Plan::Use => Ok(state.find(id, algorithm).cloned()),
            Plan::Refuse => Ok(None),
            Plan::Fetch | Plan::Unavailable => {
                Err(AccessError::IssuerUnavailable { issuer: issuer.to_owned(), source: failure })
            }
        }
    }
}

async fn fetch(fetcher: &dyn FetchKeys, url: &str) -> Result<KeySet, FetchError> {
    let bytes = fetcher.fetch(url).await?;
    KeySet::parse(&bytes).ok_or(FetchError::NoKeys)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn state(fetched: Option<i64>, last_try: Option<i64>) -> State {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let json = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x }] });
        let keys = fetched.map(|minutes| (KeySet::of(&json).unwrap(), at(minutes)));
        State { keys, last_try: last_try.map(at) }
    }

    #[test]
    fn keys_are_fetched_when_they_are_needed_and_once_a_minute_at_most() {
        let table = [
            // Keys fetched at, last try at, key is there, now: plan. In minutes.
            (None, None, false, 0, Plan::Fetch),
            (None, Some(0), false, 0, Plan::Unavailable),
            (None, Some(0), false, 1, Plan::Fetch),
            (Some(0), Some(0), true, 9, Plan::Use),
            (Some(0), Some(0), true, 10, Plan::Fetch),
            (Some(0), Some(0), false, 0, Plan::Refuse),
            (Some(0), Some(0), false, 1, Plan::Fetch),
            // The issuer is away: tried again each minute, its keys are used for six hours.
            (Some(0), Some(10), true, 10, Plan::Use),
            (Some(0), Some(10), true, 11, Plan::Fetch),
            (Some(0), Some(359), true, 359, Plan::Use),
            (Some(0), Some(360), true, 360, Plan::Unavailable),
            // A key that is not there may be a new one.
            (Some(0), Some(10), false, 10, Plan::Unavailable),
            // The clock was set back.
            (Some(60), Some(60), true, 0, Plan::Use),
            (Some(60), Some(60), false, 0, Plan::Fetch),
        ];
        for (fetched, last_try, is_there, now, plan) in table {
            let found = state(fetched, last_try).plan(is_there, at(now));
            assert_eq!(found, plan, "{fetched:?} {last_try:?} {is_there} {now}");
        }
    }
}
