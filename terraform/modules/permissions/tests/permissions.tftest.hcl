variables {
  aws = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
    region     = "eu-west-1"
    account_id = "123456789012"
  }
  key_alias = "alias/isotherm"
  access = {
    log_group_name = "/aws/lambda/isotherm-query"
    read           = ["arn:aws:s3:::cold", "arn:aws:s3:::results"]
    write          = ["arn:aws:s3:::results"]
    encrypted      = ["arn:aws:s3:::results"]
    secrets        = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:isotherm/database-??????"]
  }
}

run "what_is_not_wired_has_no_statement" {
  command = plan

  assert {
    condition     = output.statements[*].Sid == ["WriteLogs", "ListBuckets", "ReadObjects", "WriteObjects", "ReadSecrets", "ReadWithKey", "WriteWithKey"]
    error_message = "there are other statements"
  }
}

run "what_is_only_read_is_not_written" {
  command = plan

  assert {
    condition     = [for statement in output.statements : statement.Resource if statement.Sid == "WriteObjects"] == [tolist(["arn:aws:s3:::results/*"])]
    error_message = "another bucket can be written"
  }
}

run "a_folder_is_kept_to" {
  command = plan

  variables {
    access = {
      log_group_name = "/x"
      read           = ["arn:aws:s3:::cold", "arn:aws:s3:::results"]
      write          = ["arn:aws:s3:::results"]
      folders        = { "arn:aws:s3:::results" = "queries" }
    }
  }

  assert {
    condition     = [for statement in output.statements : statement.Resource if statement.Sid == "WriteObjects"] == [tolist(["arn:aws:s3:::results/queries/*"])]
    error_message = "objects outside the folder can be written"
  }
  assert {
    condition     = [for statement in output.statements : statement.Resource if statement.Sid == "ReadObjects"] == [tolist(["arn:aws:s3:::cold/*", "arn:aws:s3:::results/queries/*"])]
    error_message = "objects outside the folder can be read, or those of another bucket cannot"
  }
}

run "a_folder_is_no_pattern" {
  command = plan

  variables {
    access = { log_group_name = "/x", write = ["arn:aws:s3:::results"], folders = { "arn:aws:s3:::results" = "*" } }
  }
  expect_failures = [var.access]
}

run "the_key_is_used_through_the_services_that_need_it" {
  command = plan

  assert {
    condition = [for statement in output.statements : statement.Condition.StringEquals["kms:ViaService"] if statement.Sid == "ReadWithKey"] == [
      ["secretsmanager.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"]
    ]
    error_message = "the key is used in another way"
  }
}

run "text_messages_go_to_numbers_only" {
  command = plan

  variables {
    access = { log_group_name = "/x", texts = true }
  }

  assert {
    condition     = [for statement in output.statements : statement.NotResource if statement.Sid == "SendTexts"] == [["arn:aws:sns:*:*:*"]] && !anytrue([for statement in output.statements : can(statement.Resource) if statement.Sid == "SendTexts"])
    error_message = "topics of the account could be written to"
  }
}

run "no_queue_is_named_by_a_pattern" {
  command = plan

  variables {
    access = { log_group_name = "/x", send = ["arn:aws:sqs:eu-west-1:123456789012:*"] }
  }
  expect_failures = [var.access]
}

run "workers_are_launched_in_one_cluster" {
  command = plan

  variables {
    access = { log_group_name = "/x", run = ["arn:aws:ecs:eu-west-1:123456789012:task-definition/isotherm-noop:*"] }
  }
  expect_failures = [var.access]
}
