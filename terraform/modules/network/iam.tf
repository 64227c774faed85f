resource "aws_iam_role" "flow_log" {
  name        = "isotherm-flow-log"
  description = "Writes refused connections to their log group"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "vpc-flow-logs.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.aws.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "flow_log" {
  name = "isotherm-flow-log"
  role = aws_iam_role.flow_log.name
  # Source: Amazon VPC user guide, "IAM role for publishing flow logs to CloudWatch Logs", which grants all of it on everything.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        Resource = "arn:${var.aws.partition}:logs:${var.aws.region}:${var.aws.account_id}:log-group:/isotherm/network:*"
      },
      {
        # It looks the group up by its name, among all.
        Sid      = "FindLogGroup"
        Effect   = "Allow"
        Action   = "logs:DescribeLogGroups"
        Resource = "*"
      },
    ]
  })
}
