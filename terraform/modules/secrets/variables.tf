variable "secrets" {
  description = "Secrets of the stack file, by key. One per name is called `isotherm/<key>/<name>`; `names` are those that every stack has."
  type = map(object({
    description = string
    per_name    = optional(bool, false)
    names       = optional(set(string), [])
  }))

  validation {
    condition     = alltrue([for secret in values(var.secrets) : length(secret.description) > 0])
    error_message = "Each secret says what it holds, and in which form."
  }
  validation {
    condition     = alltrue([for secret in values(var.secrets) : secret.per_name || length(secret.names) == 0])
    error_message = "Only secrets that the stack file calls `per_name` have names."
  }
  validation {
    condition     = alltrue([for name in flatten([for secret in values(var.secrets) : tolist(secret.names)]) : can(regex("^[a-z0-9_-]{1,63}$", name))])
    error_message = "A secret's name has 1 to 63 characters: a-z, 0-9, `_` and `-`."
  }
}

variable "names" {
  description = "Further names of the secrets that are per name, by key: `{ rpc = [\"monad\"] }`."
  type        = map(set(string))
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.names) : try(var.secrets[key].per_name, false)])
    error_message = "Only secrets that the stack file calls `per_name` have names."
  }
  validation {
    condition     = alltrue([for name in flatten([for names in values(var.names) : tolist(names)]) : can(regex("^[a-z0-9_-]{1,63}$", name))])
    error_message = "A secret's name has 1 to 63 characters: a-z, 0-9, `_` and `-`."
  }
}

variable "key_arn" {
  description = "Key that secrets are encrypted with."
  type        = string
}

variable "protected" {
  description = "Whether a deleted secret can be had back, for 30 days; else it is gone, and its name free, at once."
  type        = bool
}
