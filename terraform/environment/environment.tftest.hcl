variables {
  account_id    = "123456789012"
  region        = "eu-west-1"
  release       = "1.2.3"
  allowed_hosts = ["rpc.example.com"]
  alarm_emails  = ["ops@example.com"]
}

run "everything_of_the_stack_file_is_there" {
  command = plan

  assert {
    condition     = keys(output.platform.queue_urls) == keys(yamldecode(file("../../stack.yaml")).queues)
    error_message = "the queues are others than those of the stack file"
  }
  assert {
    condition     = keys(output.platform.repositories) == keys(yamldecode(file("../../stack.yaml")).operators)
    error_message = "the operators are others than those of the stack file"
  }
  assert {
    condition     = output.platform.cron_target.group == "isotherm-triggers"
    error_message = "cron triggers would go elsewhere"
  }
}

run "an_account_is_named_in_full" {
  command = plan

  variables {
    account_id = "1234"
  }
  expect_failures = [var.account_id]
}

run "a_zone_is_no_region" {
  command = plan

  variables {
    region = "eu-west-1a"
  }
  expect_failures = [var.region]
}
