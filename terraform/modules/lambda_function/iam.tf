module "permissions" {
  source = "../permissions"

  aws       = var.aws
  key_alias = var.key_alias
  access    = merge(var.access, { log_group_name = local.log_group_name })
}

resource "aws_iam_role" "this" {
  name        = local.name
  description = "The function ${local.name}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# Lambda itself makes the network interfaces, with this role; these actions know no narrower resource that could be named
# before they exist. The second statement keeps the function's code from using them. Source: AWS Lambda developer guide,
# "Giving Lambda functions access to resources in an Amazon VPC" (lambda:SourceFunctionArn).
locals {
  network_actions = [
    "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
  ]
}

resource "aws_iam_role_policy" "this" {
  name = local.name
  role = aws_iam_role.this.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(module.permissions.statements, [
      {
        Sid      = "NetworkInterfaces"
        Effect   = "Allow"
        Action   = local.network_actions
        Resource = "*"
      },
      {
        Sid       = "NotByTheCode"
        Effect    = "Deny"
        Action    = local.network_actions
        Resource  = "*"
        Condition = { ArnEquals = { "lambda:SourceFunctionArn" = [local.arn] } }
      },
    ])
  })
}
