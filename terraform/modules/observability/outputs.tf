output "topic_arn" {
  description = "Topic that alarms are sent to."
  value       = local.topic_arn
}
