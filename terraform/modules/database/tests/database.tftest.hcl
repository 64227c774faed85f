variables {
  aws = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
    region     = "eu-west-1"
    account_id = "123456789012"
  }
  database = {
    instance_class      = "db.t4g.micro"
    storage_gb          = 20
    storage_limit_gb    = 100
    multi_az            = false
    backup_days         = 7
    deletion_protection = true
  }
  subnet_ids         = ["subnet-1", "subnet-2"]
  security_group_id  = "sg-1"
  key_arn            = "arn:aws:kms:eu-west-1:123456789012:key/1"
  log_retention_days = 14
}

run "no_password_is_known_to_terraform" {
  command = plan

  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null
    error_message = "the master's password would be in the state"
  }
}

run "private_encrypted_and_tls_only" {
  command = plan

  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.storage_encrypted && !aws_db_instance.this.skip_final_snapshot
    error_message = "the database is open, or its disk is, or it can go without a trace"
  }
  assert {
    condition     = contains([for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"], "rds.force_ssl=1")
    error_message = "connections without TLS are let in"
  }
}

run "postgres_14_is_too_old" {
  command = plan

  variables {
    database = { instance_class = "db.t4g.micro", storage_gb = 20, storage_limit_gb = 100, engine_version = "14.9", multi_az = false, backup_days = 7, deletion_protection = true }
  }
  expect_failures = [var.database]
}

run "a_day_of_backups_is_not_enough" {
  command = plan

  variables {
    database = { instance_class = "db.t4g.micro", storage_gb = 20, storage_limit_gb = 100, multi_az = false, backup_days = 1, deletion_protection = true }
  }
  expect_failures = [var.database]
}
