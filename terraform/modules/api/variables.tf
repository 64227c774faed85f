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

variable "routes" {
  description = "Routes of the stack file, keyed by `METHOD /path`: the function that answers, and whether calls have to be signed by an AWS principal."
  type = map(object({
    function      = string
    authorization = optional(string, "none")
  }))

  validation {
    condition     = alltrue([for key in keys(var.routes) : can(regex("^(GET|POST|PUT|PATCH|DELETE) /[^ ]*$", key))])
    error_message = "A route is a method and a path, as in `GET /v1/name`."
  }
  validation {
    condition     = alltrue([for route in values(var.routes) : contains(["none", "aws_iam"], route.authorization)])
    error_message = "A route's authorization is `none` (its function sees to it itself) or `aws_iam`."
  }
}

variable "function_names" {
  description = "Name of each function on AWS, by key."
  type        = map(string)
}

variable "throttle" {
  description = "Calls a second over all callers, and how many may come at once."
  type = object({
    rate  = number
    burst = number
  })

  validation {
    condition     = var.throttle.rate >= 1 && var.throttle.burst >= 1
    error_message = "At least one call a second has to be let through."
  }
}

variable "key_arn" {
  description = "Key that the access log is encrypted with."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which the access log is kept."
  type        = number
}
