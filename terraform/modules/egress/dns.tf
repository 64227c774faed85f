# Names that may be looked up: the allowed hosts and the AWS services of this region. Others do not exist, which also keeps
# data from being carried away in the names that are asked for.

locals {
  aws_names = [
    "*.${var.aws.region}.${var.aws.dns_suffix}",
    "*.${var.aws.region}.rds.${var.aws.dns_suffix}",
    "*.dkr.ecr.${var.aws.region}.${var.aws.dns_suffix}",
    "*.s3.${var.aws.region}.${var.aws.dns_suffix}",
  ]
  dns_rules = {
    allowed = { priority = 100, action = "ALLOW", domains = sort(var.allowed_hosts) }
    aws     = { priority = 200, action = "ALLOW", domains = local.aws_names }
    others  = { priority = 300, action = "BLOCK", domains = ["*"] }
  }
}

resource "aws_route53_resolver_firewall_domain_list" "this" {
  for_each = local.dns_rules

  name    = "isotherm-${each.key}"
  domains = each.value.domains
}

resource "aws_route53_resolver_firewall_rule_group" "this" {
  name = "isotherm"
}

resource "aws_route53_resolver_firewall_rule" "this" {
  for_each = local.dns_rules

  name                    = "isotherm-${each.key}"
  firewall_rule_group_id  = aws_route53_resolver_firewall_rule_group.this.id
  firewall_domain_list_id = aws_route53_resolver_firewall_domain_list.this[each.key].id
  priority                = each.value.priority
  action                  = each.value.action
  block_response          = each.value.action == "BLOCK" ? "NXDOMAIN" : null
  # Providers lead from their own name to that of a content network; the first one is what is judged.
  firewall_domain_redirection_action = "TRUST_REDIRECTION_DOMAIN"
}

resource "aws_route53_resolver_firewall_rule_group_association" "this" {
  name                   = "isotherm"
  firewall_rule_group_id = aws_route53_resolver_firewall_rule_group.this.id
  vpc_id                 = var.vpc_id
  priority               = 101
  mutation_protection    = var.deletion_protection ? "ENABLED" : "DISABLED"
}

# If the firewall cannot say, the name is not resolved.
resource "aws_route53_resolver_firewall_config" "this" {
  resource_id        = var.vpc_id
  firewall_fail_open = "DISABLED"
}
