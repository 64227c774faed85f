# Empty shells: what a secret holds is put there by a person or a pipeline and never passes through Terraform, so that it is in
# no state file and no plan.

locals {
  single = { for key, secret in var.secrets : key => secret.description if !secret.per_name }
  named = merge([
    for key, secret in var.secrets : { for name in setunion(secret.names, try(var.names[key], [])) : "${key}/${name}" => secret.description }
  ]...)
}

resource "aws_secretsmanager_secret" "this" {
  for_each = merge(local.single, local.named)

  name                    = "isotherm/${each.key}"
  description             = each.value
  kms_key_id              = var.key_arn
  recovery_window_in_days = var.protected ? 30 : 0 # at once, or its name would be taken for so long
}
