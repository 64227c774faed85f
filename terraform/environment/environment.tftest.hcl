variables {
  account_id    = "123456789012"
  region        = "eu-west-1"
  release       = "1.2.3"
  allowed_hosts = ["id.example.com", "rpc.example.com"]
  token_issuers = [{ issuer = "https://id.example.com", audience = "isotherm", jwks_url = "https://id.example.com/keys" }]
  alarm_emails  = ["ops@example.com"]
}

run "everything_of_the_stack_file_is_there" {
  command = plan

  assert {
    condition     = keys(output.platform.queue_urls) == keys(yamldecode(file("../../stack.yaml")).queues)
    error_message = "the queues are others than those of the stack file"
  }
  assert {
    condition     = keys(output.platform.repositories) == keys(yamldecode(file("../../stack.yaml")).operators)
    error_message = "the operators are others than those of the stack file"
  }
  assert {
    condition     = output.platform.cron_target.group == "isotherm-triggers"
    error_message = "cron triggers would go elsewhere"
  }
}

run "an_account_is_named_in_full" {
  command = plan

  variables {
    account_id = "1234"
  }
  expect_failures = [var.account_id]
}

run "certificates_that_were_written_down_go_to_whoever_writes_the_secret" {
  command = plan

  variables {
    database_ca = { file = "../../environment/certificates_of_tests.pem", sha256 = "7d40fc39b7b7cd73e1f830d5154c3d1684d59561675d8660ab946f343b92b32d" }
  }

  assert {
    condition     = strcontains(output.platform.database.ca, "-----BEGIN CERTIFICATE-----")
    error_message = "nobody vouches for the database"
  }
}

run "other_certificates_are_refused" {
  command = plan

  variables {
    database_ca = { file = "../../environment/certificates_of_tests.pem", sha256 = "7d40fc39b7b7cd73e1f830d5154c3d1684d59561675d8660ab946f343b92b320" }
  }
  expect_failures = [var.database_ca]
}

run "the_database_s_url_is_one_that_proves_it" {
  command = plan

  assert {
    condition     = output.platform.database.url_options == "sslmode=verify-full"
    error_message = "somebody in between would be believed"
  }
}

run "a_zone_is_no_region" {
  command = plan

  variables {
    region = "eu-west-1a"
  }
  expect_failures = [var.region]
}
