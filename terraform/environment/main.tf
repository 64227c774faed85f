# What every environment is made of. The files here are linked into each folder of environments/, which has of its own what differs:
# figures.yaml, and in backend.tf the name of its state.

locals {
  figures = yamldecode(file("${path.root}/figures.yaml"))
}

module "platform" {
  source = "../../modules/platform"

  release        = var.release
  allowed_hosts  = var.allowed_hosts
  extra_services = var.extra_services
  token_issuers  = var.token_issuers
  email_from     = var.email_from
  webhooks       = var.webhooks
  database_ca    = var.database_ca == null ? null : file(var.database_ca.file)

  protected          = local.figures.protected
  network            = local.figures.network
  database           = local.figures.database
  storage            = local.figures.storage
  scratch_gb         = local.figures.scratch_gb
  api_throttle       = local.figures.api_throttle
  log_retention_days = local.figures.log_retention_days
  alarms = {
    emails             = var.alarm_emails
    chains             = var.chains
    monthly_budget_usd = local.figures.monthly_budget_usd
  }
}
