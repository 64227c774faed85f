locals {
  not_started_group = "/aws/events/${local.not_started}"
  not_started_arn   = "arn:${var.aws.partition}:logs:${var.aws.region}:${var.aws.account_id}:log-group:${local.not_started_group}:*"
}

resource "aws_cloudwatch_log_group" "not_started" {
  name              = local.not_started_group
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

# EventBridge writes to a log by its leave, not by a role. Source: Amazon EventBridge user guide, "CloudWatch Logs permissions".
resource "aws_cloudwatch_log_resource_policy" "not_started" {
  policy_name = local.not_started
  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "CreateStreams"
        Effect    = "Allow"
        Principal = { Service = ["events.amazonaws.com", "delivery.logs.amazonaws.com"] }
        Action    = "logs:CreateLogStream"
        Resource  = local.not_started_arn
      },
      {
        Sid       = "WriteEvents"
        Effect    = "Allow"
        Principal = { Service = ["events.amazonaws.com", "delivery.logs.amazonaws.com"] }
        Action    = "logs:PutLogEvents"
        Resource  = local.not_started_arn
        Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.not_started.arn } }
      },
    ]
  })
}
