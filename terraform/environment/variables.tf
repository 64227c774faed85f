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
  description = "Whose tokens are accepted (docs/access.md), one issuer at least. Public keys and addresses only; the host of each `jwks_url` is one of `allowed_hosts`."
  type = list(object({
    issuer     = string
    audience   = string
    algorithms = optional(list(string))
    jwks_url   = optional(string)
    jwks       = optional(object({ keys = list(map(string)) }))
  }))
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

variable "database_ca" {
  description = "Certificates that vouch for the database, as a file in PEM, and the file's SHA-256: RDS's bundle of the region (terraform/README.md). It goes to whoever writes the secret `isotherm/database`."
  type = object({
    file   = string
    sha256 = string
  })
  default = null

  validation {
    condition     = var.database_ca == null || try(filesha256(var.database_ca.file) == lower(var.database_ca.sha256), false)
    error_message = "The file of certificates is not there, or is not the one whose SHA-256 was written down: fetch it again, and see whether RDS has new authorities before you write down another one."
  }
  validation {
    condition     = var.database_ca == null || try(strcontains(file(var.database_ca.file), "-----BEGIN CERTIFICATE-----"), false)
    error_message = "The file holds no certificate in PEM."
  }
  validation {
    condition     = var.database_ca == null || try(length(file(var.database_ca.file)) < 60000, false)
    error_message = "A secret has room for 64 KB: take the bundle of the region, and not that of all regions."
  }
}

variable "extra_services" {
  description = "Further AWS services that something inside calls, such as `email` or `sns`."
  type        = set(string)
  default     = []
}
