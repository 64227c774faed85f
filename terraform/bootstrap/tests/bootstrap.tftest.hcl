variables {
  account_id = "123456789012"
  region     = "eu-west-1"
}

run "states_are_encrypted_versioned_and_private" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled"
    error_message = "a state that is overwritten would be lost"
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.state.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms"
    error_message = "states are not encrypted with a key of their own"
  }
  assert {
    condition     = aws_s3_bucket_public_access_block.state.block_public_acls && aws_s3_bucket_public_access_block.state.restrict_public_buckets
    error_message = "the bucket could be made public"
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.state.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "states can be read without TLS"
  }
}

run "the_bucket_says_whose_it_is" {
  command = plan

  assert {
    condition     = aws_s3_bucket.state.bucket == "isotherm-state-123456789012-eu-west-1"
    error_message = "the bucket has another name"
  }
}

run "old_states_are_kept_for_a_month_at_least" {
  command = plan

  variables {
    old_version_days = 7
  }
  expect_failures = [var.old_version_days]
}
