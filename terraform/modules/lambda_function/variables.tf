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

variable "key" {
  description = "Key in the stack file, such as `trigger_cron`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,47}$", var.key))
    error_message = "A key is made of a-z, 0-9 and _, begins with a letter and has at most 48."
  }
}

variable "function" {
  description = "Size of the function: memory, time-out, `/tmp`, most invocations at a time (as many as the account allows, if absent)."
  type = object({
    memory_mb            = number
    timeout_seconds      = number
    ephemeral_storage_mb = optional(number, 512)
    reserved_concurrency = optional(number)
  })

  validation {
    condition     = var.function.memory_mb >= 128 && var.function.memory_mb <= 10240
    error_message = "Memory is 128 to 10,240 MB."
  }
  validation {
    condition     = var.function.timeout_seconds >= 1 && var.function.timeout_seconds <= 900
    error_message = "The time-out is 1 to 900 seconds."
  }
}

variable "environment" {
  description = "Variables. Addresses and names only; secrets by ARN."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.environment) : can(regex("^ISOTHERM_[A-Z0-9_]+$", name))])
    error_message = "Every variable begins with ISOTHERM_."
  }
}

variable "access" {
  description = "What it may use; see the module `permissions`."
  type        = any
}

variable "code" {
  description = "Where the zip is."
  type = object({
    bucket = string
    key    = string
  })
}

variable "network" {
  description = "Subnets and security groups."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
}

variable "mappings" {
  description = "Queues that feed it, by key of the stack file."
  type = map(object({
    queue_arn                  = string
    batch_size                 = number
    report_batch_item_failures = bool
    maximum_concurrency        = optional(number)
  }))

  validation {
    condition     = alltrue([for mapping in values(var.mappings) : mapping.batch_size >= 1 && mapping.batch_size <= 10])
    error_message = "A FIFO batch holds 1 to 10 messages."
  }
  validation {
    condition     = alltrue([for mapping in values(var.mappings) : mapping.report_batch_item_failures])
    error_message = "Functions answer which messages failed; without this the failed ones would be deleted."
  }
}

variable "asynchronous" {
  description = "How often an event that the scheduler handed over is tried again, and at what age it is given up; null where nothing invokes it so."
  type = object({
    retry_attempts        = number
    max_event_age_seconds = number
  })
  default = null

  validation {
    condition     = var.asynchronous == null || try(var.asynchronous.retry_attempts <= 2 && var.asynchronous.max_event_age_seconds >= 60, false)
    error_message = "Lambda tries an event at most twice more, and keeps it for a minute at least."
  }
}

variable "key_alias" {
  description = "Alias of the platform's key."
  type        = string
}

variable "key_arn" {
  description = "Key that its log is encrypted with."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which its log is kept."
  type        = number
}
