# Names that may be looked up: the allowed hosts and the AWS services that are called, each by its full name. Below a region's
# name lie everybody's APIs and buckets. Others do not exist, which also keeps data from being carried away in the names that are
# asked for.

locals {
  dns_rules = {
    allowed = { priority = 100, action = "ALLOW", domains = var.allowed_hosts }
    aws     = { priority = 200, action = "ALLOW", domains = var.service_hosts }
    others  = { priority = 300, action = "BLOCK", domains = toset(["*"]) }
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
  mutation_protection    = var.protected ? "ENABLED" : "DISABLED"
}

# If the firewall cannot say, the name is not resolved.
resource "aws_route53_resolver_firewall_config" "this" {
  resource_id        = var.vpc_id
  firewall_fail_open = "DISABLED"
}
