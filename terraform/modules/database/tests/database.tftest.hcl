variables {
  aws = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
    region     = "eu-west-1"
    account_id = "123456789012"
  }
  database = {
    instance_class   = "db.t4g.micro"
    storage_gb       = 20
    storage_limit_gb = 100
    multi_az         = false
    backup_days      = 7
  }
  protected          = true
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

run "a_database_that_is_not_protected_leaves_nothing" {
  command = plan

  variables {
    protected = false
  }

  assert {
    condition     = aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.delete_automated_backups && !aws_db_instance.this.deletion_protection
    error_message = "destroying it would fail, or leave snapshots that cost"
  }
}

run "the_last_snapshot_has_a_name_of_its_own" {
  command = apply

  assert {
    condition     = aws_db_instance.this.deletion_protection && aws_db_instance.this.final_snapshot_identifier == "isotherm-final-${terraform_data.snapshot.id}"
    error_message = "the second database that goes would find the name taken"
  }
}

run "postgres_14_is_too_old" {
  command = plan

  variables {
    database = { instance_class = "db.t4g.micro", storage_gb = 20, storage_limit_gb = 100, engine_version = "14.9", multi_az = false, backup_days = 7 }
  }
  expect_failures = [var.database]
}

run "a_day_of_backups_is_not_enough" {
  command = plan

  variables {
    database = { instance_class = "db.t4g.micro", storage_gb = 20, storage_limit_gb = 100, multi_az = false, backup_days = 1 }
  }
  expect_failures = [var.database]
}
