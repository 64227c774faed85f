# What runs by the clock. A second group is for users' cron triggers: Terraform makes the group and the role, `isotherm apply`
# the schedules in it.

locals {
  groups = {
    own      = "isotherm"
    triggers = var.trigger_group
  }
  role_arn = "arn:${var.aws.partition}:iam::${var.aws.account_id}:role/${local.role_name}"
}

resource "aws_scheduler_schedule_group" "this" {
  for_each = local.groups

  name = each.value
}

resource "aws_scheduler_schedule" "this" {
  for_each = var.schedules

  name                         = "isotherm-${replace(each.key, "_", "-")}"
  group_name                   = aws_scheduler_schedule_group.this["own"].name
  schedule_expression          = each.value.expression
  schedule_expression_timezone = "UTC"
  state                        = "ENABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = each.value.function_arn
    role_arn = local.role_arn
    input    = each.value.input

    retry_policy {
      maximum_retry_attempts       = each.value.retry_attempts
      maximum_event_age_in_seconds = each.value.max_event_age_seconds
    }
  }

  depends_on = [aws_iam_role_policy.this]
}
