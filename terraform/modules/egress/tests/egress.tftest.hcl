variables {
  aws = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
    region     = "eu-west-1"
    account_id = "123456789012"
  }
  mode                     = "full"
  allowed_hosts            = ["rpc.example.com", "*.example.org"]
  vpc_id                   = "vpc-1"
  vpc_cidr                 = "10.40.0.0/16"
  outbound_cidrs           = { eu-west-1a = "10.40.64.0/20", eu-west-1b = "10.40.80.0/20" }
  outbound_route_table_ids = { eu-west-1a = "rtb-a", eu-west-1b = "rtb-b" }
  service_hosts            = ["sqs.eu-west-1.amazonaws.com", "isotherm-cold-1.s3.eu-west-1.amazonaws.com"]
  protected                = true
  log_retention_days       = 14
  key_arn                  = "arn:aws:kms:eu-west-1:123456789012:key/1"
}

run "full_mode_has_a_firewall_and_a_nat_gateway_in_each_zone" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.this) == 2 && length(aws_subnet.firewall) == 2 && length(aws_networkfirewall_firewall.this) == 1
    error_message = "a zone lacks its own way out"
  }
  assert {
    condition     = one(one(aws_networkfirewall_rule_group.allowed["this"].rule_group).rules_source).rules_source_list[0].targets == toset(["rpc.example.com", ".example.org"])
    error_message = "the firewall's list is not the list of hosts"
  }
  assert {
    condition     = contains(one(aws_networkfirewall_firewall_policy.this["this"].firewall_policy).stateful_default_actions, "aws:drop_established")
    error_message = "what is not on the list has to be dropped"
  }
  assert {
    condition     = alltrue([for route in aws_route.outbound : route.nat_gateway_id == null])
    error_message = "outbound subnets must not get past the firewall"
  }
}

run "lean_mode_has_one_nat_gateway_and_no_firewall" {
  command = plan

  variables {
    mode = "lean"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_networkfirewall_firewall.this) == 0 && length(aws_route.outbound) == 2
    error_message = "lean mode is one NAT gateway for all zones"
  }
}

run "names_off_the_list_do_not_exist" {
  command = plan

  variables {
    mode = "lean"
  }

  assert {
    condition     = aws_route53_resolver_firewall_rule.this["others"].action == "BLOCK" && aws_route53_resolver_firewall_domain_list.this["others"].domains == toset(["*"])
    error_message = "other names have to be refused"
  }
  assert {
    condition     = aws_route53_resolver_firewall_rule.this["allowed"].priority < aws_route53_resolver_firewall_rule.this["others"].priority
    error_message = "allowed names have to be looked at first"
  }
  assert {
    condition     = aws_route53_resolver_firewall_config.this.firewall_fail_open == "DISABLED"
    error_message = "a firewall that cannot say must not let everything through"
  }
}

run "aws_services_are_named_in_full" {
  command = plan

  variables {
    service_hosts = ["*.eu-west-1.amazonaws.com"]
  }
  expect_failures = [var.service_hosts]
}

run "a_list_of_everything_is_refused" {
  command = plan

  variables {
    allowed_hosts = ["*"]
  }
  expect_failures = [var.allowed_hosts]
}

run "an_address_is_no_host_name" {
  command = plan

  variables {
    allowed_hosts = ["203.0.113.7"]
  }
  expect_failures = [var.allowed_hosts]
}

run "a_scheme_is_no_part_of_a_host_name" {
  command = plan

  variables {
    allowed_hosts = ["https://rpc.example.com"]
  }
  expect_failures = [var.allowed_hosts]
}
