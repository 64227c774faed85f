variables {
  aws = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
    region     = "eu-west-1"
    account_id = "123456789012"
  }
  cidr               = "10.40.0.0/16"
  zones              = ["eu-west-1a", "eu-west-1b"]
  interface_services = ["sqs", "logs"]
  bucket_names       = ["isotherm-cold-1"]
  log_retention_days = 14
  key_arn            = "arn:aws:kms:eu-west-1:123456789012:key/1"
}

run "subnets_are_private_and_in_two_zones" {
  command = plan

  assert {
    condition     = length(aws_subnet.private) == 2 && alltrue([for subnet in merge(aws_subnet.private, aws_subnet.outbound) : !subnet.map_public_ip_on_launch])
    error_message = "a subnet gives out public addresses, or a zone has none"
  }
  assert {
    condition     = length(distinct(concat(values(local.private_cidrs), values(local.outbound_cidrs)))) == 4
    error_message = "subnets overlap"
  }
}

run "s3_is_reached_for_own_buckets_only" {
  command = plan

  assert {
    condition     = alltrue([for statement in jsondecode(aws_vpc_endpoint.s3.policy).Statement : !contains(flatten([statement.Resource]), "*")])
    error_message = "the gateway endpoint lets data into anybody's bucket"
  }
}

run "one_zone_is_not_enough" {
  command = plan

  variables {
    zones = ["eu-west-1a"]
  }
  expect_failures = [var.zones]
}

run "the_vpc_is_a_16" {
  command = plan

  variables {
    cidr = "10.40.0.0/24"
  }
  expect_failures = [var.cidr]
}
