output "addresses" {
  description = "Public addresses that calls come from; providers may ask for them."
  value       = [for address in aws_eip.nat : address.public_ip]
}

output "refused_names" {
  description = "The resolver's rule that refuses names, for alarms."
  value = {
    rule_group_id  = aws_route53_resolver_firewall_rule_group.this.id
    domain_list_id = aws_route53_resolver_firewall_domain_list.this["others"].id
  }
}

output "firewall_zones" {
  description = "Zones with a firewall; none in lean mode."
  value       = keys(local.firewall_cidrs)
}
