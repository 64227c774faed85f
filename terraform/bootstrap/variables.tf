variable "account_id" {
  description = "The account that gets the bucket. Nothing is done in another one."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account's id has twelve digits."
  }
}

variable "region" {
  description = "Region of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region is written like eu-west-1."
  }
}

variable "old_version_days" {
  description = "Days for which old states are kept."
  type        = number
  default     = 365

  validation {
    condition     = var.old_version_days >= 30
    error_message = "Old states are kept for 30 days at least: they are the way back."
  }
}
