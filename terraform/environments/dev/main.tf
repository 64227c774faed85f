# To try things out: one zone's way out, the smallest database, everything may be deleted again.

module "platform" {
  source = "../../modules/platform"

  release        = var.release
  allowed_hosts  = var.allowed_hosts
  extra_services = var.extra_services
  token_issuers  = var.token_issuers
  email_from     = var.email_from

  network = { mode = "lean" }
  database = {
    instance_class      = "db.t4g.micro"
    storage_gb          = 20
    storage_limit_gb    = 100
    multi_az            = false
    backup_days         = 7
    deletion_protection = false
    connection_alarm    = 60 # of about 80
  }
  storage = {
    old_version_days = 7
    force_destroy    = true
  }
  api_throttle       = { rate = 20, burst = 40 }
  log_retention_days = 14
  alarms = {
    emails             = var.alarm_emails
    chains             = var.chains
    monthly_budget_usd = 150
  }
}
