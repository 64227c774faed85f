//! IAM's rules, as far as the platform's policies use them. What is not known here is refused, never passed over.
//!
//! **Source**: AWS IAM User Guide, "IAM JSON policy element reference" and "Policy evaluation logic".

use isotherm_lab::aws_calls::AwsCall;
use serde_json::Value;

/// Condition keys of which it is known what they are for a call.
const KEYS: [&str; 8] = [
    "aws:PrincipalAccount",
    "aws:ResourceTag/aws:rds:primaryDBInstanceArn",
    "ecs:cluster",
    "iam:PassedToService",
    "kms:ResourceAliases",
    "kms:ViaService",
    "lambda:SourceFunctionArn",
    "ses:FromAddress",
];

/// Elements of a statement that are read.
const ELEMENTS: [&str; 7] = ["Action", "Condition", "Effect", "NotResource", "Principal", "Resource", "Sid"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// What a statement is about, as patterns.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    On(Vec<String>),
    /// Everything else.
    NotOn(Vec<String>),
}

/// A key of the call is one of these.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
    /// Whether `*` and `?` stand for others.
    pub(crate) are_patterns: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) effect: Effect,
    pub(crate) actions: Vec<String>,
    pub(crate) scope: Scope,
    pub(crate) conditions: Vec<Condition>,
}

/// Reads a policy.
///
/// # Errors
/// What there is in it that nobody here understands.
pub(crate) fn statements(policy: &Value) -> Result<Vec<Statement>, String> {
    let statements = policy["Statement"].as_array().ok_or("it has no list of statements")?;
    statements.iter().map(statement).collect()
}

fn statement(statement: &Value) -> Result<Statement, String> {
    let members = statement.as_object().ok_or("a statement is no object")?;
    if let Some(element) = members.keys().find(|element| !ELEMENTS.contains(&element.as_str())) {
        return Err(format!("the element {element} is not understood"));
    }
    let effect = match statement["Effect"].as_str() {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        other => return Err(format!("the effect {other:?} is not understood")),
    };
    let scope = match (members.get("Resource"), members.get("NotResource")) {
        (Some(resources), None) => Scope::On(texts(resources)?),
        (None, Some(resources)) => Scope::NotOn(texts(resources)?),
        _ => return Err("a statement has one of Resource and NotResource".to_owned()),
    };
    let actions = texts(members.get("Action").ok_or("a statement has no Action")?)?;
    let mut conditions = Vec::new();
    for (operator, keys) in members.get("Condition").and_then(Value::as_object).into_iter().flatten() {
        let are_patterns = match operator.as_str() {
            // A key with several values is written here as the one that counts.
            "StringEquals" | "ForAnyValue:StringEquals" => false,
            "StringLike" | "ArnEquals" | "ArnLike" => true,
            other => return Err(format!("the condition {other} is not understood")),
        };
        for (key, values) in keys.as_object().into_iter().flatten() {
            if !KEYS.contains(&key.as_str()) {
                return Err(format!("the condition key {key} is not understood"));
            }
            conditions.push(Condition { key: key.clone(), values: texts(values)?, are_patterns });
        }
    }
    Ok(Statement { effect, actions, scope, conditions })
}

/// A text, or a list of texts.
fn texts(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| format!("{item} is no text")))
            .collect(),
        other => Err(format!("{other} is neither a text nor a list")),
    }
}

/// Whether some statement allows the call and none denies it.
pub(crate) fn is_allowed(statements: &[Statement], call: &AwsCall) -> bool {
    let has =
        |effect: Effect| statements.iter().any(|statement| statement.effect == effect && statement.is_about(call));
    has(Effect::Allow) && !has(Effect::Deny)
}

impl Statement {
    fn is_about(&self, call: &AwsCall) -> bool {
        self.actions.iter().any(|action| is_action(action, &call.action))
            && self.scope.has(&call.resource)
            && self.holds_for(call)
    }

    /// Whether all its conditions are met. A key that the call does not have meets none.
    pub(crate) fn holds_for(&self, call: &AwsCall) -> bool {
        self.conditions.iter().all(|condition| {
            let value = call.context.get(&condition.key);
            value.is_some_and(|value| condition.values.iter().any(|wanted| condition.is_met(wanted, value)))
        })
    }
}

impl Condition {
    fn is_met(&self, wanted: &str, value: &str) -> bool {
        if self.are_patterns { matches(wanted, value) } else { wanted == value }
    }
}

impl Scope {
    pub(crate) fn has(&self, resource: &str) -> bool {
        match self {
            Self::On(patterns) => patterns.iter().any(|pattern| matches(pattern, resource)),
            Self::NotOn(patterns) => !patterns.iter().any(|pattern| matches(pattern, resource)),
        }
    }
}

/// Whether `pattern` covers `action`; case does not count.
pub(crate) fn is_action(pattern: &str, action: &str) -> bool {
    matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
}

/// Whether `text` is as `pattern` has it: `*` stands for any characters, `?` for one.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    fn rest(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', after @ ..], _) => (0..=text.len()).any(|skipped| rest(after, &text[skipped..])),
            ([b'?', after @ ..], [_, text @ ..]) => rest(after, text),
            ([one, after @ ..], [other, text @ ..]) => one == other && rest(after, text),
            _ => false,
        }
    }
    rest(pattern.as_bytes(), text.as_bytes())
}

mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    const EVENTS: &str = "arn:aws:sqs:eu-west-1:1:isotherm-events.fifo";

    fn call(action: &str, resource: &str, context: &[(&str, &str)]) -> AwsCall {
        let context = context.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        AwsCall {
            principal: "isotherm-api".to_owned(),
            action: action.to_owned(),
            resource: resource.to_owned(),
            context: context.collect::<BTreeMap<_, _>>(),
        }
    }

    fn allows(statement: &Value, call: &AwsCall) -> bool {
        is_allowed(&statements(&json!({ "Statement": [statement] })).unwrap(), call)
    }

    #[test]
    fn actions_and_resources_are_patterns() {
        let send = call("sqs:SendMessage", EVENTS, &[]);
        let on = |action: &str, resource: &str| json!({ "Effect": "Allow", "Action": action, "Resource": resource });
        for (action, resource, expected) in [
            ("sqs:SendMessage", EVENTS, true),
            ("SQS:sendmessage", EVENTS, true),
            ("sqs:*", "*", true),
            ("sqs:SendMessage", "arn:aws:sqs:eu-west-1:1:isotherm-event?.fifo", true),
            ("sqs:SendMessage", "arn:aws:sqs:eu-west-1:1:isotherm-event.fifo", false),
            ("sqs:SendMessage", "arn:aws:sqs:eu-west-1:1:isotherm-events", false),
            ("sqs:ReceiveMessage", EVENTS, false),
        ] {
            assert_eq!(allows(&on(action, resource), &send), expected, "{action} on {resource}");
        }
        let lists = json!({ "Effect": "Allow", "Action": ["sqs:A", "sqs:SendMessage"], "Resource": ["x", EVENTS] });
        assert!(allows(&lists, &send));
    }

    #[test]
    fn what_is_left_out_of_a_statement_is_not_in_it() {
        let but_topics = json!({ "Effect": "Allow", "Action": "sns:Publish", "NotResource": "arn:aws:sns:*:*:*" });
        assert!(allows(&but_topics, &call("sns:Publish", "+", &[])));
        assert!(!allows(&but_topics, &call("sns:Publish", "arn:aws:sns:eu-west-1:1:alarms", &[])));
    }

    #[test]
    fn one_deny_outweighs_every_allow() {
        let policy = json!({ "Statement": [
            { "Effect": "Allow", "Action": "*", "Resource": "*" },
            { "Effect": "Deny", "Action": "ec2:*", "Resource": "*",
              "Condition": { "ArnEquals": { "lambda:SourceFunctionArn": ["arn:aws:lambda:*:1:function:isotherm-api"] } } },
        ] });
        let statements = statements(&policy).unwrap();
        let by_code = [("lambda:SourceFunctionArn", "arn:aws:lambda:eu-west-1:1:function:isotherm-api")];
        assert!(!is_allowed(&statements, &call("ec2:DescribeSubnets", "x", &by_code)));
        assert!(is_allowed(&statements, &call("ec2:DescribeSubnets", "x", &[])), "Lambda itself");
        assert!(is_allowed(&statements, &call("sqs:SendMessage", EVENTS, &by_code)));
    }

    #[test]
    fn a_condition_is_met_by_a_value_that_is_there() {
        let conditional = |operator: &str, value: &str| {
            json!({ "Effect": "Allow", "Action": "ecs:RunTask", "Resource": "*",
                    "Condition": { operator: { "ecs:cluster": [value] } } })
        };
        let run = |context: &[(&str, &str)]| call("ecs:RunTask", "x", context);
        for (operator, value, context, expected) in [
            ("ArnEquals", "a:isotherm", &[("ecs:cluster", "a:isotherm")][..], true),
            ("ArnLike", "a:*", &[("ecs:cluster", "a:isotherm")][..], true),
            ("ForAnyValue:StringEquals", "a:isotherm", &[("ecs:cluster", "a:isotherm")][..], true),
            ("StringEquals", "a:*", &[("ecs:cluster", "a:isotherm")][..], false),
            ("ArnEquals", "a:isotherm", &[("ecs:cluster", "a:other")][..], false),
            ("ArnEquals", "a:isotherm", &[][..], false),
        ] {
            assert_eq!(
                allows(&conditional(operator, value), &run(context)),
                expected,
                "{operator} {value} {context:?}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let allow = |member: &str, value: Value| {
            let mut statement = json!({ "Effect": "Allow", "Action": "a:B", "Resource": "*" });
            statement[member] = value;
            json!({ "Statement": [statement] })
        };
        for (policy, expected) in [
            (allow("NotAction", json!("a:B")), "the element NotAction"),
            (allow("Effect", json!("Perhaps")), "the effect Some(\"Perhaps\")"),
            (allow("NotResource", json!("x")), "one of Resource and NotResource"),
            (allow("Condition", json!({ "Null": { "ecs:cluster": "true" } })), "the condition Null"),
            (allow("Condition", json!({ "StringEquals": { "aws:SourceIp": "1" } })), "the condition key aws:SourceIp"),
            (allow("Resource", json!(7)), "7 is neither"),
            (json!({}), "no list of statements"),
        ] {
            let refused = statements(&policy).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
