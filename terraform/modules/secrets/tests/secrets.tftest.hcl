variables {
  secrets = {
    database = { description = "Postgres" }
    rpc      = { description = "Endpoints of one chain", per_name = true }
  }
  key_arn   = "arn:aws:kms:eu-west-1:123456789012:key/1"
  protected = true
}

run "shells_only_and_none_for_secrets_per_name" {
  command = plan

  assert {
    condition     = keys(aws_secretsmanager_secret.this) == ["database"] && aws_secretsmanager_secret.this["database"].name == "isotherm/database"
    error_message = "there are other secrets"
  }
}

run "secrets_per_name_are_made_under_the_same_key" {
  command = plan

  variables {
    names = { rpc = ["monad"] }
  }

  assert {
    condition     = aws_secretsmanager_secret.this["rpc/monad"].name == "isotherm/rpc/monad" && aws_secretsmanager_secret.this["rpc/monad"].kms_key_id == var.key_arn
    error_message = "the endpoints of a chain are under AWS's own key"
  }
  assert {
    condition     = contains(keys(aws_secretsmanager_secret_policy.this), "rpc/monad") && !contains(keys(output.arns), "rpc/monad")
    error_message = "it answers without TLS, or functions are told of it"
  }
}

run "a_name_that_every_stack_has_is_made_without_being_asked_for_and_once" {
  command = plan

  variables {
    secrets = { webhook = { description = "Signing key", per_name = true, names = ["smoke"] } }
    names   = { webhook = ["orders", "smoke"] }
  }

  assert {
    condition     = keys(aws_secretsmanager_secret.this) == ["webhook/orders", "webhook/smoke"]
    error_message = "there are other secrets"
  }
}

run "a_name_of_a_secret_that_there_is_one_of_is_refused" {
  command = plan

  variables {
    secrets = { database = { description = "Postgres", names = ["smoke"] } }
  }
  expect_failures = [var.secrets]
}

run "a_secret_that_there_is_one_of_has_no_names" {
  command = plan

  variables {
    names = { database = ["other"] }
  }
  expect_failures = [var.names]
}

run "a_deleted_secret_can_be_had_back" {
  command = plan

  assert {
    condition     = aws_secretsmanager_secret.this["database"].recovery_window_in_days == 30 && aws_secretsmanager_secret.this["database"].kms_key_id == var.key_arn
    error_message = "it is gone at once, or is under another key"
  }
}

run "a_name_that_is_to_be_used_again_is_free_at_once" {
  command = plan

  variables {
    protected = false
  }

  assert {
    condition     = aws_secretsmanager_secret.this["database"].recovery_window_in_days == 0
    error_message = "the environment could not be made again for a month"
  }
}
