//! Text messages, by SNS `Publish` to a number.

use std::time::Duration;

use aws_sdk_sns::config::retry::RetryConfig;
use aws_sdk_sns::config::timeout::TimeoutConfig;
use aws_sdk_sns::types::MessageAttributeValue;
use isotherm_alerts::deliveries::{Claimed, DeliveryFault, Verdict};
use isotherm_alerts::message::sms;
use isotherm_platform::aws::SdkConfig;

use super::{CONNECT, Senders, of_service};

/// A client that tries once: a text message is paid for, and read at night.
pub(super) fn client(config: &SdkConfig, attempt: Duration) -> aws_sdk_sns::Client {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(attempt).build();
    let config = aws_sdk_sns::config::Builder::from(config)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .build();
    aws_sdk_sns::Client::from_conf(config)
}

impl Senders {
    pub(super) async fn send_sms(&self, claimed: &Claimed, number: &str) -> Result<Verdict, DeliveryFault> {
        // Delivered with priority. Source: Amazon SNS Developer Guide, "Publishing to a mobile phone", `AWS.SNS.SMS.SMSType`.
        let transactional = MessageAttributeValue::builder().data_type("String").string_value("Transactional").build();
        let transactional = transactional.map_err(|_incomplete| DeliveryFault::Rejected { status: None })?;
        let answer = self
            .sms
            .publish()
            .phone_number(number)
            .message(sms::render(&claimed.message))
            .message_attributes("AWS.SNS.SMS.SMSType", transactional)
            .send()
            .await
            .map_err(|error| of_service(&error))?;
        Ok(Verdict::Accepted { status: None, message_id: answer.message_id().map(str::to_owned) })
    }
}
