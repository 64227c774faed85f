# One page: is the chain followed, does work get done, does anything lie about, is the database well.

locals {
  search = {
    "Seconds behind the chain"       = { query = "SEARCH('{${local.namespace},chain} MetricName=\"ingest_lag_seconds\"', 'Maximum', 60)", unit = "seconds" }
    "Part of tasks that completed"   = { query = "SEARCH('{${local.namespace},operator} MetricName=\"task_success_rate\"', 'Average', 300)", unit = "part" }
    "Duration of attempts"           = { query = "SEARCH('{${local.namespace},operator} MetricName=\"task_duration_seconds\"', 'p95', 300)", unit = "seconds" }
    "Attempts that were tried again" = { query = "SEARCH('{${local.namespace},operator} MetricName=\"task_retries_total\"', 'Sum', 300)", unit = "count" }
    "Ticks that were missed"         = { query = "SEARCH('{${local.namespace},trigger} MetricName=\"ticks_missed_total\"', 'Sum', 300)", unit = "count" }
    "Open findings of checks"        = { query = "SEARCH('{${local.namespace},chain} MetricName=\"integrity_findings\"', 'Maximum', 300)", unit = "count" }
    "Bytes written"                  = { query = "SEARCH('{${local.namespace},chain,store} MetricName=\"bytes_written\"', 'Sum', 300)", unit = "bytes" }
    "Requests to endpoints"          = { query = "SEARCH('{${local.namespace},chain,endpoint,outcome} MetricName=\"rpc_requests_total\"', 'Sum', 300)", unit = "count" }
    "Requests to S3"                 = { query = "SEARCH('{${local.namespace},operation,outcome} MetricName=\"s3_requests_total\"', 'Sum', 300)", unit = "count" }
    "Duration of queries"            = { query = "SEARCH('{${local.namespace},mode,outcome} MetricName=\"query_duration_ms\"', 'p95', 300)", unit = "milliseconds" }
    "Length of queues"               = { query = "SEARCH('{${local.namespace},queue} MetricName=\"queue_depth\"', 'Maximum', 60)", unit = "count" }
    "Longest wait in queues"         = { query = "SEARCH('{${local.namespace},queue} MetricName=\"queue_age_seconds\"', 'Maximum', 60)", unit = "seconds" }
    "Length of dead-letter queues"   = { query = "SEARCH('{${local.namespace},queue} MetricName=\"dlq_depth\"', 'Maximum', 60)", unit = "count" }
  }
  metrics = {
    "Events in the outbox"    = { stat = "Maximum", metrics = [[local.namespace, "outbox_pending"]] }
    "Slowest alert"           = { stat = "Maximum", metrics = [[local.namespace, "alert_delivery_lag_seconds"]] }
    "Messages waiting"        = { stat = "Maximum", metrics = [for queue in values(var.queues) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name]] }
    "Age of oldest message"   = { stat = "Maximum", metrics = [for queue in values(var.queues) : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue.name]] }
    "Dead letters"            = { stat = "Maximum", metrics = [for queue in values(var.queues) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", coalesce(queue.dead_letter_name, queue.name)]] }
    "Invocations"             = { stat = "Sum", metrics = [for function in values(var.functions) : ["AWS/Lambda", "Invocations", "FunctionName", function.name]] }
    "Errors of functions"     = { stat = "Sum", metrics = [for function in values(var.functions) : ["AWS/Lambda", "Errors", "FunctionName", function.name]] }
    "Duration of functions"   = { stat = "p95", metrics = [for function in values(var.functions) : ["AWS/Lambda", "Duration", "FunctionName", function.name]] }
    "Answers of the API"      = { stat = "Sum", metrics = [for metric in ["Count", "4xx", "5xx"] : ["AWS/ApiGateway", metric, "ApiId", var.api_id]] }
    "Connections of Postgres" = { stat = "Maximum", metrics = [["AWS/RDS", "DatabaseConnections", "DBInstanceIdentifier", var.database.identifier]] }
    "Free disk of Postgres"   = { stat = "Minimum", metrics = [["AWS/RDS", "FreeStorageSpace", "DBInstanceIdentifier", var.database.identifier]] }
    "CPU of Postgres"         = { stat = "Average", metrics = [["AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", var.database.identifier]] }
  }
  widgets = concat(
    [for title, widget in local.search : { title = title, stat = "Maximum", metrics = [[{ expression = widget.query, label = "", id = "found" }]] }],
    [for title, widget in local.metrics : { title = title, stat = widget.stat, metrics = widget.metrics }],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = "isotherm"
  dashboard_body = jsonencode({
    widgets = [
      for i, widget in local.widgets : {
        type   = "metric"
        x      = (i % 2) * 12
        y      = floor(i / 2) * 6
        width  = 12
        height = 6
        properties = {
          title   = widget.title
          region  = var.aws.region
          view    = "timeSeries"
          stat    = widget.stat
          period  = 60
          metrics = widget.metrics
        }
      }
    ]
  })
}
