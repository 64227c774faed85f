output "url" {
  description = "Address of the API; a route's path follows it."
  value       = aws_apigatewayv2_api.this.api_endpoint
}

output "id" {
  description = "Id of the API, for alarms."
  value       = aws_apigatewayv2_api.this.id
}
