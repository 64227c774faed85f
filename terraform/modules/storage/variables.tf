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

variable "name" {
  description = "Name of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.name))
    error_message = "A bucket's name has 3 to 63 characters: a-z, 0-9, `-` and `.`."
  }
}

variable "bucket" {
  description = "A bucket of the stack file: whether old versions are kept, and after how many days objects are deleted (never, if absent)."
  type = object({
    versioned   = bool
    expire_days = optional(number)
  })

  validation {
    condition     = var.bucket.expire_days == null || try(var.bucket.expire_days >= 1, false)
    error_message = "Objects are kept for a day at least."
  }
}

variable "old_version_days" {
  description = "Days after which old versions are deleted."
  type        = number

  validation {
    condition     = var.old_version_days >= 1
    error_message = "Old versions are kept for a day at least."
  }
}

variable "key_arn" {
  description = "Key that objects are encrypted with; S3's own if absent."
  type        = string
  default     = null
}

variable "force_destroy" {
  description = "Whether the bucket may be deleted with what it holds."
  type        = bool
}
