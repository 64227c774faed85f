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

variable "schedules" {
  description = "Schedules of the stack file, by key. Times are UTC."
  type = map(object({
    function_arn          = string
    expression            = string
    input                 = string
    retry_attempts        = number
    max_event_age_seconds = number
  }))

  validation {
    condition     = alltrue([for schedule in values(var.schedules) : can(regex("^(rate|cron|at)\\(.+\\)$", schedule.expression))])
    error_message = "An expression is rate(…), cron(…) or at(…)."
  }
  validation {
    condition     = alltrue([for schedule in values(var.schedules) : schedule.retry_attempts >= 0 && schedule.retry_attempts <= 185 && schedule.max_event_age_seconds >= 60])
    error_message = "An event is tried again up to 185 times and kept for 60 seconds at least."
  }
}

variable "trigger_group" {
  description = "Group of the schedules of users' cron triggers, which are made when a pipeline is applied."
  type        = string
}

variable "trigger_function_arn" {
  description = "The function that they invoke."
  type        = string
}

