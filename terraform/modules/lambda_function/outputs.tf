output "name" {
  description = "Name of the function, once it is there."
  value       = aws_lambda_function.this.function_name
}

output "arn" {
  description = "ARN of the function."
  value       = local.arn
}
