output "name" {
  description = "Name of the bucket, once it can be used."
  value       = aws_s3_bucket_policy.this.bucket
}
