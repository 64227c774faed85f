variable "secrets" {
  description = "Secrets of the stack file, by key. One per name (`isotherm/<key>/<name>`) is made by whoever names it, not here."
  type = map(object({
    description = string
    per_name    = optional(bool, false)
  }))

  validation {
    condition     = alltrue([for secret in values(var.secrets) : length(secret.description) > 0])
    error_message = "Each secret says what it holds, and in which form."
  }
}

variable "key_arn" {
  description = "Key that secrets are encrypted with."
  type        = string
}

variable "recovery_days" {
  description = "Days for which a deleted secret can be had back."
  type        = number

  validation {
    condition     = var.recovery_days >= 7 && var.recovery_days <= 30
    error_message = "A deleted secret can be had back for 7 to 30 days."
  }
}
