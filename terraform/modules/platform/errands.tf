# Errands of the stack file: images of one program that a person or a pipeline starts inside the network and waits for
# (`isotherm deploy`). One of them administers Postgres: no other role reads the administrator's secret, and none else writes
# the secret `database`. Nor does another role write to the folder in which an errand is asked and answers.

locals {
  errands        = { for key, errand in local.stack.errands : key => errand }
  errand_names   = { for key in keys(local.errands) : key => "${local.prefix}-${replace(key, "_", "-")}" }
  administrators = { for key, errand in local.errands : key => errand if try(errand.administers_database, false) }
  errand_environments = {
    for key, errand in local.errands : key => merge(
      try(errand.environment, {}),
      { for bucket in keys(try(errand.buckets, {})) : "ISOTHERM_BUCKET_${upper(bucket)}" => local.bucket_names[bucket] },
      { for secret in try(errand.secrets, []) : "ISOTHERM_SECRET_${upper(secret)}_ARN" => module.secrets.arns[secret] if !try(local.stack.secrets[secret].per_name, false) },
      contains(keys(local.administrators), key) ? {
        ISOTHERM_DATABASE_ADDRESS          = "${module.database.address}:5432/isotherm"
        ISOTHERM_DATABASE_OPTIONS          = "sslmode=verify-full"
        ISOTHERM_DATABASE_ADMIN_SECRET_ARN = coalesce(module.database.master_secret_arn, "none") # RDS has always made one
      } : {},
      contains(keys(local.administrators), key) && var.database_ca != null ? { ISOTHERM_DATABASE_CA = var.database_ca } : {},
      { ISOTHERM_ERRAND = key },
    )
  }
}

module "errand" {
  source   = "../fargate_operator"
  for_each = local.errands

  aws         = local.aws
  key         = each.key
  operator    = each.value
  release     = var.release
  scratch_gb  = var.scratch_gb
  environment = local.errand_environments[each.key]
  access = {
    read      = [for bucket, access in try(each.value.buckets, {}) : local.bucket_arns[bucket] if access != "write"]
    write     = [for bucket, access in try(each.value.buckets, {}) : local.bucket_arns[bucket] if access != "read"]
    folders   = { for bucket, folder in try(each.value.folders, {}) : local.bucket_arns[bucket] => folder }
    encrypted = [for bucket in keys(try(each.value.buckets, {})) : local.bucket_arns[bucket] if contains(local.encrypted_keys, bucket)]
    secrets   = [for secret in try(each.value.secrets, []) : local.secret_arns[secret]]
  }
  key_alias          = module.encryption.alias
  key_arn            = module.encryption.key_arn
  log_retention_days = var.log_retention_days
  force_delete       = !var.protected
}

resource "aws_iam_role_policy" "administrator" {
  for_each = local.administrators

  name = "${local.errand_names[each.key]}-administrator"
  role = "${local.errand_names[each.key]}-operator"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # RDS names the secret of its administrator `rds!db-…`.
        Sid      = "ReadAdministrator"
        Effect   = "Allow"
        Action   = "secretsmanager:GetSecretValue"
        Resource = "${local.arn_start}:secretsmanager:${local.arn_end}:secret:rds!db-*"
        Condition = {
          StringEquals = { "aws:ResourceTag/aws:rds:primaryDBInstanceArn" = "${local.arn_start}:rds:${local.arn_end}:db:${module.database.identifier}" }
        }
      },
      {
        Sid      = "WriteDatabaseAddress"
        Effect   = "Allow"
        Action   = "secretsmanager:PutSecretValue"
        Resource = local.secret_arns["database"]
      },
      {
        Sid      = "EncryptDatabaseAddress"
        Effect   = "Allow"
        Action   = "kms:GenerateDataKey"
        Resource = "${local.arn_start}:kms:${local.arn_end}:key/*"
        Condition = {
          "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = [module.encryption.alias] }
          StringEquals               = { "kms:ViaService" = ["secretsmanager.${local.aws.region}.${local.aws.dns_suffix}"] }
        }
      },
    ]
  })

  depends_on = [module.errand]
}

output "errands" {
  description = "Where errands are started, for `isotherm deploy`: cluster, subnets, security groups, and the repository of each one's image."
  value = {
    cluster         = local.prefix
    subnets         = module.network.outbound_subnet_ids
    security_groups = [module.network.security_group_ids.operators, module.network.security_group_ids.outbound]
    repositories    = { for key, errand in module.errand : key => errand.repository }
  }
}

output "allowed_hosts" {
  description = "Hosts that may be reached, for `isotherm smoke`."
  value       = sort(var.allowed_hosts)
}
