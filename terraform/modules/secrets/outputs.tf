output "arns" {
  description = "ARN of each secret that is not per name."
  value       = { for key, secret in aws_secretsmanager_secret.this : key => secret.arn }
}
