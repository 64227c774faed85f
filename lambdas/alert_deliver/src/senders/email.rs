//! Email, by `SESv2` `SendEmail`.
//!
//! SES gives every message a `Message-ID` of its own, whatever the caller says, and answers with its first part. So the first message
//! has none of ours, and a correction names the first one's in `In-Reply-To` and `References` (RFC 5322, 3.6.4), which simple content may
//! set. **Source**: Amazon SES Developer Guide, "Amazon SES header fields".

use std::time::Duration;

use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::error::BuildError;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message, MessageHeader};
use isotherm_alerts::deliveries::{Blame, Claimed, DeliveryFault, Verdict};
use isotherm_alerts::message::email::{self, Email};
use isotherm_platform::aws::SdkConfig;
use isotherm_types::{Classified, Disposition};

use super::{CONNECT, Senders, not_sent, of_service};

/// Characters of subject and bodies.
const CHARSET: &str = "UTF-8";

/// Nobody has said whom emails come from.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("emails have no sender; set ISOTHERM_EMAIL_FROM to an address that SES has verified")]
struct NoSender;

impl Classified for NoSender {
    fn disposition(&self) -> Disposition {
        Disposition::Retry
    }

    fn code(&self) -> &'static str {
        "alerts.no_email_sender"
    }
}

/// A client that tries once.
pub(super) fn client(config: &SdkConfig, attempt: Duration) -> aws_sdk_sesv2::Client {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(attempt).build();
    let config = aws_sdk_sesv2::config::Builder::from(config)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .build();
    aws_sdk_sesv2::Client::from_conf(config)
}

impl Senders {
    pub(super) async fn send_email(&self, claimed: &Claimed, to: &str) -> Result<Verdict, DeliveryFault> {
        let from = self.settings.email_from.as_ref().ok_or_else(|| not_sent(&NoSender, Blame::Platform))?;
        let content = content(email::render(&claimed.message), claimed.thread.as_deref())
            .map_err(|_incomplete| DeliveryFault::Rejected { status: None })?;
        let answer = self
            .email
            .send_email()
            .from_email_address(from)
            .destination(Destination::builder().to_addresses(to).build())
            .content(content)
            .send()
            .await
            .map_err(|error| of_service(&error))?;
        let region = self.email.config().region().map_or("us-east-1", |region| region.as_ref());
        Ok(Verdict::Accepted { status: None, message_id: answer.message_id().map(|id| header_value(id, region)) })
    }
}

fn content(email: Email, thread: Option<&str>) -> Result<EmailContent, BuildError> {
    let text = |data: String| Content::builder().data(data).charset(CHARSET).build();
    let body = Body::builder().text(text(email.text)?).html(text(email.html)?).build();
    let mut message = Message::builder().subject(text(email.subject)?).body(body);
    for name in ["In-Reply-To", "References"] {
        if let Some(original) = thread {
            message = message.headers(MessageHeader::builder().name(name).value(original).build()?);
        }
    }
    Ok(EmailContent::builder().simple(message.build()).build())
}

/// The `Message-ID` under which SES sends what it calls `id`. **Source**: Amazon SES Developer Guide, "Amazon SES header fields", and
/// `Message-ID` of sent messages: the domain is `email.amazonses.com` in us-east-1, and has the region's name elsewhere.
fn header_value(id: &str, region: &str) -> String {
    match (id.contains('@'), region) {
        (true, _) => format!("<{id}>"),
        (false, "us-east-1") => format!("<{id}@email.amazonses.com>"),
        (false, region) => format!("<{id}@{region}.amazonses.com>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correction_names_the_message_that_it_answers_to() {
        let email = || Email { subject: "s".to_owned(), text: "t".to_owned(), html: "h".to_owned() };
        let headers = |thread| {
            let content = content(email(), thread).unwrap();
            let headers = content.simple().unwrap().headers().to_vec();
            headers.into_iter().map(|header| (header.name, header.value)).collect::<Vec<_>>()
        };
        assert!(headers(None).is_empty());
        let original = header_value("0100018", "eu-west-1");
        assert_eq!(original, "<0100018@eu-west-1.amazonses.com>");
        let expected = ["In-Reply-To", "References"].map(|name| (name.to_owned(), original.clone()));
        assert_eq!(headers(Some(&original)), expected);
        assert_eq!(header_value("0100018", "us-east-1"), "<0100018@email.amazonses.com>");
    }
}
