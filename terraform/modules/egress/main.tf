# The one way out. In full mode: outbound subnet → firewall → NAT gateway → internet, in each zone. In lean mode: outbound
# subnets → one NAT gateway → internet. In both, names off the list are not resolved (dns.tf).

locals {
  zones     = sort(keys(var.outbound_cidrs))
  is_full   = var.mode == "full"
  nat_zones = toset(local.is_full ? local.zones : slice(local.zones, 0, 1))
  # Small subnets at the end of the VPC's addresses.
  public_cidrs   = { for i, zone in local.zones : zone => cidrsubnet(var.vpc_cidr, 8, 240 + i) if contains(local.nat_zones, zone) }
  firewall_cidrs = { for i, zone in local.zones : zone => cidrsubnet(var.vpc_cidr, 8, 244 + i) if local.is_full }
  nat_zone       = { for zone in local.zones : zone => local.is_full ? zone : local.zones[0] }
}

resource "aws_internet_gateway" "this" {
  vpc_id = var.vpc_id
  tags   = { Name = "isotherm" }
}

# Holds NAT gateways, and nothing else ever.
resource "aws_subnet" "public" {
  for_each = local.public_cidrs

  vpc_id                  = var.vpc_id
  availability_zone       = each.key
  cidr_block              = each.value
  map_public_ip_on_launch = false
  tags                    = { Name = "isotherm-public-${each.key}" }
}

resource "aws_eip" "nat" {
  for_each = local.nat_zones

  domain = "vpc"
  tags   = { Name = "isotherm-nat-${each.key}" }
}

resource "aws_nat_gateway" "this" {
  for_each = local.nat_zones

  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id
  tags          = { Name = "isotherm-${each.key}" }

  depends_on = [aws_internet_gateway.this]
}

resource "aws_route_table" "public" {
  for_each = local.public_cidrs

  vpc_id = var.vpc_id
  tags   = { Name = "isotherm-public-${each.key}" }
}

resource "aws_route_table_association" "public" {
  for_each = local.public_cidrs

  subnet_id      = aws_subnet.public[each.key].id
  route_table_id = aws_route_table.public[each.key].id
}

resource "aws_route" "public" {
  for_each = local.public_cidrs

  route_table_id         = aws_route_table.public[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route" "outbound" {
  for_each = var.outbound_route_table_ids

  route_table_id         = each.value
  destination_cidr_block = "0.0.0.0/0"
  vpc_endpoint_id        = local.is_full ? try(local.firewall_endpoints[each.key], null) : null
  nat_gateway_id         = local.is_full ? null : aws_nat_gateway.this[local.nat_zone[each.key]].id
}
