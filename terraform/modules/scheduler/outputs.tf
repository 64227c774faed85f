output "trigger_group" {
  description = "Group of the schedules of users' cron triggers."
  value       = aws_scheduler_schedule_group.this["triggers"].name
}

output "group_names" {
  description = "All groups, for alarms."
  value       = values(local.groups)
}

output "role_arn" {
  description = "Role that schedules take."
  value       = local.role_arn
}
