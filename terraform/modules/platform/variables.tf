variable "release" {
  description = "What is deployed: names the zips in the artifacts bucket (`functions/<release>/<function>.zip`) and the images' tag."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$", var.release)) && var.release != "latest"
    error_message = "A release is a tag such as a version or a commit, of letters, digits, `_`, `.` and `-`; never `latest`, which would not say what runs."
  }
}

variable "protected" {
  description = "Whether what holds data refuses to be deleted: database, buckets, images, secrets, their key, the firewalls. Without it `terraform destroy` leaves nothing (terraform/README.md)."
  type        = bool

  validation {
    condition     = var.protected || !var.database.multi_az
    error_message = "A database with a standby holds data that somebody counts on: such an environment is `protected: true`. To take it down, say `multi_az: false` too."
  }
}

variable "network" {
  description = "Addresses of the VPC (a /16), how many availability zones, and the mode: `full` (interface endpoints, a firewall in each zone) or `lean` (one NAT gateway); docs/adr/0031-one-way-out.md has what each costs and gives."
  type = object({
    cidr  = optional(string, "10.40.0.0/16")
    zones = optional(number, 2)
    mode  = string
  })

  validation {
    condition     = contains(["full", "lean"], var.network.mode)
    error_message = "The network's mode is `full` or `lean`."
  }
  validation {
    condition     = contains([2, 3], var.network.zones)
    error_message = "The network has two or three zones."
  }
}

variable "allowed_hosts" {
  description = "Hosts outside AWS that may be reached over HTTPS: RPC providers, issuers of tokens, receivers of webhooks. `rpc.example.com`, or `*.example.com` for all names below it."
  type        = set(string)
}

variable "extra_services" {
  description = "Further AWS services that something inside calls, by the name of their interface endpoint, such as `email` or `sns`."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for service in var.extra_services : can(regex("^[a-z0-9.-]+$", service))])
    error_message = "A service is named as in its endpoint, without region: `email`, `sns`, `bedrock-runtime`."
  }
}

variable "database" {
  description = "Size and safety of Postgres: instance class, storage in GB and how far it may grow by itself, engine version, a standby in another zone, days of backups, connections above which an alarm rings."
  type = object({
    instance_class   = string
    storage_gb       = number
    storage_limit_gb = number
    engine_version   = optional(string, "17")
    multi_az         = bool
    backup_days      = number
    connection_alarm = number
  })
}

variable "database_ca" {
  description = "Certificates in PEM that vouch for Postgres. They are public, and go into the secret `database` beside the URL."
  type        = string
  default     = null
}

variable "storage" {
  description = "Of buckets: days for which old versions are kept."
  type = object({
    old_version_days = number
  })
}

variable "scratch_gb" {
  description = "Disk of each operator's task."
  type        = number
  default     = 30
}

variable "token_issuers" {
  description = "Whose tokens are accepted (docs/access.md): issuer, audience, where the issuer's public keys are, or these themselves. No secrets."
  type = list(object({
    issuer     = string
    audience   = string
    algorithms = optional(list(string))
    jwks_url   = optional(string)
    jwks       = optional(object({ keys = list(map(string)) }))
  }))

  validation {
    condition     = length(var.token_issuers) > 0
    error_message = "At least one issuer is needed: the functions `api` and `query` do not start without."
  }
  validation {
    condition     = alltrue([for issuer in var.token_issuers : (issuer.jwks_url == null) != (issuer.jwks == null)])
    error_message = "An issuer has `jwks_url` or `jwks`, and not both."
  }
  validation {
    condition     = alltrue([for issuer in var.token_issuers : issuer.jwks_url == null || startswith(coalesce(issuer.jwks_url, "-"), "https://")])
    error_message = "Public keys are fetched over https:// only."
  }
  validation {
    condition = alltrue([
      for host in [for issuer in var.token_issuers : lower(try(regex("^https://([^/?#:]+)", issuer.jwks_url)[0], "")) if issuer.jwks_url != null] :
      anytrue([for allowed in var.allowed_hosts : startswith(allowed, "*.") ? endswith(host, trimprefix(allowed, "*")) : host == allowed])
    ])
    error_message = "The host of each `jwks_url` is one of `allowed_hosts`: nobody could fetch the keys, and no token would be accepted."
  }
}

variable "email_from" {
  description = "Whom emails about alerts come from: an address that SES has verified in this region, or one of a domain that it has. Without it no email is sent."
  type        = string
  default     = null

  validation {
    condition     = var.email_from == null || can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", var.email_from))
    error_message = "An address is written like alerts@example.com."
  }
}

variable "webhooks" {
  description = "Names of webhook triggers' signing keys beside those of the stack file: each is the secret `isotherm/webhook/<name>`, made empty."
  type        = set(string)
  default     = []
}

variable "api_throttle" {
  description = "Calls of the HTTP API a second over all callers, and how many may come at once."
  type = object({
    rate  = number
    burst = number
  })
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number

  validation {
    condition     = contains([7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "CloudWatch keeps logs for 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731 days."
  }
}

variable "alarms" {
  description = "Who is told, what a month may cost in USD, which chains are followed (each has a secret `isotherm/rpc/<chain>` for its endpoints, made empty), and when alarms ring."
  type = object({
    emails             = set(string)
    monthly_budget_usd = number
    chains             = optional(set(string), [])
    thresholds = optional(object({
      ingest_lag_seconds = optional(number, 60)
      queue_age_seconds  = optional(number, 900)
      task_success_rate  = optional(number, 0.9)
      free_storage_part  = optional(number, 0.2)
    }), {})
  })
}
