variable "account_id" {
  description = "The account that this environment owns. Nothing is done in another one."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account's id has twelve digits."
  }
}

variable "region" {
  description = "Region of everything."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region is written like eu-west-1."
  }
}

variable "release" {
  description = "What is deployed: a version or a commit, under which zips and images were stored."
  type        = string
}

variable "allowed_hosts" {
  description = "Hosts outside AWS that may be reached over HTTPS: RPC providers, issuers of tokens, receivers of webhooks."
  type        = set(string)
}

variable "token_issuers" {
  description = "Whose tokens are accepted (docs/access.md). Public keys and addresses only."
  type = list(object({
    issuer     = string
    audience   = string
    algorithms = optional(list(string))
    jwks_url   = optional(string)
    jwks       = optional(object({ keys = list(map(string)) }))
  }))
  default = []
}

variable "email_from" {
  description = "Whom emails about alerts come from: an address that SES has verified in this region, or one of a domain that it has. Without it no email is sent."
  type        = string
  default     = null
}

variable "alarm_emails" {
  description = "Who is told when an alarm rings."
  type        = set(string)
}

variable "chains" {
  description = "Names of the chains that are followed; each has an alarm of its own, and a secret for its endpoints."
  type        = set(string)
  default     = []
}

variable "webhooks" {
  description = "Names of webhook triggers' signing keys; each has a secret."
  type        = set(string)
  default     = []
}

variable "extra_services" {
  description = "Further AWS services that something inside calls, such as `email` or `sns`."
  type        = set(string)
  default     = []
}
