variables {
  release       = "1.2.3"
  protected     = true
  allowed_hosts = ["id.example.com", "rpc.example.com"]
  token_issuers = [{ issuer = "https://id.example.com", audience = "isotherm", jwks_url = "https://id.example.com/keys" }]
  network       = { mode = "full" }
  database = {
    instance_class   = "db.m7g.large"
    storage_gb       = 200
    storage_limit_gb = 2000
    multi_az         = true
    backup_days      = 14
    connection_alarm = 600
  }
  storage            = { old_version_days = 90 }
  api_throttle       = { rate = 200, burst = 400 }
  log_retention_days = 90
  alarms             = { emails = ["ops@example.com"], monthly_budget_usd = 1500 }
}

run "functions_that_fetch_keys_of_issuers_may_go_out" {
  command = plan

  assert {
    condition     = [for key, process in local.processes : key if process.outbound && startswith(key, "function/")] == ["function/alert_deliver", "function/api", "function/query"]
    error_message = "another function may go out, or one of these may not"
  }
}

run "with_keys_that_are_given_what_runs_sql_has_no_way_out" {
  command = plan

  variables {
    token_issuers = [{ issuer = "https://id.example.com", audience = "isotherm", jwks = { keys = [{ kty = "OKP", crv = "Ed25519", kid = "1", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] } }]
  }

  assert {
    condition     = [for key, process in local.processes : key if process.outbound && startswith(key, "function/")] == ["function/alert_deliver"]
    error_message = "a function may go out that fetches nothing"
  }
}

run "somebody_s_tokens_are_accepted" {
  command = plan

  variables {
    token_issuers = []
  }
  expect_failures = [var.token_issuers]
}

run "keys_are_fetched_from_hosts_that_may_be_reached" {
  command = plan

  variables {
    allowed_hosts = ["example.com", "rpc.example.com"]
  }
  expect_failures = [var.token_issuers]
}

run "keys_may_be_fetched_below_a_name" {
  command = plan

  variables {
    allowed_hosts = ["*.example.com"]
  }

  assert {
    condition     = jsondecode(local.token_issuers)[0].jwks_url == "https://id.example.com/keys"
    error_message = "another address than that of the issuer's keys"
  }
}

run "zones_are_those_that_every_account_has" {
  command = plan

  assert {
    condition     = anytrue([for filter in data.aws_availability_zones.this.filter : filter.name == "opt-in-status" && filter.values == toset(["opt-in-not-required"])])
    error_message = "subnets could lie in a Local Zone that the account has opted in to"
  }
}

run "aws_is_named_host_by_host" {
  command = plan

  assert {
    condition     = alltrue([for service in ["sqs", "secretsmanager", "logs", "ecs", "lambda", "email", "sns", "api.ecr", "123456789012.dkr.ecr"] : contains(local.service_hosts, "${service}.eu-west-1.amazonaws.com")])
    error_message = "a service that is called is not resolved"
  }
  assert {
    condition     = !anytrue([for host in local.service_hosts : strcontains(host, "*") || strcontains(host, "execute-api")])
    error_message = "the APIs of strangers are resolved"
  }
  assert {
    condition = [for host in local.service_hosts : host if strcontains(host, ".s3.")] == [
      for bucket in sort(concat(values(local.bucket_names), ["prod-eu-west-1-starport-layer-bucket"])) : "${bucket}.s3.eu-west-1.amazonaws.com"
    ]
    error_message = "the buckets of strangers are resolved"
  }
}

run "nothing_writes_where_an_errand_is_asked_but_the_errand" {
  command = plan

  assert {
    condition     = { for key, access in local.accesses : key => access.folders[local.bucket_arns["results"]] if contains(access.write, local.bucket_arns["results"]) } == { "function/query" = "queries", "operator/duckdb_query" = "queries", "operator/noop" = "smoke" }
    error_message = "a process could forge what an errand is asked, or what it answers"
  }
}

run "certificates_go_to_the_errand_that_writes_the_secret" {
  command = plan

  variables {
    database_ca = "-----BEGIN CERTIFICATE-----"
  }

  assert {
    condition     = local.errand_environments["migrate"].ISOTHERM_DATABASE_CA == "-----BEGIN CERTIFICATE-----"
    error_message = "nobody vouches for the database"
  }
}

run "what_somebody_counts_on_is_protected" {
  command = plan

  variables {
    protected = false
  }
  expect_failures = [var.protected]
}
