output "task_definition_arn" {
  description = "ARN of the newest revision."
  value       = aws_ecs_task_definition.this.arn
}

output "repository" {
  description = "Repository of the image, without a tag."
  value       = local.repository
}

output "log_group_name" {
  description = "Its log."
  value       = local.log_group_name
}
