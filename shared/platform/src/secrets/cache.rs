//! Secrets that are asked for again and again, each kept for a short while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{SecretError, fetch};
use crate::secret::Secret;

/// Keeps each secret for a while, so that a new value is used after that while at the latest.
#[derive(Debug)]
pub struct SecretCache {
    lifetime: Duration,
    kept: Mutex<HashMap<String, (Instant, Secret<String>)>>,
}

impl SecretCache {
    /// A cache that keeps a secret for `lifetime`.
    pub fn new(lifetime: Duration) -> Self {
        Self { lifetime, kept: Mutex::default() }
    }

    /// The value of the secret called `id`, as [`fetch`] gives it. A failure is not kept, and an old value not used.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn get(&self, client: &aws_sdk_secretsmanager::Client, id: &str) -> Result<Secret<String>, SecretError> {
        if let Some(value) = self.fresh(id, Instant::now()) {
            return Ok(value);
        }
        let value = fetch(client, id).await?;
        self.keep(id, value.clone(), Instant::now());
        Ok(value)
    }

    fn fresh(&self, id: &str, now: Instant) -> Option<Secret<String>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, value) = kept.get(id)?;
        (now.saturating_duration_since(*since) < self.lifetime).then(|| value.clone())
    }

    fn keep(&self, id: &str, value: Secret<String>, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (since, _)| now.saturating_duration_since(*since) < self.lifetime);
        kept.insert(id.to_owned(), (now, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_kept_for_its_lifetime_and_no_longer() {
        let cache = SecretCache::new(Duration::from_secs(60));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(cache.fresh("a", start), None);
        cache.keep("a", Secret::new("one".to_owned()), start);
        assert_eq!(cache.fresh("a", after(59)), Some(Secret::new("one".to_owned())));
        assert_eq!(cache.fresh("b", start), None);
        assert_eq!(cache.fresh("a", after(60)), None);
        cache.keep("b", Secret::new("two".to_owned()), after(60));
        assert_eq!(cache.kept.lock().unwrap().len(), 1, "what is too old is forgotten");
        assert!(!format!("{cache:?}").contains("two"));
    }
}
