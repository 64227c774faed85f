provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      project     = "isotherm"
      environment = "prod"
      managed_by  = "terraform"
    }
  }
}
