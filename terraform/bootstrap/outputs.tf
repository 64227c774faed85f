output "backend_config" {
  description = "What `terraform init` of an environment has to be given."
  value       = "-backend-config=bucket=${aws_s3_bucket_policy.state.bucket} -backend-config=region=${var.region}"
}
