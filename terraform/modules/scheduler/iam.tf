locals {
  role_name  = "isotherm-scheduler"
  group_arns = [for name in sort(values(local.groups)) : "arn:${var.aws.partition}:scheduler:${var.aws.region}:${var.aws.account_id}:schedule-group/${name}"]
}

resource "aws_iam_role" "this" {
  name        = local.role_name
  description = "Invokes functions by the clock"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.aws.account_id, "aws:SourceArn" = local.group_arns }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = local.role_name
  role = aws_iam_role.this.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "InvokeFunctions"
      Effect   = "Allow"
      Action   = ["lambda:InvokeFunction"]
      Resource = sort(distinct(concat([for schedule in values(var.schedules) : schedule.function_arn], [var.trigger_function_arn])))
    }]
  })
}
