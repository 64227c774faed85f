variables {
  aws = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
    region     = "eu-west-1"
    account_id = "123456789012"
  }
  name             = "isotherm-cold-1"
  bucket           = { versioned = true }
  old_version_days = 90
  force_destroy    = false
}

run "nobody_outside_and_nobody_without_tls" {
  command = plan

  assert {
    condition     = aws_s3_bucket_public_access_block.this.block_public_policy && aws_s3_bucket_public_access_block.this.restrict_public_buckets
    error_message = "the bucket could be made public"
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "the bucket can be read without TLS"
  }
}

run "what_is_versioned_loses_old_versions_only" {
  command = plan

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this.rule[*].id == tolist(["unfinished-uploads", "old-versions"]) && aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "the bucket forgets something else"
  }
}

run "what_expires_expires" {
  command = plan

  variables {
    bucket = { versioned = false, expire_days = 7 }
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this.rule[1].expiration[0].days == 7
    error_message = "objects are kept for another time"
  }
}

run "a_name_that_s3_would_refuse_is_refused" {
  command = plan

  variables {
    name = "Isotherm_Cold"
  }
  expect_failures = [var.name]
}
