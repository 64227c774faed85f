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
  description = "Key in the stack file, such as `block_follower`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,47}$", var.key))
    error_message = "A key is made of a-z, 0-9 and _, begins with a letter and has at most 48."
  }
}

variable "operator" {
  description = "Size of the operator: CPU units (1024 are a core), memory, seconds between SIGTERM and SIGKILL."
  type = object({
    cpu                  = number
    memory_mb            = number
    stop_timeout_seconds = number
  })

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.operator.cpu)
    error_message = "Fargate offers 256, 512, 1024, 2048 and 4096 CPU units here."
  }
  validation {
    condition     = var.operator.stop_timeout_seconds >= 25 && var.operator.stop_timeout_seconds <= 120
    error_message = "An operator has 20 s to reach a safe point and its worker 5 s to hand the task back; Fargate waits for 120 s at most."
  }
}

variable "scratch_gb" {
  description = "Size of the task's own disk, where files are written before they are stored."
  type        = number

  validation {
    condition     = var.scratch_gb >= 21 && var.scratch_gb <= 200
    error_message = "A task's disk has 21 to 200 GB."
  }
}

variable "release" {
  description = "Tag of the image."
  type        = string
}

variable "environment" {
  description = "Variables of the worker. Addresses and names only; secrets by ARN."
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

variable "force_delete" {
  description = "Whether the repository may be deleted with its images."
  type        = bool
}
