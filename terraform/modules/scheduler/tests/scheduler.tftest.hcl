variables {
  aws = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
    region     = "eu-west-1"
    account_id = "123456789012"
  }
  schedules = {
    reaper = {
      function_arn          = "arn:aws:lambda:eu-west-1:123456789012:function:isotherm-reaper"
      expression            = "rate(1 minute)"
      input                 = "{\"kind\":\"reap\",\"version\":1}"
      retry_attempts        = 0
      max_event_age_seconds = 60
    }
  }
  trigger_group        = "isotherm-triggers"
  trigger_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:isotherm-trigger-cron"
}

run "the_role_invokes_what_the_clock_names" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role_policy.this.policy).Statement[0].Resource == [
      "arn:aws:lambda:eu-west-1:123456789012:function:isotherm-reaper", "arn:aws:lambda:eu-west-1:123456789012:function:isotherm-trigger-cron"
    ]
    error_message = "the scheduler may invoke other functions"
  }
  assert {
    condition     = aws_scheduler_schedule.this["reaper"].flexible_time_window[0].mode == "OFF" && aws_scheduler_schedule.this["reaper"].group_name == "isotherm"
    error_message = "it fires some other time, or lies in another group"
  }
}

run "an_expression_that_would_never_fire_is_refused" {
  command = plan

  variables {
    schedules = { reaper = { function_arn = "arn", expression = "every minute", input = "{}", retry_attempts = 0, max_event_age_seconds = 60 } }
  }
  expect_failures = [var.schedules]
}
