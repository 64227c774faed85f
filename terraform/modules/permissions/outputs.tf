output "statements" {
  description = "Statements of the policy. What is not needed has none."
  value       = local.statements
}
