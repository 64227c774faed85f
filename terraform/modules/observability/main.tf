# Who is told, and of what: one topic, alarms (alarms.tf), a dashboard (dashboard.tf), what a month may cost (budget.tf), and
# tasks that ECS could not start.

locals {
  topic_name  = "isotherm-alarms"
  not_started = "isotherm-task-not-started"
  topic_arn   = "arn:${var.aws.partition}:sns:${var.aws.region}:${var.aws.account_id}:${local.topic_name}"
}

resource "aws_sns_topic" "alarms" {
  name              = local.topic_name
  kms_master_key_id = var.key_arn
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

# A worker that never came says nothing itself: its image cannot be pulled, or there is no capacity.
resource "aws_cloudwatch_event_rule" "not_started" {
  name        = local.not_started
  description = "ECS could not start a task. ${local.runbook}#alarm-task-not-started"
  event_pattern = jsonencode({
    source        = ["aws.ecs"]
    "detail-type" = ["ECS Task State Change"]
    detail = {
      clusterArn = ["arn:${var.aws.partition}:ecs:${var.aws.region}:${var.aws.account_id}:cluster/isotherm"]
      stopCode   = ["TaskFailedToStart"]
    }
  })
}

# Why it did not start is in the log; that there is something in it, an alarm says.
resource "aws_cloudwatch_event_target" "not_started" {
  rule = aws_cloudwatch_event_rule.not_started.name
  arn  = aws_cloudwatch_log_group.not_started.arn

  depends_on = [aws_cloudwatch_log_resource_policy.not_started]
}
