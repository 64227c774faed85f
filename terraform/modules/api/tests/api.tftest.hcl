variables {
  aws = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
    region     = "eu-west-1"
    account_id = "123456789012"
  }
  routes = {
    "POST /v1/query"          = { function = "query" }
    "GET /v1/queries/{id}"    = { function = "query" }
    "POST /v1/jobs/{job}/run" = { function = "api", authorization = "aws_iam" }
  }
  function_names     = { query = "isotherm-query", api = "isotherm-api", reaper = "isotherm-reaper" }
  throttle           = { rate = 20, burst = 40 }
  key_arn            = "arn:aws:kms:eu-west-1:123456789012:key/1"
  log_retention_days = 14
}

run "each_function_once_and_only_those_with_routes" {
  command = plan

  assert {
    condition     = keys(aws_apigatewayv2_integration.this) == ["api", "query"]
    error_message = "another function can be reached from outside"
  }
  assert {
    condition     = aws_apigatewayv2_route.this["POST /v1/jobs/{job}/run"].authorization_type == "AWS_IAM" && aws_apigatewayv2_route.this["POST /v1/query"].authorization_type == "NONE"
    error_message = "a route lets other callers in"
  }
}

run "calls_are_throttled_and_logged_without_headers" {
  command = plan

  assert {
    condition     = aws_apigatewayv2_stage.this.default_route_settings[0].throttling_rate_limit == 20
    error_message = "calls are not throttled"
  }
  assert {
    condition     = !strcontains(aws_apigatewayv2_stage.this.access_log_settings[0].format, "authorizer") && !strcontains(aws_apigatewayv2_stage.this.access_log_settings[0].format, "header")
    error_message = "the access log could hold a token"
  }
}

run "a_route_has_a_method" {
  command = plan

  variables {
    routes = { "FETCH /v1/query" = { function = "query" } }
  }
  expect_failures = [var.routes]
}
