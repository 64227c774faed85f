# Empty shells: what a secret holds is put there by a person or a pipeline and never passes through Terraform, so that it is in
# no state file and no plan.

resource "aws_secretsmanager_secret" "this" {
  for_each = { for key, secret in var.secrets : key => secret if !secret.per_name }

  name                    = "isotherm/${each.key}"
  description             = each.value.description
  kms_key_id              = var.key_arn
  recovery_window_in_days = var.recovery_days
}
