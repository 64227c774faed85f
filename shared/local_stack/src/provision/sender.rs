//! Whom emails come from: an identity that the emulator's SES takes for verified.

use aws_sdk_sesv2::operation::get_email_identity::GetEmailIdentityError;

use super::{Change, EMAIL_FROM, OnStep, report};
use crate::aws::{LocalAws, if_there};
use crate::error::LocalStackError;

/// Creates the sender's identity.
pub(super) async fn ensure(aws: &LocalAws, on_step: &mut OnStep<'_>) -> Result<(), LocalStackError> {
    let client = aws.email();
    let found = client.get_email_identity().email_identity(EMAIL_FROM).send().await;
    let is_none = GetEmailIdentityError::is_not_found_exception;
    let change = match if_there(found, is_none, format!("look up the email identity {EMAIL_FROM}"))? {
        Some(_found) => Change::Unchanged,
        None => {
            let action = format!("create the email identity {EMAIL_FROM}");
            let call = client.create_email_identity().email_identity(EMAIL_FROM);
            call.send().await.map_err(LocalStackError::aws(action))?;
            Change::Created
        }
    };
    report(on_step, "email identity", EMAIL_FROM, change);
    Ok(())
}
