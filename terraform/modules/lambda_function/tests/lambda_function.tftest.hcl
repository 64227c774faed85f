variables {
  aws = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
    region     = "eu-west-1"
    account_id = "123456789012"
  }
  key                = "dispatcher"
  function           = { memory_mb = 256, timeout_seconds = 30 }
  environment        = { ISOTHERM_LOG = "info" }
  access             = { send = ["arn:aws:sqs:eu-west-1:123456789012:isotherm-events.fifo"] }
  code               = { bucket = "artifacts", key = "functions/1/isotherm-dispatcher.zip" }
  network            = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  mappings           = { dispatcher_events = { queue_arn = "arn:aws:sqs:eu-west-1:123456789012:isotherm-events.fifo", batch_size = 10, report_batch_item_failures = true, maximum_concurrency = 5 } }
  asynchronous       = { retry_attempts = 0, max_event_age_seconds = 60 }
  key_alias          = "alias/isotherm"
  key_arn            = "arn:aws:kms:eu-west-1:123456789012:key/1"
  log_retention_days = 14
}

run "a_role_of_its_own_with_what_the_wiring_names" {
  command = plan

  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid] == ["WriteLogs", "SendMessages", "NetworkInterfaces", "NotByTheCode"]
    error_message = "the role has other statements"
  }
  assert {
    condition = [
      for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : [statement.Effect, statement.Action, statement.Resource, statement.Condition] if statement.Sid == "NotByTheCode"
      ] == [
      ["Deny", local.network_actions, "*", { ArnEquals = { "lambda:SourceFunctionArn" = ["arn:aws:lambda:eu-west-1:123456789012:function:isotherm-dispatcher"] } }]
    ]
    error_message = "the function's code may use what Lambda needs"
  }
  assert {
    condition     = aws_iam_role.this.name == "isotherm-dispatcher" && aws_iam_role_policy.this.role == "isotherm-dispatcher"
    error_message = "the role is another one's"
  }
}

run "an_event_that_must_not_be_tried_again_is_not" {
  command = plan

  assert {
    condition     = aws_lambda_function_event_invoke_config.this["isotherm-dispatcher"].maximum_retry_attempts == 0
    error_message = "Lambda would try it twice more"
  }
}

run "failed_messages_are_reported" {
  command = plan

  variables {
    mappings = { dispatcher_events = { queue_arn = "arn:aws:sqs:eu-west-1:123456789012:isotherm-events.fifo", batch_size = 10, report_batch_item_failures = false } }
  }
  expect_failures = [var.mappings]
}

run "a_fifo_batch_has_ten_messages_at_most" {
  command = plan

  variables {
    mappings = { dispatcher_events = { queue_arn = "arn:aws:sqs:eu-west-1:123456789012:isotherm-events.fifo", batch_size = 11, report_batch_item_failures = true } }
  }
  expect_failures = [var.mappings]
}

run "variables_are_the_platform_s_own" {
  command = plan

  variables {
    environment = { DATABASE_PASSWORD = "x" }
  }
  expect_failures = [var.environment]
}

run "a_time_out_beyond_lambda_s_is_refused" {
  command = plan

  variables {
    function = { memory_mb = 256, timeout_seconds = 901 }
  }
  expect_failures = [var.function]
}
