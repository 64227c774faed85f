# Of the whole account, which holds one environment. Prices are billed with a delay of some hours: this is a brake, not a stop.
resource "aws_budgets_budget" "month" {
  name         = "isotherm"
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  dynamic "notification" {
    for_each = { half = ["ACTUAL", 50], most = ["ACTUAL", 90], forecast = ["FORECASTED", 100] }

    content {
      comparison_operator       = "GREATER_THAN"
      notification_type         = notification.value[0]
      threshold                 = notification.value[1]
      threshold_type            = "PERCENTAGE"
      subscriber_sns_topic_arns = [aws_sns_topic.alarms.arn]
    }
  }

  depends_on = [aws_sns_topic_policy.alarms]
}
