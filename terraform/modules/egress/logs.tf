# What was refused: names by the resolver (both modes), connections by the firewall (full mode).

resource "aws_cloudwatch_log_group" "this" {
  for_each = merge({ dns = "/isotherm/egress/dns" }, local.is_full ? { firewall = "/isotherm/egress/firewall" } : {})

  name              = each.value
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

resource "aws_networkfirewall_logging_configuration" "this" {
  for_each = local.firewall

  firewall_arn = aws_networkfirewall_firewall.this[each.key].arn
  logging_configuration {
    log_destination_config {
      log_destination      = { logGroup = aws_cloudwatch_log_group.this["firewall"].name }
      log_destination_type = "CloudWatchLogs"
      log_type             = "ALERT"
    }
  }
}

resource "aws_route53_resolver_query_log_config" "this" {
  name            = "isotherm"
  destination_arn = aws_cloudwatch_log_group.this["dns"].arn
}

resource "aws_route53_resolver_query_log_config_association" "this" {
  resolver_query_log_config_id = aws_route53_resolver_query_log_config.this.id
  resource_id                  = var.vpc_id
}
