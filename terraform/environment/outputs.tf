output "platform" {
  description = "Addresses of everything that people and pipelines need."
  value       = module.platform
}
