# In earnest: a firewall in each zone, a database with a standby, nothing that holds data can be deleted by mistake.

module "platform" {
  source = "../../modules/platform"

  release        = var.release
  allowed_hosts  = var.allowed_hosts
  extra_services = var.extra_services
  token_issuers  = var.token_issuers
  email_from     = var.email_from

  network = { mode = "full" }
  database = {
    instance_class      = "db.m7g.large"
    storage_gb          = 200
    storage_limit_gb    = 2000
    multi_az            = true
    backup_days         = 14
    deletion_protection = true
    connection_alarm    = 600 # of about 800
  }
  storage = {
    old_version_days = 90
    force_destroy    = false
  }
  scratch_gb         = 50
  api_throttle       = { rate = 200, burst = 400 }
  log_retention_days = 90
  alarms = {
    emails             = var.alarm_emails
    chains             = var.chains
    monthly_budget_usd = 1500
  }
}
