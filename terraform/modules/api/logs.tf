resource "aws_cloudwatch_log_group" "this" {
  name              = "/isotherm/api"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}
