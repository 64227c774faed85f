# One queue and its dead-letter queue. Bodies are ids only; SQS encrypts them with keys of its own.

locals {
  suffix           = var.queue.fifo ? ".fifo" : ""
  name             = "${var.name}${local.suffix}"
  dead_letter_name = "${var.name}-dlq${local.suffix}"
  # ARNs are made of names, so that a plan shows which queue leads where.
  arn_prefix  = "arn:${var.aws.partition}:sqs:${var.aws.region}:${var.aws.account_id}"
  dead_letter = { for name in [local.dead_letter_name] : name => var.queue.dead_letter if var.queue.dead_letter != null }
}

resource "aws_sqs_queue" "this" {
  name                       = local.name
  fifo_queue                 = var.queue.fifo
  deduplication_scope        = var.queue.deduplication_scope
  fifo_throughput_limit      = var.queue.fifo_throughput_limit
  visibility_timeout_seconds = var.queue.visibility_seconds
  message_retention_seconds  = var.queue.retention_seconds
  sqs_managed_sse_enabled    = true
  redrive_policy = var.queue.dead_letter == null ? null : jsonencode({
    deadLetterTargetArn = "${local.arn_prefix}:${local.dead_letter_name}"
    maxReceiveCount     = var.queue.dead_letter.max_receives
  })

  depends_on = [aws_sqs_queue.dead_letter]
}

resource "aws_sqs_queue" "dead_letter" {
  for_each = local.dead_letter

  name                      = each.key
  fifo_queue                = each.value.fifo
  message_retention_seconds = each.value.retention_seconds
  sqs_managed_sse_enabled   = true
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = ["${local.arn_prefix}:${local.name}"]
  })
}
