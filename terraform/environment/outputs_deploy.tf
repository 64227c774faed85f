# Apart from `platform`, so that it is known before everything is applied (`terraform apply -target`).
output "errands" {
  description = "Where errands are started, for `isotherm deploy`."
  value       = module.platform.errands
}
