# In earnest: a firewall in each zone, a database with a standby, nothing that holds data can be deleted by mistake.

locals {
  figures = yamldecode(file("${path.module}/figures.yaml"))
}

module "platform" {
  source = "../../modules/platform"

  release        = var.release
  allowed_hosts  = var.allowed_hosts
  extra_services = var.extra_services
  token_issuers  = var.token_issuers
  email_from     = var.email_from

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
