//! Services that say in the request which operation it is.

use std::collections::BTreeMap;

use reqwest::Url;

use super::{Reading, Signed, decoded};

/// Operations of SQS and what permits them: a batch is permitted by the action of one. **Source**: Amazon SQS Developer Guide,
/// "Amazon SQS API permissions: actions and resource reference".
const SQS: [(&str, &str); 9] = [
    ("ChangeMessageVisibility", "sqs:ChangeMessageVisibility"),
    ("ChangeMessageVisibilityBatch", "sqs:ChangeMessageVisibility"),
    ("DeleteMessage", "sqs:DeleteMessage"),
    ("DeleteMessageBatch", "sqs:DeleteMessage"),
    ("GetQueueAttributes", "sqs:GetQueueAttributes"),
    ("PurgeQueue", "sqs:PurgeQueue"),
    ("ReceiveMessage", "sqs:ReceiveMessage"),
    ("SendMessage", "sqs:SendMessage"),
    ("SendMessageBatch", "sqs:SendMessage"),
];

/// What stands for the six characters that Secrets Manager adds to a name.
const SECRET_END: &str = "-xxxxxx";

/// What stands for the number of a task definition's newest revision.
const NEWEST: &str = ":newest";

/// What stands for a telephone number: IAM takes the number itself for the resource.
const A_NUMBER: &str = "+";

pub(super) fn sqs(signed: &Signed<'_>) -> Reading {
    let operation = signed.call.operation.as_str();
    let action = SQS.iter().find(|(name, _)| *name == operation).map(|(_, action)| *action);
    let action = action.ok_or_else(|| format!("the operation `{operation}` of SQS is not in its table"))?;
    let queue_url = signed.text("QueueUrl")?;
    let mut parts = queue_url.rsplit('/');
    let (Some(name), Some(account)) = (parts.next(), parts.next()) else {
        return Err(format!("{queue_url} is no queue's URL"));
    };
    Ok((action, format!("arn:aws:sqs:{}:{account}:{name}", signed.region), BTreeMap::new()))
}

pub(super) fn ecs(signed: &Signed<'_>) -> Reading {
    let cluster = signed.optional("cluster").unwrap_or("default");
    let cluster_arn = whole_arn(signed, "ecs", "cluster/", cluster);
    let cluster_name = cluster_arn.rsplit('/').next().unwrap_or(cluster);
    let (action, resource) = match signed.call.operation.as_str() {
        "RunTask" => {
            let definition = whole_arn(signed, "ecs", "task-definition/", signed.text("taskDefinition")?);
            let has_revision = definition.rsplit('/').next().is_some_and(|end| end.contains(':'));
            ("ecs:RunTask", if has_revision { definition } else { format!("{definition}{NEWEST}") })
        }
        "StopTask" => {
            let task = whole_arn(signed, "ecs", &format!("task/{cluster_name}/"), signed.text("task")?);
            ("ecs:StopTask", task)
        }
        other => return Err(format!("the operation `{other}` of ECS is not in its table")),
    };
    Ok((action, resource, BTreeMap::from([("ecs:cluster".to_owned(), cluster_arn)])))
}

pub(super) fn secrets_manager(signed: &Signed<'_>) -> Reading {
    let action = match signed.call.operation.as_str() {
        "GetSecretValue" => "secretsmanager:GetSecretValue",
        other => return Err(format!("the operation `{other}` of Secrets Manager is not in its table")),
    };
    let secret = signed.text("SecretId")?;
    let is_arn = secret.starts_with("arn:");
    let end = if is_arn { "" } else { SECRET_END };
    let arn = whole_arn(signed, "secretsmanager", "secret:", secret);
    Ok((action, format!("{arn}{end}"), BTreeMap::new()))
}

pub(super) fn lambda(signed: &Signed<'_>) -> Reading {
    let path = signed.url.path();
    let function = path.strip_prefix("/2015-03-31/functions/").and_then(|rest| rest.strip_suffix("/invocations"));
    let (Some(function), "POST") = (function.map(decoded), signed.call.method()) else {
        return Err("only invocations are in the table of Lambda".to_owned());
    };
    if signed.url.query().is_some() || (function.contains(':') && !function.starts_with("arn:")) {
        return Err("only whole functions are in the table of Lambda, by name or ARN".to_owned());
    }
    Ok(("lambda:InvokeFunction", whole_arn(signed, "lambda", "function:", &function), BTreeMap::new()))
}

pub(super) fn ses(signed: &Signed<'_>) -> Reading {
    let (method, path) = (signed.call.method(), signed.url.path());
    if (method, path) != ("POST", "/v2/email/outbound-emails") {
        return Err(format!("{method} {path} is not in the table of SES"));
    }
    let is_raw = signed.call.body["Content"].get("Raw").is_some_and(|raw| !raw.is_null());
    let action = if is_raw { "ses:SendRawEmail" } else { "ses:SendEmail" };
    let from = signed.text("FromEmailAddress")?;
    let address = from.rsplit_once('<').map_or(from, |(_, rest)| rest.trim_end_matches('>'));
    let context = BTreeMap::from([("ses:FromAddress".to_owned(), address.to_owned())]);
    Ok((action, signed.arn("ses", &format!("identity/{address}")), context))
}

/// SNS has its words in a form. **Source**: Amazon SNS API Reference, "Making API requests", and `Publish`.
pub(super) fn sns(signed: &Signed<'_>) -> Reading {
    let form = String::from_utf8_lossy(signed.call.bytes()).into_owned();
    let form =
        Url::parse(&format!("http://emulator/?{form}")).map_err(|error| format!("its form is unusable ({error})"))?;
    let words: BTreeMap<String, String> = form.query_pairs().into_owned().collect();
    match words.get("Action").map(String::as_str) {
        Some("Publish") => {}
        other => return Err(format!("the operation {other:?} of SNS is not in its table")),
    }
    let topic = ["TopicArn", "TargetArn"].iter().find_map(|name| words.get(*name));
    match topic {
        Some(arn) => Ok(("sns:Publish", arn.clone(), BTreeMap::new())),
        None if words.contains_key("PhoneNumber") => Ok(("sns:Publish", A_NUMBER.to_owned(), BTreeMap::new())),
        None => Err("it is published to nobody".to_owned()),
    }
}

/// `name` as an ARN, unless it is one; `kind` is what stands before it there.
fn whole_arn(signed: &Signed<'_>, service: &str, kind: &str, name: &str) -> String {
    if name.starts_with("arn:") { name.to_owned() } else { signed.arn(service, &format!("{kind}{name}")) }
}
