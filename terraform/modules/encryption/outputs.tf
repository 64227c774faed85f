output "key_arn" {
  description = "ARN of the key."
  value       = aws_kms_key.this.arn
}

output "alias" {
  description = "The key's alias, by which policies name it: without it they grant nothing, so what has them comes after it."
  value       = aws_kms_alias.this.name
}
