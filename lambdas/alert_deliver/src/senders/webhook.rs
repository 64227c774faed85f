//! Webhooks, by Standard Webhooks.

use isotherm_alerts::deliveries::fault::of_webhook;
use isotherm_alerts::deliveries::{Blame, Claimed, DeliveryFault, Verdict};
use isotherm_alerts::message::webhook;
use isotherm_alerts::signature;
use isotherm_outbound::CheckedUrl;

use super::{Senders, not_sent, now, unanswered};

impl Senders {
    pub(super) async fn send_webhook(
        &self,
        claimed: &Claimed,
        url: &str,
        keys: &[String],
    ) -> Result<Verdict, DeliveryFault> {
        let url = CheckedUrl::parse(url, &self.http.policy()).map_err(|error| unanswered(&error))?;
        let body = webhook::body(&claimed.message, claimed.created_at);
        let body = body.map_err(|_unserialisable| DeliveryFault::Rejected { status: None })?;
        let signed = signature::headers(claimed.id, now(), &body, keys.iter().map(String::as_str));
        let signed = signed.map_err(|error| not_sent(&error, Blame::Receiver))?;
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(signed.iter().map(|(name, value)| (*name, value.as_str())));
        let answer = self.http.post(&url, &headers, body, self.timeouts()).await.map_err(|error| unanswered(&error))?;
        Ok(of_webhook(answer.status, answer.retry_after))
    }
}
