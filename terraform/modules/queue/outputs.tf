output "name" {
  description = "Name of the queue."
  value       = local.name
}

output "arn" {
  description = "ARN of the queue."
  value       = "${local.arn_prefix}:${local.name}"
}

output "url" {
  description = "URL of the queue."
  value       = "https://sqs.${var.aws.region}.${var.aws.dns_suffix}/${var.aws.account_id}/${local.name}"
}

output "dead_letter_name" {
  description = "Name of the dead-letter queue; null where there is none."
  value       = var.queue.dead_letter == null ? null : local.dead_letter_name
}
