variable "aws" {
  description = "Where this is: partition and its DNS suffix, region, account. Names and ARNs are made of them, so that a plan shows them."
  type = object({
    partition  = string
    dns_suffix = string
    region     = string
    account_id = string
  })

  validation {
    condition     = can(regex("^[0-9]{12}$", var.aws.account_id))
    error_message = "An account's id has twelve digits."
  }
}

variable "mode" {
  description = "`full`: a firewall in each zone that reads the host's name from the TLS greeting. `lean`: one NAT gateway, and names off the list are not resolved."
  type        = string

  validation {
    condition     = contains(["full", "lean"], var.mode)
    error_message = "The mode is `full` or `lean` (docs/adr/0031-one-way-out.md)."
  }
}

variable "allowed_hosts" {
  description = "Host names that may be reached over HTTPS: `rpc.example.com`, or `*.example.com` for all names below it."
  type        = set(string)

  validation {
    condition = length(var.allowed_hosts) > 0 && alltrue([
      for host in var.allowed_hosts : can(regex("^(\\*\\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z][a-z0-9-]*$", host))
    ])
    error_message = "At least one host name is needed, each like `rpc.example.com` or `*.example.com`: lower case, no scheme, no port, no address."
  }
}

variable "service_hosts" {
  description = "Host names of AWS that are called from inside, each in full: a pattern would let names of strangers through."
  type        = set(string)

  validation {
    condition     = alltrue([for host in var.service_hosts : can(regex("^[a-z0-9.-]+$", host))])
    error_message = "AWS services are named one by one, without `*`: below each region's name lie the APIs and the buckets of everybody."
  }
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "vpc_cidr" {
  description = "Addresses of the VPC, a /16."
  type        = string
}

variable "outbound_cidrs" {
  description = "Addresses of the outbound subnet of each zone."
  type        = map(string)
}

variable "outbound_route_table_ids" {
  description = "Route table of the outbound subnet of each zone."
  type        = map(string)
}

variable "protected" {
  description = "Whether the firewalls refuse to be deleted or led around."
  type        = bool
}

variable "log_retention_days" {
  description = "Days for which refused calls are kept."
  type        = number
}

variable "key_arn" {
  description = "Key that log groups are encrypted with."
  type        = string
}
