variables {
  aws = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
    region     = "eu-west-1"
    account_id = "123456789012"
  }
  queues = {
    events       = { name = "isotherm-events.fifo", dead_letter_name = "isotherm-events-dlq.fifo", is_for_people = false, wakes_workers = false }
    tasks_noop   = { name = "isotherm-tasks-noop.fifo", dead_letter_name = "isotherm-tasks-noop-dlq.fifo", is_for_people = false, wakes_workers = true }
    dead_letters = { name = "isotherm-dead-letters.fifo", dead_letter_name = null, is_for_people = true, wakes_workers = false }
  }
  functions = {
    reaper = { name = "isotherm-reaper", is_scheduled = true }
    query  = { name = "isotherm-query", is_scheduled = false }
  }
  operators          = ["noop"]
  chains             = ["monad"]
  database           = { identifier = "isotherm", storage_gb = 20, connection_alarm = 60 }
  api_id             = "api1"
  schedule_groups    = ["isotherm"]
  refused_names      = { rule_group_id = "group1", domain_list_id = "list1" }
  firewall_zones     = []
  emails             = ["ops@example.com"]
  monthly_budget_usd = 150
  log_retention_days = 14
  key_arn            = "arn:aws:kms:eu-west-1:123456789012:key/1"
}

run "silence_is_an_alarm_for_what_the_clock_invokes" {
  command = plan

  assert {
    condition     = [for name in keys(local.metric_alarms) : name if startswith(name, "silence-")] == ["silence-isotherm-reaper"] && aws_cloudwatch_metric_alarm.metric["silence-isotherm-reaper"].treat_missing_data == "breaching"
    error_message = "a reaper that does not run would not be noticed"
  }
}

run "a_silent_follower_counts_as_one_that_lags" {
  command = plan

  assert {
    condition     = aws_cloudwatch_metric_alarm.metric["ingest-lag-monad"].treat_missing_data == "breaching"
    error_message = "a follower that says nothing would not be noticed"
  }
}

run "a_wake_up_that_nobody_took_is_no_task_that_waits" {
  command = plan

  assert {
    condition     = { for name, alarm in local.metric_alarms : alarm.metric => alarm.dimensions if startswith(name, "queue-age-") } == { ApproximateAgeOfOldestMessage = { QueueName = "isotherm-events.fifo" }, queue_age_seconds = { queue = "isotherm-tasks-noop.fifo" } }
    error_message = "a healthy follower's wake-up would ring for a day, or a task that waits would not be noticed"
  }
}

run "one_dead_letter_is_enough" {
  command = plan

  assert {
    condition     = aws_cloudwatch_metric_alarm.metric["dead-letters-isotherm-events-dlq.fifo"].threshold == 0 && aws_cloudwatch_metric_alarm.metric["failed-tasks-isotherm-dead-letters.fifo"].threshold == 0
    error_message = "a dead letter would not be noticed"
  }
}

run "the_disk_s_alarm_is_in_bytes" {
  command = plan

  assert {
    condition     = aws_cloudwatch_metric_alarm.metric["database-disk"].threshold == 4 * 1024 * 1024 * 1024
    error_message = "a fifth of 20 GB is 4 GB"
  }
}

run "who_is_told_has_an_address" {
  command = plan

  variables {
    emails = ["ops"]
  }
  expect_failures = [var.emails]
}
