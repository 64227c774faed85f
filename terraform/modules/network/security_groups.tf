# Who may talk to whom: two lists, one a direction. What is not in them is refused.

locals {
  groups = {
    functions = "Lambda functions"
    operators = "Fargate operators"
    outbound  = "What may use the egress path, in addition to its own group"
    endpoints = "Interface endpoints of AWS services"
    database  = "Postgres"
  }
  inside = {
    functions_to_endpoints = { from = "functions", to = "endpoints", port = 443 }
    functions_to_database  = { from = "functions", to = "database", port = 5432 }
    operators_to_endpoints = { from = "operators", to = "endpoints", port = 443 }
    operators_to_database  = { from = "operators", to = "database", port = 5432 }
  }
}

resource "aws_security_group" "this" {
  for_each = local.groups

  name        = "isotherm-${each.key}"
  description = each.value
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "isotherm-${each.key}" }
}

# The group that everything gets which names none: it allows nothing.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "isotherm-none" }
}

resource "aws_vpc_security_group_ingress_rule" "inside" {
  for_each = local.inside

  security_group_id            = aws_security_group.this[each.value.to].id
  referenced_security_group_id = aws_security_group.this[each.value.from].id
  description                  = "${each.value.from} to ${each.value.to}"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "inside" {
  for_each = local.inside

  security_group_id            = aws_security_group.this[each.value.from].id
  referenced_security_group_id = aws_security_group.this[each.value.to].id
  description                  = "${each.value.from} to ${each.value.to}"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  for_each = toset(["functions", "operators"])

  security_group_id = aws_security_group.this[each.key].id
  prefix_list_id    = aws_vpc_endpoint.s3.prefix_list_id
  description       = "${each.key} to S3, through the gateway endpoint"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# The only rule with the whole world in it. Only the outbound subnets have a route there, and it leads to the egress path.
resource "aws_vpc_security_group_egress_rule" "outbound" {
  security_group_id = aws_security_group.this["outbound"].id
  cidr_ipv4         = "0.0.0.0/0"
  description       = "HTTPS to the hosts that the egress path lets through"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
