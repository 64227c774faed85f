//! Slack, by `chat.postMessage`.

use isotherm_alerts::deliveries::slack_answer::of_slack;
use isotherm_alerts::deliveries::{Blame, Claimed, DeliveryFault, Verdict};
use isotherm_alerts::message::slack;
use isotherm_outbound::CheckedUrl;

use super::{Senders, not_sent, unanswered_by_service};

impl Senders {
    pub(super) async fn send_slack(
        &self,
        claimed: &Claimed,
        token: &str,
        channel: &str,
    ) -> Result<Verdict, DeliveryFault> {
        let method = format!("{}/chat.postMessage", self.settings.slack_api.trim_end_matches('/'));
        let url = CheckedUrl::parse(&method, &self.http.policy()).map_err(|error| not_sent(&error, Blame::Platform))?;
        let body = slack::arguments(&claimed.message, channel, claimed.thread.as_deref()).to_string();
        let authorization = format!("Bearer {token}");
        let headers = [("content-type", "application/json; charset=utf-8"), ("authorization", authorization.as_str())];
        let answer = self.http.post(&url, &headers, body, self.timeouts()).await;
        let answer = answer.map_err(|error| unanswered_by_service(&error))?;
        Ok(of_slack(answer.status, answer.retry_after, &answer.body))
    }
}
