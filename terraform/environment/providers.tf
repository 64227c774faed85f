provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      project     = "isotherm"
      environment = local.figures.name
      managed_by  = "terraform"
    }
  }
}
