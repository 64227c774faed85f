# Connections that were refused, with both ends: the first thing to look at when something cannot be reached.

resource "aws_cloudwatch_log_group" "refused" {
  name              = "/isotherm/network"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

resource "aws_flow_log" "refused" {
  vpc_id                   = aws_vpc.this.id
  traffic_type             = "REJECT"
  log_destination_type     = "cloud-watch-logs"
  log_destination          = aws_cloudwatch_log_group.refused.arn
  iam_role_arn             = aws_iam_role.flow_log.arn
  max_aggregation_interval = 600
}
