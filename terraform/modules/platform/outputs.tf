output "api_url" {
  description = "Address of the HTTP API."
  value       = module.api.url
}

output "database" {
  description = "Where Postgres is, what its URL ends with, the certificates that vouch for it, and which secret has the master's password. The errand `migrate` makes the platform's own role and its URL."
  value = {
    address           = module.database.address
    url_options       = "sslmode=verify-full"
    ca                = var.database_ca
    master_secret_arn = module.database.master_secret_arn
  }
}

output "buckets" {
  description = "Name of each bucket, by key of the stack file."
  value       = { for key, bucket in module.storage : key => bucket.name }
}

output "queue_urls" {
  description = "URL of each queue, by key of the stack file."
  value       = { for key, queue in module.queue : key => queue.url }
}

output "repositories" {
  description = "Where each operator's image is pushed to, by key of the stack file."
  value       = { for key, operator in module.fargate_operator : key => operator.repository }
}

output "cron_target" {
  description = "Where schedules of cron triggers go, for `isotherm apply`."
  value = {
    group                 = module.scheduler.trigger_group
    role_arn              = module.scheduler.role_arn
    function_arn          = local.function_arns[local.stack.cron_triggers.function]
    retry_attempts        = local.stack.cron_triggers.retry_attempts
    max_event_age_seconds = local.stack.cron_triggers.max_event_age_seconds
  }
}

output "addresses" {
  description = "Public addresses that calls to providers come from."
  value       = module.egress.addresses
}
