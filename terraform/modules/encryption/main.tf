# The platform's own key: database, secrets, users' results, logs, alarms. What is public (cold storage) and what holds only
# ids (queues) is encrypted with keys of the services (docs/adr/0032-where-the-key-is-ours.md).

locals {
  alias = "alias/isotherm"
  # A key that is gone takes with it all that it encrypted. Whoever means it first says so in the figures (`protected: false`),
  # which changes this policy and nothing else. A `prevent_destroy` could not be said by a figure.
  deletion = [
    for is_protected in [var.protected] : {
      Sid       = "NotDeleted"
      Effect    = "Deny"
      Principal = "*"
      Action    = ["kms:DisableKey", "kms:ScheduleKeyDeletion"]
      Resource  = "*"
    } if is_protected
  ]
}

resource "aws_kms_key" "this" {
  description             = "Isotherm: database, secrets, results, logs, alarms"
  enable_key_rotation     = true
  deletion_window_in_days = var.protected ? 30 : 7
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.deletion, [
      {
        # Without it nobody could ever change the key; IAM policies of the account then say who may.
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:${var.aws.partition}:iam::${var.aws.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Principal = { Service = "logs.${var.aws.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = "arn:${var.aws.partition}:logs:${var.aws.region}:${var.aws.account_id}:log-group:*"
          }
        }
      },
      {
        Sid       = "Alarms"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = var.aws.account_id } }
      },
    ])
  })
}

resource "aws_kms_alias" "this" {
  name          = local.alias
  target_key_id = aws_kms_key.this.key_id
}
