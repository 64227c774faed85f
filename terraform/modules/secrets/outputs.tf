output "arns" {
  description = "ARN of each secret that is not per name."
  value       = { for key in keys(local.single) : key => aws_secretsmanager_secret.this[key].arn }
}
