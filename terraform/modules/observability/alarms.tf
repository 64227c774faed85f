# One map of alarms. Each says in its description what is wrong and where in docs/operations.md to read on; a test compares the
# two. An alarm watches either one metric or, where the platform's metrics have dimensions that Terraform cannot know, a
# Metrics Insights query over them.

locals {
  namespace = "Isotherm" # shared/platform/src/metrics.rs
  runbook   = "docs/operations.md"

  # Alarms on one metric.
  metric_alarms = merge(
    {
      for chain in var.chains : "ingest-lag-${chain}" => {
        text      = "Chain ${chain} is behind, or its follower is silent", anchor = "alarm-ingest-lag"
        namespace = local.namespace, metric = "ingest_lag_seconds", dimensions = { chain = chain }
        statistic = "Minimum", compare = "GreaterThanThreshold", threshold = var.thresholds.ingest_lag_seconds
        period    = 60, periods = 5, missing = "breaching"
      }
    },
    {
      for key, queue in var.queues : "dead-letters-${queue.dead_letter_name}" => {
        text      = "Messages of ${queue.name} that nobody could handle", anchor = "alarm-dead-letters"
        namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = queue.dead_letter_name }
        statistic = "Maximum", compare = "GreaterThanThreshold", threshold = 0
        period    = 60, periods = 1, missing = "notBreaching"
      } if queue.dead_letter_name != null
    },
    {
      for key, queue in var.queues : "failed-tasks-${queue.name}" => {
        text      = "Tasks that failed for good lie in ${queue.name}", anchor = "alarm-failed-tasks"
        namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = queue.name }
        statistic = "Maximum", compare = "GreaterThanThreshold", threshold = 0
        period    = 300, periods = 1, missing = "notBreaching"
      } if queue.is_for_people
    },
    {
      for key, queue in var.queues : "queue-age-${queue.name}" => {
        text      = "Messages of ${queue.name} wait too long", anchor = "alarm-queue-age"
        namespace = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", dimensions = { QueueName = queue.name }
        statistic = "Maximum", compare = "GreaterThanThreshold", threshold = var.thresholds.queue_age_seconds
        period    = 300, periods = 2, missing = "notBreaching"
      } if !queue.is_for_people && !queue.wakes_workers
    },
    # A worker that is launched knows its task and looks at no wake-up before that ends, which a follower's does not: the age of
    # messages says nothing here.
    {
      for key, queue in var.queues : "queue-age-${queue.name}" => {
        text      = "Tasks of which ${queue.name} tells workers wait too long", anchor = "alarm-queue-age"
        namespace = local.namespace, metric = "queue_age_seconds", dimensions = { queue = queue.name }
        statistic = "Maximum", compare = "GreaterThanThreshold", threshold = var.thresholds.queue_age_seconds
        period    = 300, periods = 2, missing = "notBreaching"
      } if queue.wakes_workers
    },
    {
      for key, function in var.functions : "silence-${function.name}" => {
        text      = "${function.name} did not run, though the clock invokes it each minute", anchor = "alarm-silence"
        namespace = "AWS/Lambda", metric = "Invocations", dimensions = { FunctionName = function.name }
        statistic = "Sum", compare = "LessThanThreshold", threshold = 1
        period    = 60, periods = 5, missing = "breaching"
      } if function.is_scheduled
    },
    {
      for key, function in var.functions : "errors-${function.name}" => {
        text      = "${function.name} fails", anchor = "alarm-function-errors"
        namespace = "AWS/Lambda", metric = "Errors", dimensions = { FunctionName = function.name }
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 0
        period    = 60, periods = 3, missing = "notBreaching"
      }
    },
    {
      for key, function in var.functions : "throttles-${function.name}" => {
        text      = "${function.name} is called more often than it may run", anchor = "alarm-throttles"
        namespace = "AWS/Lambda", metric = "Throttles", dimensions = { FunctionName = function.name }
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 0
        period    = 60, periods = 5, missing = "notBreaching"
      }
    },
    {
      for operator in var.operators : "task-failures-${replace(operator, "_", "-")}" => {
        text      = "Tasks of ${operator} fail", anchor = "alarm-task-failures"
        namespace = local.namespace, metric = "task_success_rate", dimensions = { operator = operator }
        statistic = "Average", compare = "LessThanThreshold", threshold = var.thresholds.task_success_rate
        period    = 900, periods = 1, missing = "notBreaching"
      }
    },
    {
      for group in var.schedule_groups : "schedules-dropped-${group}" => {
        text      = "Schedules of the group ${group} could not invoke their function", anchor = "alarm-missed-schedules"
        namespace = "AWS/Scheduler", metric = "InvocationDroppedCount", dimensions = { ScheduleGroup = group }
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 0
        period    = 300, periods = 1, missing = "notBreaching"
      }
    },
    {
      for zone in var.firewall_zones : "egress-refused-${zone}" => {
        text      = "Something tried to reach a host that is not on the list", anchor = "alarm-egress-refused"
        namespace = "AWS/NetworkFirewall", metric = "DroppedPackets", dimensions = { FirewallName = "isotherm", AvailabilityZone = zone, Engine = "Stateful" }
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 0
        period    = 300, periods = 1, missing = "notBreaching"
      }
    },
    {
      database-disk = {
        text      = "The database's disk is filling up", anchor = "alarm-database-disk"
        namespace = "AWS/RDS", metric = "FreeStorageSpace", dimensions = { DBInstanceIdentifier = var.database.identifier }
        statistic = "Minimum", compare = "LessThanThreshold", threshold = floor(var.database.storage_gb * var.thresholds.free_storage_part) * 1024 * 1024 * 1024
        period    = 300, periods = 2, missing = "breaching"
      }
      database-connections = {
        text      = "The database has few connections left", anchor = "alarm-database-connections"
        namespace = "AWS/RDS", metric = "DatabaseConnections", dimensions = { DBInstanceIdentifier = var.database.identifier }
        statistic = "Maximum", compare = "GreaterThanThreshold", threshold = var.database.connection_alarm
        period    = 60, periods = 3, missing = "notBreaching"
      }
      database-cpu = {
        text      = "The database is busy all the time", anchor = "alarm-database-cpu"
        namespace = "AWS/RDS", metric = "CPUUtilization", dimensions = { DBInstanceIdentifier = var.database.identifier }
        statistic = "Average", compare = "GreaterThanThreshold", threshold = 85
        period    = 300, periods = 3, missing = "notBreaching"
      }
      api-errors = {
        text      = "The HTTP API answers with errors of its own", anchor = "alarm-api-errors"
        namespace = "AWS/ApiGateway", metric = "5xx", dimensions = { ApiId = var.api_id }
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 5
        period    = 300, periods = 1, missing = "notBreaching"
      }
      outbox = {
        text      = "Events wait that no queue is told of", anchor = "alarm-outbox"
        namespace = local.namespace, metric = "outbox_pending", dimensions = {}
        statistic = "Minimum", compare = "GreaterThanThreshold", threshold = var.thresholds.outbox_events
        period    = 60, periods = 5, missing = "notBreaching"
      }
      alert-delivery = {
        text      = "Alerts reach people late", anchor = "alarm-alert-delivery"
        namespace = local.namespace, metric = "alert_delivery_lag_seconds", dimensions = {}
        statistic = "Minimum", compare = "GreaterThanThreshold", threshold = var.thresholds.alert_lag_seconds
        period    = 300, periods = 2, missing = "notBreaching"
      }
      task-not-started = {
        text      = "ECS could not start a worker", anchor = "alarm-task-not-started"
        namespace = "AWS/Events", metric = "TriggeredRules", dimensions = { RuleName = local.not_started }
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 0
        period    = 300, periods = 1, missing = "notBreaching"
      }
      names-refused = {
        text      = "Something looked up a host that is not on the list", anchor = "alarm-egress-refused"
        namespace = "AWS/Route53Resolver", metric = "FirewallRuleQueryVolume", dimensions = { FirewallRuleGroupId = var.refused_names.rule_group_id, FirewallDomainListId = var.refused_names.domain_list_id }
        statistic = "Sum", compare = "GreaterThanThreshold", threshold = 0
        period    = 300, periods = 1, missing = "notBreaching"
      }
    },
  )

  # Alarms on whatever dimensions a metric of the platform has.
  query_alarms = {
    missed-ticks = {
      text    = "Ticks of cron triggers were found out too late to be made up for", anchor = "alarm-missed-schedules"
      query   = "SELECT SUM(ticks_missed_total) FROM SCHEMA(\"${local.namespace}\", trigger)"
      compare = "GreaterThanThreshold", threshold = 0, period = 300, periods = 1
    }
    integrity = {
      text    = "A check found something wrong with cold storage", anchor = "alarm-integrity"
      query   = "SELECT MAX(integrity_findings) FROM SCHEMA(\"${local.namespace}\", chain)"
      compare = "GreaterThanThreshold", threshold = 0, period = 300, periods = 1
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "metric" {
  for_each = local.metric_alarms

  alarm_name          = "isotherm-${each.key}"
  alarm_description   = "${each.value.text}. ${local.runbook}#${each.value.anchor}"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.compare
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "query" {
  for_each = local.query_alarms

  alarm_name          = "isotherm-${each.key}"
  alarm_description   = "${each.value.text}. ${local.runbook}#${each.value.anchor}"
  comparison_operator = each.value.compare
  threshold           = each.value.threshold
  evaluation_periods  = each.value.periods
  treat_missing_data  = "notBreaching"
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]

  metric_query {
    id          = "worst"
    expression  = each.value.query
    period      = each.value.period
    return_data = true
  }
}
