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

variable "database" {
  description = "Size and safety of Postgres: instance class, storage in GB and how far it may grow by itself, engine version, a standby in another zone, days of backups."
  type = object({
    instance_class   = string
    storage_gb       = number
    storage_limit_gb = number
    engine_version   = optional(string, "17")
    multi_az         = bool
    backup_days      = number
  })

  validation {
    condition     = can(regex("^db\\.", var.database.instance_class))
    error_message = "An instance class begins with `db.`, such as db.t4g.medium."
  }
  validation {
    condition     = tonumber(split(".", var.database.engine_version)[0]) >= 15
    error_message = "The migrations need Postgres 15 or later."
  }
  validation {
    condition     = var.database.storage_gb >= 20 && var.database.storage_limit_gb > var.database.storage_gb
    error_message = "Storage begins at 20 GB, and its limit is above that."
  }
  validation {
    condition     = var.database.backup_days >= 7 && var.database.backup_days <= 35
    error_message = "Backups are kept for 7 to 35 days."
  }
}

variable "protected" {
  description = "Whether it refuses to be deleted, and leaves a last snapshot and its backups if it is all the same."
  type        = bool
}

variable "subnet_ids" {
  description = "Private subnets in two zones at least."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the database."
  type        = string
}

variable "key_arn" {
  description = "Key that storage, backups, the master password and logs are encrypted with."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which Postgres's log is kept."
  type        = number
}
