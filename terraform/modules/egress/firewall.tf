# The firewall of full mode. It sees every packet both ways, takes the host's name from the TLS greeting, and drops what is
# not on the list, whatever address it goes to.

locals {
  firewall = toset(local.is_full ? ["this"] : [])
  # `.example.com` is the firewall's way to say `*.example.com`.
  sni_targets        = [for host in sort(var.allowed_hosts) : trimprefix(host, "*")]
  firewall_states    = flatten([for firewall in aws_networkfirewall_firewall.this : [for status in firewall.firewall_status : tolist(status.sync_states)]])
  firewall_endpoints = { for state in local.firewall_states : state.availability_zone => one(state.attachment).endpoint_id }
}

resource "aws_subnet" "firewall" {
  for_each = local.firewall_cidrs

  vpc_id                  = var.vpc_id
  availability_zone       = each.key
  cidr_block              = each.value
  map_public_ip_on_launch = false
  tags                    = { Name = "isotherm-firewall-${each.key}" }
}

resource "aws_route_table" "firewall" {
  for_each = local.firewall_cidrs

  vpc_id = var.vpc_id
  tags   = { Name = "isotherm-firewall-${each.key}" }
}

resource "aws_route_table_association" "firewall" {
  for_each = local.firewall_cidrs

  subnet_id      = aws_subnet.firewall[each.key].id
  route_table_id = aws_route_table.firewall[each.key].id
}

resource "aws_route" "firewall" {
  for_each = local.firewall_cidrs

  route_table_id         = aws_route_table.firewall[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[each.key].id
}

# Answers go back the way that the questions came.
resource "aws_route" "back" {
  for_each = local.firewall_cidrs

  route_table_id         = aws_route_table.public[each.key].id
  destination_cidr_block = var.outbound_cidrs[each.key]
  vpc_endpoint_id        = try(local.firewall_endpoints[each.key], null)
}

resource "aws_networkfirewall_rule_group" "allowed" {
  for_each = local.firewall

  name        = "isotherm-allowed-hosts"
  description = "Hosts that may be reached over TLS"
  type        = "STATEFUL"
  capacity    = 1000 # cannot be changed later; about one for each host

  rule_group {
    rule_variables {
      ip_sets {
        key = "HOME_NET"
        ip_set {
          definition = [var.vpc_cidr]
        }
      }
    }
    rules_source {
      rules_source_list {
        generated_rules_type = "ALLOWLIST"
        target_types         = ["TLS_SNI"]
        targets              = local.sni_targets
      }
    }
    stateful_rule_options {
      rule_order = "STRICT_ORDER"
    }
  }
}

resource "aws_networkfirewall_firewall_policy" "this" {
  for_each = local.firewall

  name = "isotherm"

  firewall_policy {
    stateless_default_actions          = ["aws:forward_to_sfe"]
    stateless_fragment_default_actions = ["aws:forward_to_sfe"]
    # The greeting comes after the connection is open, so what is open and not allowed is what is dropped.
    stateful_default_actions = ["aws:drop_established", "aws:alert_established"]
    stateful_engine_options {
      rule_order              = "STRICT_ORDER"
      stream_exception_policy = "REJECT"
    }
    stateful_rule_group_reference {
      priority     = 1
      resource_arn = aws_networkfirewall_rule_group.allowed[each.key].arn
    }
  }
}

resource "aws_networkfirewall_firewall" "this" {
  for_each = local.firewall

  name                              = "isotherm"
  vpc_id                            = var.vpc_id
  firewall_policy_arn               = aws_networkfirewall_firewall_policy.this[each.key].arn
  delete_protection                 = var.protected
  subnet_change_protection          = var.protected
  firewall_policy_change_protection = var.protected

  dynamic "subnet_mapping" {
    for_each = aws_subnet.firewall

    content {
      subnet_id = subnet_mapping.value.id
    }
  }
}
