variables {
  aws = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
    region     = "eu-west-1"
    account_id = "123456789012"
  }
  name = "isotherm-events"
  queue = {
    fifo                  = true
    deduplication_scope   = "messageGroup"
    fifo_throughput_limit = "perMessageGroupId"
    visibility_seconds    = 180
    retention_seconds     = 345600
    dead_letter           = { fifo = true, max_receives = 5, retention_seconds = 1209600 }
  }
}

run "what_fails_too_often_goes_to_the_queue_s_own_dead_letters" {
  command = plan

  assert {
    condition     = jsondecode(aws_sqs_queue.this.redrive_policy) == { deadLetterTargetArn = "arn:aws:sqs:eu-west-1:123456789012:isotherm-events-dlq.fifo", maxReceiveCount = 5 }
    error_message = "the redrive policy is another one"
  }
  assert {
    condition     = aws_sqs_queue.dead_letter["isotherm-events-dlq.fifo"].fifo_queue
    error_message = "the dead-letter queue of a FIFO queue is FIFO"
  }
}

run "a_queue_for_people_has_no_dead_letters" {
  command = plan

  variables {
    queue = { fifo = true, visibility_seconds = 30, retention_seconds = 1209600 }
  }

  assert {
    condition     = length(aws_sqs_queue.dead_letter) == 0 && output.dead_letter_name == null
    error_message = "there is a dead-letter queue"
  }
}

run "fifo_leads_to_fifo" {
  command = plan

  variables {
    queue = { fifo = true, visibility_seconds = 30, retention_seconds = 60, dead_letter = { fifo = false, max_receives = 5, retention_seconds = 60 } }
  }
  expect_failures = [var.queue]
}

run "high_throughput_needs_both_settings" {
  command = plan

  variables {
    queue = { fifo = true, deduplication_scope = "messageGroup", visibility_seconds = 30, retention_seconds = 60 }
  }
  expect_failures = [var.queue]
}
