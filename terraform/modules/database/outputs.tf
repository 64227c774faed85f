output "identifier" {
  description = "Name of the instance, for alarms."
  value       = local.identifier
}

output "address" {
  description = "Host name of Postgres."
  value       = aws_db_instance.this.address
}

output "master_secret_arn" {
  description = "Secret in which RDS keeps the master's password."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}
