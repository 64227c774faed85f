# Two roles: one that ECS takes to pull the image and open the log, one that the worker and its operator have.

module "permissions" {
  source = "../permissions"

  aws       = var.aws
  key_alias = var.key_alias
  access    = merge(var.access, { log_group_name = local.log_group_name })
}

locals {
  assume_role = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.aws.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${var.aws.partition}:ecs:${var.aws.region}:${var.aws.account_id}:*" }
      }
    }]
  })
  task_role_name      = "${local.name}-operator"
  execution_role_name = "${local.name}-execution"
}

resource "aws_iam_role" "task" {
  name               = local.task_role_name
  description        = "The operator ${local.name} and its worker"
  assume_role_policy = local.assume_role
}

# The log driver writes with the execution role: the worker has no permission for logs.
resource "aws_iam_role_policy" "task" {
  name = local.task_role_name
  role = aws_iam_role.task.name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for statement in module.permissions.statements : statement if statement.Sid != "WriteLogs"]
  })
}

resource "aws_iam_role" "execution" {
  name               = local.execution_role_name
  description        = "Pulls the image of ${local.name} and opens its log"
  assume_role_policy = local.assume_role
}

resource "aws_iam_role_policy" "execution" {
  name = local.execution_role_name
  role = aws_iam_role.execution.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([for statement in module.permissions.statements : statement if statement.Sid == "WriteLogs"], [
      {
        Sid      = "PullImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = "arn:${var.aws.partition}:ecr:${var.aws.region}:${var.aws.account_id}:repository/${local.name}"
      },
      {
        # It knows no resource. Source: Service Authorization Reference, Amazon ECR.
        Sid      = "LogInToRegistry"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
    ])
  })
}
