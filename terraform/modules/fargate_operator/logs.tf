locals {
  log_group_name = "/isotherm/operators/${local.name}"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = local.log_group_name
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}
