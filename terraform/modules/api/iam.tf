# Each function may be invoked for its own routes only.
resource "aws_lambda_permission" "route" {
  for_each = var.routes

  statement_id   = "api-${substr(sha256(each.key), 0, 16)}"
  action         = "lambda:InvokeFunction"
  function_name  = var.function_names[each.value.function]
  principal      = "apigateway.amazonaws.com"
  source_account = var.aws.account_id
  source_arn     = "${aws_apigatewayv2_api.this.execution_arn}/*/${split(" ", each.key)[0]}${replace(split(" ", each.key)[1], "/\\{[^}]*\\}/", "*")}"
}
