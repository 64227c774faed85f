//! Queues fit their readers: a slow batch is not handed out twice, order is kept on the way out, nothing is lost.

use crate::rendered::rendered;
use crate::resources::{Resource, Resources, last_part};

/// A queue hides a batch at least this many times the reader's time-out. Source: AWS Lambda developer guide, SQS.
const VISIBILITY_PER_TIMEOUT: i64 = 6;

fn faults(resources: &Resources) -> Vec<String> {
    let mut faults = Vec::new();
    let named =
        |name: &str| resources.all("aws_sqs_queue").find(|queue| queue.text("/name").is_some_and(|text| text == name));
    for mapping in resources.all("aws_lambda_event_source_mapping") {
        let queue = mapping.text("/event_source_arn").map(last_part).and_then(named);
        let function = mapping.text("/function_name");
        let function = resources
            .all("aws_lambda_function")
            .find(|found| function.is_some() && found.text("/function_name") == function);
        let (Some(queue), Some(function)) = (queue, function) else {
            faults.push(format!("{}: its queue or its function is not there", mapping.address));
            continue;
        };
        let hidden = queue.number("/visibility_timeout_seconds").unwrap_or(0);
        let least = function.number("/timeout").unwrap_or(i64::MAX).saturating_mul(VISIBILITY_PER_TIMEOUT);
        if hidden < least {
            faults.push(format!("{}: hides messages for {hidden} s, less than {least} s", queue.address));
        }
        if mapping.list("/function_response_types") != ["ReportBatchItemFailures"] {
            faults.push(format!("{}: messages that failed would be deleted", mapping.address));
        }
        if queue.json("/redrive_policy").is_null() {
            faults.push(format!("{}: what fails comes back for ever", queue.address));
        }
    }
    for queue in resources.all("aws_sqs_queue") {
        let redrive = queue.json("/redrive_policy");
        let Some(target) = redrive["deadLetterTargetArn"].as_str() else { continue };
        match named(last_part(target)) {
            None => faults.push(format!("{}: its dead letters go to a queue that is not there", queue.address)),
            Some(dead_letter) => faults.extend(redrive_fault(queue, dead_letter)),
        }
    }
    faults
}

fn redrive_fault(queue: &Resource, dead_letter: &Resource) -> Option<String> {
    if queue.is("/fifo_queue") != dead_letter.is("/fifo_queue") {
        return Some(format!("{}: FIFO and standard queue lead into each other", queue.address));
    }
    if dead_letter.number("/message_retention_seconds") < queue.number("/message_retention_seconds") {
        return Some(format!("{}: dead letters are forgotten sooner than messages", dead_letter.address));
    }
    let allowed = dead_letter.json("/redrive_allow_policy");
    let from = allowed["sourceQueueArns"][0].as_str().map(last_part);
    (from != queue.text("/name")).then(|| format!("{}: takes dead letters of other queues", dead_letter.address))
}

#[test]
fn queues_fit_their_readers() {
    for environment in ["dev", "prod"] {
        let Some(real) = rendered(environment) else { return };
        let none: [String; 0] = [];
        assert_eq!(faults(&real), none, "{environment}");
    }
}

#[test]
fn a_queue_that_does_not_fit_is_named() {
    let Some(real) = rendered("prod") else { return };
    let queue = r#"module.queue["events"].aws_sqs_queue.this"#;
    let dead_letter = r#"module.queue["events"].aws_sqs_queue.dead_letter["isotherm-events-dlq.fifo"]"#;
    let mapping = r#"module.lambda_function["dispatcher"].aws_lambda_event_source_mapping.this["dispatcher_events"]"#;
    let elsewhere = "arn:aws:sqs:eu-west-1:123456789012:isotherm-thresholds.fifo";
    let cases = [
        (
            real.planted(queue, "/visibility_timeout_seconds", 179),
            format!("{queue}: hides messages for 179 s, less than 180 s"),
        ),
        (
            real.planted(mapping, "/function_response_types/0", ""),
            format!("{mapping}: messages that failed would be deleted"),
        ),
        (
            real.planted(dead_letter, "/fifo_queue", false),
            format!("{queue}: FIFO and standard queue lead into each other"),
        ),
        (
            real.planted(dead_letter, "/message_retention_seconds", 60),
            format!("{dead_letter}: dead letters are forgotten sooner than messages"),
        ),
        (
            real.planted_in_json(dead_letter, "/redrive_allow_policy", "/sourceQueueArns/0", elsewhere),
            format!("{dead_letter}: takes dead letters of other queues"),
        ),
        (real.without(dead_letter), format!("{queue}: its dead letters go to a queue that is not there")),
    ];
    for (planted, expected) in cases {
        assert_eq!(faults(&planted), [expected]);
    }
}
