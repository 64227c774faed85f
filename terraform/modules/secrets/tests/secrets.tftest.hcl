variables {
  secrets = {
    database = { description = "Postgres" }
    rpc      = { description = "Endpoints of one chain", per_name = true }
  }
  key_arn       = "arn:aws:kms:eu-west-1:123456789012:key/1"
  recovery_days = 30
}

run "shells_only_and_none_for_secrets_per_name" {
  command = plan

  assert {
    condition     = keys(aws_secretsmanager_secret.this) == ["database"] && aws_secretsmanager_secret.this["database"].name == "isotherm/database"
    error_message = "there are other secrets"
  }
}

run "a_deleted_secret_can_be_had_back" {
  command = plan

  variables {
    recovery_days = 0
  }
  expect_failures = [var.recovery_days]
}
