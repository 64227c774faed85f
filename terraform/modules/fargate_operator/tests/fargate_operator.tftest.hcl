variables {
  aws = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
    region     = "eu-west-1"
    account_id = "123456789012"
  }
  key                = "parquet_compact"
  operator           = { cpu = 1024, memory_mb = 2048, stop_timeout_seconds = 60 }
  scratch_gb         = 30
  release            = "1.2.3"
  environment        = { ISOTHERM_OPERATOR = "parquet_compact" }
  access             = { receive = ["arn:aws:sqs:eu-west-1:123456789012:isotherm-tasks-parquet-compact.fifo"] }
  key_alias          = "alias/isotherm"
  key_arn            = "arn:aws:kms:eu-west-1:123456789012:key/1"
  log_retention_days = 14
  force_delete       = false
}

run "the_container_can_write_to_its_scratch_disk_only" {
  command = plan

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem
    error_message = "the root file system can be written"
  }
  assert {
    condition     = split(":", jsondecode(aws_ecs_task_definition.this.container_definitions)[0].user)[0] != "0"
    error_message = "it runs as root"
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout == 60
    error_message = "the stop time-out is another one"
  }
}

run "images_are_scanned_and_never_replaced" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    error_message = "a tag could come to mean another image, or nobody looks at it"
  }
}

run "the_worker_has_no_permission_of_the_image_s_role" {
  command = plan

  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.task.policy).Statement : statement.Sid] == ["ReceiveMessages"]
    error_message = "the worker may do more than its wiring says"
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.execution.policy).Statement : statement.Sid] == ["WriteLogs", "PullImage", "LogInToRegistry"]
    error_message = "ECS may do more than pull the image and write the log"
  }
}

run "a_worker_has_time_to_hand_its_task_back" {
  command = plan

  variables {
    operator = { cpu = 1024, memory_mb = 2048, stop_timeout_seconds = 20 }
  }
  expect_failures = [var.operator]
}
