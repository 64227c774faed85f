# One function with its role, its log and what feeds it.

locals {
  name = "isotherm-${replace(var.key, "_", "-")}"
  arn  = "arn:${var.aws.partition}:lambda:${var.aws.region}:${var.aws.account_id}:function:${local.name}"
}

resource "aws_lambda_function" "this" {
  function_name                  = local.name
  role                           = aws_iam_role.this.arn
  runtime                        = "provided.al2023"
  architectures                  = ["x86_64"] # what the libraries are pinned for
  handler                        = "bootstrap"
  s3_bucket                      = var.code.bucket
  s3_key                         = var.code.key
  memory_size                    = var.function.memory_mb
  timeout                        = var.function.timeout_seconds
  reserved_concurrent_executions = var.function.reserved_concurrency

  ephemeral_storage {
    size = var.function.ephemeral_storage_mb
  }

  environment {
    variables = var.environment
  }

  vpc_config {
    subnet_ids         = var.network.subnet_ids
    security_group_ids = var.network.security_group_ids
  }

  logging_config {
    log_format = "Text" # lines are JSON already, and metric lines have to stay as they are
    log_group  = aws_cloudwatch_log_group.this.name
  }

  # Without its permissions it could not even be put into the VPC.
  depends_on = [aws_iam_role_policy.this]
}

resource "aws_lambda_event_source_mapping" "this" {
  for_each = var.mappings

  event_source_arn        = each.value.queue_arn
  function_name           = local.name
  enabled                 = true
  batch_size              = each.value.batch_size
  function_response_types = each.value.report_batch_item_failures ? ["ReportBatchItemFailures"] : []

  dynamic "scaling_config" {
    for_each = each.value.maximum_concurrency == null ? [] : [each.value.maximum_concurrency]

    content {
      maximum_concurrency = scaling_config.value
    }
  }

  depends_on = [aws_lambda_function.this]
}

# The scheduler hands an event over and goes; Lambda would then try a failed one twice more by itself.
resource "aws_lambda_function_event_invoke_config" "this" {
  for_each = { for name in [local.name] : name => var.asynchronous if var.asynchronous != null }

  function_name                = each.key
  maximum_retry_attempts       = each.value.retry_attempts
  maximum_event_age_in_seconds = each.value.max_event_age_seconds

  depends_on = [aws_lambda_function.this]
}
