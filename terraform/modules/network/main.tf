# A VPC whose subnets are all private. `private` has no route out of it at all; `outbound` has one, to the egress path, which the
# module `egress` adds. Nothing here lets anybody in from outside: the HTTP API invokes functions without entering the VPC.

locals {
  # /20 each, so that a zone has room for 4,000 tasks and functions.
  private_cidrs  = { for i, zone in var.zones : zone => cidrsubnet(var.cidr, 4, i) }
  outbound_cidrs = { for i, zone in var.zones : zone => cidrsubnet(var.cidr, 4, 4 + i) }
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true # interface endpoints answer to the services' own names
  tags                 = { Name = "isotherm" }
}

resource "aws_subnet" "private" {
  for_each = local.private_cidrs

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = each.value
  map_public_ip_on_launch = false
  tags                    = { Name = "isotherm-private-${each.key}" }
}

resource "aws_subnet" "outbound" {
  for_each = local.outbound_cidrs

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = each.value
  map_public_ip_on_launch = false
  tags                    = { Name = "isotherm-outbound-${each.key}" }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "isotherm-private" }
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private.id
}

resource "aws_route_table" "outbound" {
  for_each = local.outbound_cidrs

  vpc_id = aws_vpc.this.id
  tags   = { Name = "isotherm-outbound-${each.key}" }
}

resource "aws_route_table_association" "outbound" {
  for_each = aws_subnet.outbound

  subnet_id      = each.value.id
  route_table_id = aws_route_table.outbound[each.key].id
}
