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

variable "queues" {
  description = "Queues, by key of the stack file: name, name of the dead-letter queue (null where only people read), whether a message in it is for people, and whether workers are woken by it, who may leave its messages."
  type = map(object({
    name             = string
    dead_letter_name = string
    is_for_people    = bool
    wakes_workers    = bool
  }))
}

variable "functions" {
  description = "Functions, by key: name, and whether the clock invokes it once a minute."
  type = map(object({
    name         = string
    is_scheduled = bool
  }))
}

variable "operators" {
  description = "Operators, as keys of the stack file."
  type        = set(string)
}

variable "chains" {
  description = "Names of the chains that are followed. Each has an alarm of its own, which also rings when its follower is silent."
  type        = set(string)
}

variable "database" {
  description = "Name of the instance, its storage in GB, and connections above which an alarm rings."
  type = object({
    identifier       = string
    storage_gb       = number
    connection_alarm = number
  })

  validation {
    condition     = var.database.connection_alarm >= 10
    error_message = "Workers and functions need ten connections at least; an alarm below that would always ring."
  }
}

variable "api_id" {
  description = "Id of the HTTP API."
  type        = string
}

variable "schedule_groups" {
  description = "Schedule groups."
  type        = set(string)
}

variable "refused_names" {
  description = "The resolver's rule that refuses names: its group, and its list."
  type = object({
    rule_group_id  = string
    domain_list_id = string
  })
}

variable "firewall_zones" {
  description = "Zones with a firewall; none in lean mode."
  type        = set(string)
}

variable "thresholds" {
  description = "When alarms ring: seconds behind the chain, age of the oldest message or due task, part of tasks that must succeed, part of the disk that must be free, events that wait in the outbox, seconds from a block to its alerts."
  type = object({
    ingest_lag_seconds = optional(number, 60)
    queue_age_seconds  = optional(number, 900)
    task_success_rate  = optional(number, 0.9)
    free_storage_part  = optional(number, 0.2)
    outbox_events      = optional(number, 100)
    alert_lag_seconds  = optional(number, 300)
  })
  default = {}

  validation {
    condition     = var.thresholds.task_success_rate > 0 && var.thresholds.task_success_rate <= 1 && var.thresholds.free_storage_part > 0 && var.thresholds.free_storage_part < 1
    error_message = "Parts are between 0 and 1."
  }
}

variable "emails" {
  description = "Who is told. Each address has to confirm once."
  type        = set(string)

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", email))])
    error_message = "An e-mail address has a name, an @ and a domain."
  }
}

variable "monthly_budget_usd" {
  description = "What a month may cost, in USD, of the whole account."
  type        = number

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "A budget is more than nothing."
  }
}

variable "key_arn" {
  description = "Key that the topic and the log are encrypted with."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which the log of tasks that did not start is kept."
  type        = number
}
