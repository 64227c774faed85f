# The HTTP API, the only door from outside. Tokens are verified by the functions (docs/access.md): API Gateway would allow a
# route either tokens or AWS's signatures, and could not know who was shut out a minute ago.

locals {
  name      = "isotherm"
  functions = toset([for route in values(var.routes) : route.function])
  arns = {
    for key in local.functions :
    key => "arn:${var.aws.partition}:lambda:${var.aws.region}:${var.aws.account_id}:function:${var.function_names[key]}"
  }
  authorization = { none = "NONE", aws_iam = "AWS_IAM" }
}

resource "aws_apigatewayv2_api" "this" {
  name          = local.name
  description   = "Isotherm"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "this" {
  for_each = local.arns

  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_uri        = each.value
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

resource "aws_apigatewayv2_route" "this" {
  for_each = var.routes

  api_id             = aws_apigatewayv2_api.this.id
  route_key          = each.key
  target             = "integrations/${aws_apigatewayv2_integration.this[each.value.function].id}"
  authorization_type = local.authorization[each.value.authorization]
}

resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit    = var.throttle.rate
    throttling_burst_limit   = var.throttle.burst
    detailed_metrics_enabled = true
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.this.arn
    # No header, no body, no query: nothing that could hold a token or a user's SQL.
    format = jsonencode({
      requestId        = "$context.requestId"
      time             = "$context.requestTime"
      ip               = "$context.identity.sourceIp"
      routeKey         = "$context.routeKey"
      status           = "$context.status"
      latencyMs        = "$context.responseLatency"
      integrationError = "$context.integrationErrorMessage"
      responseBytes    = "$context.responseLength"
    })
  }
}
