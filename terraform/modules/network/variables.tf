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

variable "cidr" {
  description = "Addresses of the VPC; a /16, which every subnet is cut from."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.cidr)) && endswith(var.cidr, "/16")
    error_message = "The VPC's addresses are a /16, such as 10.40.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones, two or three."
  type        = list(string)

  validation {
    condition     = length(distinct(var.zones)) == length(var.zones) && contains([2, 3], length(var.zones))
    error_message = "Two or three different availability zones are needed: the database stands by in a second one."
  }
}

variable "interface_services" {
  description = "AWS services that are reached by interface endpoints, as in `sqs`. None in lean mode."
  type        = set(string)
}

variable "bucket_names" {
  description = "Buckets that the gateway endpoint of S3 lets through."
  type        = set(string)
}

variable "log_retention_days" {
  description = "Days for which refused connections are kept."
  type        = number
}

variable "key_arn" {
  description = "Key that log groups are encrypted with."
  type        = string
}
