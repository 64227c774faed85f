# Postgres on RDS: private, encrypted, TLS only. RDS makes the master's password and keeps it in a secret of its own, so that
# it is in no state file; the platform's programs connect as a role of their own (terraform/README.md).

locals {
  identifier = "isotherm"
  major      = split(".", var.database.engine_version)[0]
  parameters = {
    "rds.force_ssl"                       = { value = "1", apply_method = "immediate" }
    "password_encryption"                 = { value = "scram-sha-256", apply_method = "immediate" }
    "rds.accepted_password_auth_method"   = { value = "scram", apply_method = "immediate" }
    "shared_preload_libraries"            = { value = "pg_stat_statements", apply_method = "pending-reboot" }
    "log_connections"                     = { value = "1", apply_method = "immediate" }
    "log_lock_waits"                      = { value = "1", apply_method = "immediate" }
    "log_min_duration_statement"          = { value = "1000", apply_method = "immediate" } # milliseconds
    "log_parameter_max_length"            = { value = "0", apply_method = "immediate" }    # values may be users' own
    "idle_in_transaction_session_timeout" = { value = "180000", apply_method = "immediate" }
  }
}

resource "aws_db_subnet_group" "this" {
  name        = local.identifier
  description = "Private subnets of Isotherm"
  subnet_ids  = var.subnet_ids
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "isotherm-postgres${local.major}-"
  description = "Isotherm: TLS forced, SCRAM passwords, slow statements logged"
  family      = "postgres${local.major}"

  dynamic "parameter" {
    for_each = local.parameters

    content {
      name         = parameter.key
      value        = parameter.value.value
      apply_method = parameter.value.apply_method
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

# A word of its own for the last snapshot: the one of a database that was here before may still be there.
resource "terraform_data" "snapshot" {}

resource "aws_db_instance" "this" {
  identifier     = local.identifier
  engine         = "postgres"
  engine_version = var.database.engine_version
  instance_class = var.database.instance_class
  db_name        = "isotherm"
  port           = 5432

  username                      = "isotherm_admin"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.key_arn

  storage_type          = "gp3"
  allocated_storage     = var.database.storage_gb
  max_allocated_storage = var.database.storage_limit_gb
  storage_encrypted     = true
  kms_key_id            = var.key_arn

  multi_az               = var.database.multi_az
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [var.security_group_id]
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  parameter_group_name   = aws_db_parameter_group.this.name

  backup_retention_period   = var.database.backup_days
  backup_window             = "02:00-03:00"
  maintenance_window        = "sun:03:30-sun:04:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = !var.protected
  deletion_protection       = var.protected
  skip_final_snapshot       = !var.protected
  final_snapshot_identifier = "isotherm-final-${terraform_data.snapshot.id}"

  auto_minor_version_upgrade      = true
  allow_major_version_upgrade     = false
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.key_arn
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]

  depends_on = [aws_cloudwatch_log_group.this]
}
