# Bucket and region come from `terraform init -backend-config=…` (terraform/README.md): they hold an account's id.
terraform {
  backend "s3" {
    key          = "isotherm/dev.tfstate"
    use_lockfile = true # docs/adr/0030-state-is-locked-by-s3.md
  }
}
