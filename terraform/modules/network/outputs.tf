output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Subnets without a route out of the VPC."
  value       = [for zone in var.zones : aws_subnet.private[zone].id]
}

output "outbound_subnet_ids" {
  description = "Subnets whose default route is the egress path."
  value       = [for zone in var.zones : aws_subnet.outbound[zone].id]
}

output "outbound_route_table_ids" {
  description = "Route table of the outbound subnet of each zone."
  value       = { for zone, table in aws_route_table.outbound : zone => table.id }
}

output "outbound_cidrs" {
  description = "Addresses of the outbound subnet of each zone."
  value       = local.outbound_cidrs
}

output "security_group_ids" {
  description = "Security groups: functions, operators, outbound, endpoints, database."
  value       = { for key, group in aws_security_group.this : key => group.id }
}
